import { Field } from "../../components/Field";
import { strings } from "../../strings";
import type { Draft } from "./draft";

export interface Model {
  id: string;
  submission_id: string;
  family: string;
  languages: readonly string[];
}

interface SubmissionChoiceProps {
  models: readonly Model[];
  voices: readonly string[];
  draft: Draft;
  onChange: (changes: Partial<Draft>) => void;
  error: string | null;
}

/** Which submissions are compared, each in its own voice or all in one. */
export function SubmissionChoice({ models, voices, draft, onChange, error }: SubmissionChoiceProps) {
  const t = strings.value.compare.form;
  const toggle = (id: string, isChosen: boolean) => {
    const chosen = new Set(draft.models);
    if (isChosen) chosen.add(id);
    else chosen.delete(id);
    onChange({ models: models.map((model) => model.id).filter((id) => chosen.has(id)) });
  };
  return (
    <>
      <fieldset class="submissions">
        <legend class="unseen">{t.who}</legend>
        {models.map((model) => (
          <label key={model.id} class="submission">
            <input type="checkbox" checked={draft.models.includes(model.id)} onChange={(event) => toggle(model.id, event.currentTarget.checked)} />
            <span>
              <b>{model.id}</b>
              <span class="note">
                {model.family} · {model.languages.slice(0, 4).join(" ")}
                {model.languages.length > 4 && " …"}
              </span>
            </span>
          </label>
        ))}
      </fieldset>
      {error && <p class="note wrong">{error}</p>}
      <Field label={t.voice} hint={t.voiceHint}>
        {(described) => (
          <select {...described} value={draft.voice} onChange={(event) => onChange({ voice: event.currentTarget.value })}>
            <option value="">{t.ownVoices}</option>
            {voices.map((voice) => (
              <option key={voice}>{voice}</option>
            ))}
          </select>
        )}
      </Field>
    </>
  );
}
