import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";

import { ApiError, getJson } from "../../api";
import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { Empty } from "../../components/Empty";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Field";
import { Title } from "../../components/Title";
import { createTest } from "../../listening";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import { definitionOf, EMPTY_DRAFT, linesOf, type Draft } from "./draft";
import { KindChoice } from "./KindChoice";
import { SubmissionChoice, type Model } from "./SubmissionChoice";
import { Traps } from "./Traps";

interface Choices {
  models: readonly Model[];
  voices: readonly string[];
}

async function fetchChoices(signal: AbortSignal): Promise<Choices> {
  const [models, voices] = await Promise.all([
    getJson<{ data: readonly Model[] }>("/v1/models", { signal }),
    getJson<{ voices: readonly { name: string; voice_id: string | null }[] }>("/v1/audio/voices", { signal }),
  ]);
  // Two names of one submission would sound the same.
  const first = new Map([...models.data].reverse().map((model) => [model.submission_id, model]));
  const distinct = models.data.filter((model) => first.get(model.submission_id) === model);
  return {
    models: distinct.sort((one, other) => one.id.localeCompare(other.id)),
    voices: voices.voices.filter((voice) => voice.voice_id !== null).map((voice) => voice.name),
  };
}

/** Asks for all that a test needs, with what most tests want filled in. */
export function NewTest() {
  const t = strings.value.compare.form;
  const { answer: choices, error, again } = useFetched(fetchChoices, []);
  return (
    <div class="new-test">
      <Title lead={t.lead}>{t.title}</Title>
      <ErrorNote error={error} onRetry={again} />
      {choices?.models.length === 0 && <Empty action={<a href="/contribute">{t.contribute}</a>}>{t.noModels}</Empty>}
      {choices && choices.models.length > 0 && <Form {...choices} />}
    </div>
  );
}

function Form({ models, voices }: Choices) {
  const t = strings.value.compare.form;
  const { route } = useLocation();
  const draft = useSignal<Draft>({ ...EMPTY_DRAFT, models: models.slice(0, 2).map((model) => model.id) });
  const [error, setError] = useState<unknown>(null);
  const [isSending, setSending] = useState(false);
  const { kind, models: chosen, texts } = draft.value;
  const change = (changes: Partial<Draft>) => (draft.value = { ...draft.value, ...changes });
  const blame = (field: string) => (error instanceof ApiError && error.param === field ? error.message : null);

  const numTexts = linesOf(texts).length;
  const fewest = kind === "mos" ? 1 : 2;
  const missing = chosen.length < fewest ? t.needSystems(fewest) : numTexts === 0 ? t.needTexts : null;
  const submit = async (event: Event) => {
    event.preventDefault();
    setSending(true);
    try {
      await createTest(definitionOf(draft.value));
      route("/compare");
    } catch (error) {
      setError(error);
      setSending(false);
    }
  };
  return (
    <form class="stack" onSubmit={submit}>
      <Card title={t.what}>
        <Field label={t.name} error={blame("title")}>
          {(described) => (
            <input
              {...described}
              required
              maxLength={200}
              placeholder={t.namePlaceholder}
              value={draft.value.title}
              onInput={(event) => change({ title: event.currentTarget.value })}
            />
          )}
        </Field>
        <KindChoice kind={kind} onChange={(kind) => change({ kind })} />
      </Card>
      <Card title={t.who}>
        <SubmissionChoice models={models} voices={voices} draft={draft.value} onChange={change} error={blame("systems")} />
      </Card>
      <Card title={t.says}>
        <Field label={t.texts} hint={t.textsHint(numTexts)} error={blame("texts")}>
          {(described) => (
            <textarea {...described} rows={7} required value={texts} onInput={(event) => change({ texts: event.currentTarget.value })} />
          )}
        </Field>
        <Field label={t.language} hint={t.languageHint} error={blame("language")}>
          {(described) => (
            <input
              {...described}
              class="short"
              pattern="[A-Za-z0-9\-]+"
              placeholder="ko, en, zh…"
              value={draft.value.language}
              onInput={(event) => change({ language: event.currentTarget.value })}
            />
          )}
        </Field>
      </Card>
      <Card title={t.how}>
        <Options draft={draft.value} onChange={change} blame={blame} />
        {kind === "mos" && <Traps traps={draft.value.traps} onChange={(traps) => change({ traps })} />}
      </Card>
      <ErrorNote error={error} />
      <div class="row">
        <Button kind="primary" type="submit" isBusy={isSending} disabled={missing !== null}>
          {t.submit}
        </Button>
        <p class="note figures" aria-live="polite">
          {missing ?? t.summary(chosen.length * numTexts)}
        </p>
      </div>
    </form>
  );
}

interface OptionsProps {
  draft: Draft;
  onChange: (changes: Partial<Draft>) => void;
  blame: (field: string) => string | null;
}

function Options({ draft, onChange, blame }: OptionsProps) {
  const t = strings.value.compare.form;
  return (
    <>
      <div class="pair">
        <Field label={t.trials} hint={t.trialsHint} error={blame("trials_per_rater")}>
          {(described) => (
            <input {...described} type="number" min={1} max={1000} value={draft.trials} onInput={(event) => onChange({ trials: event.currentTarget.value })} />
          )}
        </Field>
        <Field label={t.minVotes} hint={t.minVotesHint} error={blame("min_votes")}>
          {(described) => (
            <input {...described} type="number" min={2} required value={draft.minVotes} onInput={(event) => onChange({ minVotes: event.currentTarget.value })} />
          )}
        </Field>
      </div>
      <div>
        <label class="check">
          <input type="checkbox" checked={draft.isBlindToTheEnd} onChange={(event) => onChange({ isBlindToTheEnd: event.currentTarget.checked })} />
          {t.revealAtTheEnd}
        </label>
        {draft.kind === "preference" && (
          <label class="check">
            <input type="checkbox" checked={draft.allowTies} onChange={(event) => onChange({ allowTies: event.currentTarget.checked })} />
            {t.allowTies}
          </label>
        )}
      </div>
    </>
  );
}
