import { Card } from "../../components/Card";
import { hasPage } from "../../routes";
import { strings } from "../../strings";
import type { Inspection } from "./inspection";
import { LAYOUTS, type Layout } from "./layouts";

/** The two layouts, file by file; of a choice, which of them are there. */
export function Layouts({ inspection }: { inspection: Inspection | null }) {
  const t = strings.value.contribute.layouts;
  const shown = inspection?.layout ? [inspection.layout] : inspection?.isArchive ? [] : LAYOUTS;
  if (shown.length === 0) return null;
  return (
    <section class="layouts" aria-label={t.title}>
      <div>
        <h2>{t.title}</h2>
        <p class="muted">{t.lead}</p>
      </div>
      <div class="layout-cards">
        {shown.map((layout) => (
          <LayoutCard key={layout.family} layout={layout} inspection={inspection?.layout ? inspection : null} />
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

function LayoutCard({ layout, inspection }: { layout: Layout; inspection: Inspection | null }) {
  const { layouts: t, chosen } = strings.value.contribute;
  const recording = layout.recording ?? inspection?.recording ?? null;
  const rows = [
    ...layout.files.map(({ name, holds }) => ({ name, says: t.holds[holds] })),
    { name: recording, says: layout.recording ? t.holds.recording : t.holds.shortRecording },
  ];
  const isThere = (name: string | null) => inspection?.wanted.some(({ path }) => path === name) ?? false;
  return (
    <Card title={layout.title}>
      <dl class="layout-files">
        {rows.map(({ name, says }) => (
          <div key={says}>
            <dt>
              {name ? <code>{name}</code> : t.recording}
              {inspection && <span class={`tag ${isThere(name) ? "good" : "bad"}`}>{isThere(name) ? "✓" : chosen.missing}</span>}
            </dt>
            <dd>{says}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}
