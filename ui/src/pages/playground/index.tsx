import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";

import { getJson } from "../../api";
import { Empty } from "../../components/Empty";
import { ErrorNote } from "../../components/ErrorNote";
import { Title } from "../../components/Title";
import { hasPage } from "../../routes";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import { CodeCard } from "./CodeCard";
import { Composer, type Draft } from "./Composer";
import { History } from "./History";
import "./playground.css";
import { useReading, type Model } from "./reading";
import { LARGEST_SEED, SamplingCard, type Controls } from "./SamplingCard";
import type { Wish } from "./speech";
import { TakeCard } from "./TakeCard";
import { begin, takes, type Take } from "./takes";

/** The rate that a family speaks at: asked for, so that nothing is lost on the way. */
const SAMPLE_RATES_HZ: Record<string, number> = { xtts: 24_000, gpt_sovits: 32_000 };
const OTHERWISE_HZ = 24_000;

/** Choose a submission and a voice, type, listen. `?model=NAME` chooses beforehand. */
export default function Playground() {
  const t = strings.value.playground;
  const { answer, error, again } = useFetched((signal) => getJson<{ data: Model[] }>("/v1/models", { signal }), []);
  return (
    <>
      <Title lead={t.lead}>{t.title}</Title>
      <ErrorNote error={error} onRetry={again} />
      {answer?.data.length === 0 && (
        <Empty action={hasPage("/contribute") ? <a href="/contribute">{t.contribute}</a> : <code>voicecore submit FOLDER</code>}>{t.noModels}</Empty>
      )}
      {answer !== undefined && answer.data.length > 0 && <Desk models={answer.data} />}
    </>
  );
}

function Desk({ models }: { models: readonly Model[] }) {
  const { query } = useLocation();
  const [draft, setDraft] = useState<Draft>(() => beginning(models, query.model));
  const [controls, setControls] = useState<Controls>({ seed: "" });
  const [chosen, setChosen] = useState<Take | null>(takes.value[0] ?? null);
  // The sample text follows the page's language until somebody writes another.
  const input = draft.input ?? strings.value.playground.sample;
  const whole = { ...draft, input };
  const { reading, error } = useReading(draft.model, input, draft.language);
  const family = models.find(({ id }) => id === draft.model)?.family ?? "";
  const wish = wishOf(whole, controls, SAMPLE_RATES_HZ[family] ?? OTHERWISE_HZ);

  const change = (changes: Partial<Draft>) =>
    setDraft({ ...whole, ...changes, ...(changes.model && { voice: "default", language: "" }) });
  const reuse = (take: Take) => {
    const { model, voice, input, language = "", sample_rate, seed, ...rest } = take.wish;
    setDraft({ model, voice, input, language });
    setControls({ ...rest, seed: String(seed) });
  };
  return (
    <div class="stack">
      <div class="columns">
        <div class="stack">
          <Composer
            draft={whole}
            models={models}
            reading={reading}
            error={error}
            isSpeaking={chosen?.progress.value.phase === "speaking"}
            onChange={change}
            onSpeak={() => setChosen(begin({ ...wish, seed: wish.seed ?? drawnSeed() }))}
          />
          <TakeCard take={chosen} />
        </div>
        <SamplingCard controls={controls} defaults={reading?.sampling} onChange={setControls} />
      </div>
      <CodeCard wish={wish} />
      <History shown={chosen} onShow={setChosen} onReuse={reuse} />
    </div>
  );
}

function beginning(models: readonly Model[], asked: string | undefined): Draft {
  const model = models.find(({ id }) => id === asked) ?? models[0]!;
  return { model: model.id, voice: "default", language: "", input: null };
}

function wishOf(draft: Draft & { input: string }, { seed, ...changed }: Controls, sampleRateHz: number): Wish {
  return {
    model: draft.model,
    voice: draft.voice,
    input: draft.input,
    ...(draft.language && { language: draft.language }),
    ...changed,
    ...(seed !== "" && { seed: Number(seed) }),
    sample_rate: sampleRateHz,
  };
}

function drawnSeed(): number {
  return Math.floor(Math.random() * (LARGEST_SEED + 1));
}
