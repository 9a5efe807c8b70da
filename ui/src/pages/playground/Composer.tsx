import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { Field } from "../../components/Field";
import { messageOf } from "../../api";
import { language as pageLanguage } from "../../preferences";
import { strings } from "../../strings";
import type { Model, Reading } from "./reading";

export interface Draft {
  model: string;
  voice: string;
  /** Empty: detected. */
  language: string;
  /** null: nobody has written anything yet. */
  input: string | null;
}

/** Who speaks, in which voice and language, and what. */
export function Composer({
  draft,
  models,
  reading,
  error,
  isSpeaking,
  onChange,
  onSpeak,
}: {
  draft: Draft & { input: string };
  models: readonly Model[];
  reading: Reading | null;
  error: unknown;
  isSpeaking: boolean;
  onChange: (changes: Partial<Draft>) => void;
  onSpeak: () => void;
}) {
  const t = strings.value.playground;
  const model = models.find(({ id }) => id === draft.model);
  const submit = (event: Event) => {
    event.preventDefault();
    onSpeak();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  };
  return (
    <Card>
      <form class="stack" onSubmit={submit}>
        <div class="who">
          <Select label={t.model} value={draft.model} choices={models.map(({ id, variant }) => [id, `${id} · ${variant}`])} onChange={(id) => onChange({ model: id })} />
          <Select label={t.voice} value={draft.voice} choices={(model?.voices ?? []).map(({ name }) => [name, name === "default" ? t.ownVoice : name])} onChange={(voice) => onChange({ voice })} />
          <Select
            label={t.language}
            value={draft.language}
            choices={[["", t.detect], ...(model?.languages ?? []).map((tag): [string, string] => [tag, languageName(tag)])]}
            onChange={(language) => onChange({ language })}
          />
        </div>
        <Field label={t.text} error={error ? messageOf(error) : null} hint={<Counters draft={draft} reading={reading} />}>
          {(described) => (
            <textarea {...described} rows={5} value={draft.input} placeholder={t.placeholder} onKeyDown={onKeyDown} onInput={(event) => onChange({ input: event.currentTarget.value })} />
          )}
        </Field>
        <div class="row">
          <Button kind="primary" type="submit" disabled={!draft.input.trim()}>
            {isSpeaking ? t.speakAgain : t.speak}
          </Button>
          <span class="note shortcut">{t.shortcut}</span>
        </div>
      </form>
    </Card>
  );
}

function Select({ label, value, choices, onChange }: { label: string; value: string; choices: readonly (readonly [string, string])[]; onChange: (value: string) => void }) {
  return (
    <Field label={label}>
      {(described) => (
        <select {...described} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {choices.map(([choice, name]) => (
            <option value={choice}>{name}</option>
          ))}
        </select>
      )}
    </Field>
  );
}

function Counters({ draft, reading }: { draft: Draft & { input: string }; reading: Reading | null }) {
  const t = strings.value.playground;
  const number = new Intl.NumberFormat(pageLanguage.value);
  return (
    <span class="counters figures">
      <span>{t.characters(number.format([...draft.input].length), reading ? number.format(reading.max_characters) : "–")}</span>
      {reading && <span>{t.utterances(reading.utterances.length)}</span>}
      {reading && <span>{(draft.language ? t.spokenIn : t.detected)(reading.languages.map(languageName).join(", "))}</span>}
    </span>
  );
}

function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames([pageLanguage.value], { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag; // not every family's tags are BCP-47
  }
}
