import { useState } from "preact/hooks";

import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Field";
import { language as shownLanguage } from "../../preferences";
import { strings } from "../../strings";
import { contribute, type Declaration, type LookedAt } from "./looking";
import type { Rules } from "./rules";

const STATEMENTS = ["right_to_share", "speaker_consent", "authentic_source"] as const;
const MAX_TEXT_CHARS = 2000;

/** What no machine can hear, declared by the contributor: only then can anything be handed in. */
export function DeclarationForm({ rules, recordings, error }: { rules: Rules; recordings: readonly LookedAt[]; error: unknown }) {
  const t = strings.value.voiceData.declaration;
  const [declared, setDeclared] = useState<Declaration>({
    version: rules.version,
    licence: "",
    source: "",
    contributor: "",
    language: shownLanguage.value,
    right_to_share: false,
    speaker_consent: false,
    authentic_source: false,
  });
  const change = (part: Partial<Declaration>) => setDeclared({ ...declared, ...part });
  const isComplete = STATEMENTS.every((name) => declared[name]) && declared.licence !== "" && declared.source.trim() !== "";
  const count = recordings.filter(({ verdict }) => verdict !== "refused").length;
  const submit = (event: Event) => {
    event.preventDefault();
    if (isComplete) contribute(declared);
  };
  return (
    <Card title={t.title}>
      <p class="muted">{t.lead(count, recordings.length)}</p>
      <form class="stack" onSubmit={submit}>
        <fieldset class="statements">
          <legend class="unseen">{t.title}</legend>
          {STATEMENTS.map((name) => (
            <label key={name} class="check statement">
              <input type="checkbox" checked={declared[name]} onChange={(event) => change({ [name]: event.currentTarget.checked })} />
              <span>{t.statements[name]}</span>
            </label>
          ))}
        </fieldset>
        <div class="declared">
          <Field label={t.licence} hint={t.licenceHint}>
            {(described) => (
              <select {...described} value={declared.licence} onChange={(event) => change({ licence: event.currentTarget.value })}>
                <option value="">{t.choose}</option>
                {rules.licences.map(({ id, title }) => (
                  <option key={id} value={id}>
                    {id} – {title}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label={t.language} hint={t.languageHint}>
            {(described) => <input {...described} value={declared.language} maxLength={35} onInput={(event) => change({ language: event.currentTarget.value })} />}
          </Field>
          <Field label={t.source} hint={t.sourceHint}>
            {(described) => (
              <input {...described} maxLength={MAX_TEXT_CHARS} value={declared.source} onInput={(event) => change({ source: event.currentTarget.value })} />
            )}
          </Field>
          <Field label={t.contributor} hint={t.contributorHint}>
            {(described) => (
              <input {...described} maxLength={MAX_TEXT_CHARS} value={declared.contributor} onInput={(event) => change({ contributor: event.currentTarget.value })} />
            )}
          </Field>
        </div>
        <ErrorNote error={error} />
        <div class="row">
          <Button kind="primary" type="submit" disabled={!isComplete}>
            {t.submit(count)}
          </Button>
          {!isComplete && <span class="small muted">{t.incomplete}</span>}
        </div>
        <p class="small muted">{t.kept}</p>
      </form>
    </Card>
  );
}
