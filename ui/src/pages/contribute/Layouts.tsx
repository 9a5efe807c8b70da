import { Card } from "../../components/Card";
import { bytes } from "../../format";
import { hasPage } from "../../routes";
import { strings } from "../../strings";
import type { Inspection } from "./inspection";
import { LAYOUTS, type Layout } from "./layouts";

/** The two layouts, file by file. */
export function Layouts() {
  const t = strings.value.contribute.layouts;
  return (
    <section class="layouts" aria-label={t.title}>
      <div>
        <h2>{t.title}</h2>
        <p class="muted">{t.lead}</p>
      </div>
      <div class="layout-cards">
        {LAYOUTS.map((layout) => (
          <Card key={layout.family} title={layout.title}>
            <LayoutFiles layout={layout} />
          </Card>
        ))}
      </div>
      {hasPage("/voice-data") && (
        <p class="muted">
          {t.voiceData} <a href="/voice-data">{t.voiceDataLink}</a>
        </p>
      )}
    </section>
  );
}

/** A layout's files and what each of them is; of a choice, their sizes, or that they are missing. */
export function LayoutFiles({ layout, inspection = null }: { layout: Layout; inspection?: Inspection | null }) {
  const t = strings.value.contribute.layouts;
  const rows = [
    ...layout.files.map(({ name, holds }) => ({ name, says: t.holds[holds] })),
    {
      name: layout.recording ?? inspection?.recording ?? null,
      says: layout.recording ? t.holds.recording : t.holds.shortRecording,
    },
  ];
  return (
    <dl class="layout-files">
      {rows.map(({ name, says }) => (
        <div key={says}>
          <dt>{name ? <code>{name}</code> : t.recording}</dt>
          <dd class="says">{says}</dd>
          {inspection && <ItsSize name={name} inspection={inspection} />}
        </div>
      ))}
    </dl>
  );
}

function ItsSize({ name, inspection }: { name: string | null; inspection: Inspection }) {
  const t = strings.value.contribute.chosen;
  const found = inspection.wanted.find(({ path }) => path === name);
  if (found) return <dd class="figures">{bytes(found.file.size)}</dd>;
  return (
    <dd class="figures">
      <span class="tag bad">{t.missing}</span>
    </dd>
  );
}
