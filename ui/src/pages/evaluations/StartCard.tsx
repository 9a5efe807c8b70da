import { useState } from "preact/hooks";

import { getJson } from "../../api";
import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Field";
import { language as pageLanguage } from "../../preferences";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import { getOptions, startEvaluation, type Options } from "./evaluation";

interface Model {
  id: string;
  languages: readonly string[];
}

const DEFAULT_SEEDS = 3;
const SEED_COUNTS = [1, 2, 3, 5, 10];
const MOST_SUBMISSIONS = 8;

const listModels = async (signal: AbortSignal) => (await getJson<{ data: readonly Model[] }>("/v1/models", { signal })).data;

/** Which submissions are measured, with which texts, how often, and who listens. */
export function StartCard({ onStarted }: { onStarted: () => void }) {
  const t = strings.value.evaluations.start;
  const { answer: models, error: modelsError } = useFetched(listModels, []);
  const { answer: options, error: optionsError, again } = useFetched(getOptions, []);
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [language, setLanguage] = useState("en");
  const [recogniser, setRecogniser] = useState("auto");
  const [numSeeds, setNumSeeds] = useState(DEFAULT_SEEDS);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);

  const start = async () => {
    setBusy(true);
    setError(null);
    try {
      const seeds = Array.from({ length: numSeeds }, (_, i) => i + 1);
      await startEvaluation({ submissions: chosen, language, recogniser, seeds });
      setChosen([]);
      onStarted();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };

  if (!models || !options) return <ErrorNote error={modelsError ?? optionsError} onRetry={again} />;
  if (options.missing) return <p class="note wrong">{options.missing}</p>;
  if (models.length === 0) return <p class="note">{t.noModels}</p>;
  return (
    <Card title={t.title}>
      <div class="stack">
        <ModelChoice models={models} chosen={chosen} onChange={setChosen} />
        <div class="columns">
          <Field label={t.language}>
            {(described) => (
              <select {...described} value={language} onChange={(event) => setLanguage(event.currentTarget.value)}>
                {options.languages.map((code) => (
                  <option key={code} value={code}>
                    {new Intl.DisplayNames(pageLanguage.value, { type: "language" }).of(code)}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label={t.seeds}>
            {(described) => (
              <select {...described} value={numSeeds} onChange={(event) => setNumSeeds(Number(event.currentTarget.value))}>
                {SEED_COUNTS.map((count) => (
                  <option key={count}>{count}</option>
                ))}
              </select>
            )}
          </Field>
          <RecogniserField options={options} language={language} recogniser={recogniser} onChange={setRecogniser} />
        </div>
        <ErrorNote error={error} />
        <div class="row">
          <Button kind="primary" isBusy={isBusy} disabled={chosen.length === 0} onClick={() => void start()}>
            {t.action}
          </Button>
        </div>
      </div>
    </Card>
  );
}

function ModelChoice({ models, chosen, onChange }: { models: readonly Model[]; chosen: readonly string[]; onChange: (chosen: readonly string[]) => void }) {
  const t = strings.value.evaluations.start;
  const toggle = (id: string) => onChange(chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id]);
  return (
    <fieldset class="evaluated">
      <legend>{t.submissions}</legend>
      {models.map(({ id, languages }) => (
        <label key={id}>
          <input type="checkbox" checked={chosen.includes(id)} disabled={!chosen.includes(id) && chosen.length >= MOST_SUBMISSIONS} onChange={() => toggle(id)} />
          <span>
            {id} <span class="muted small">{languages.slice(0, 4).join(" ")}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

function RecogniserField({ options, language, recogniser, onChange }: { options: Options; language: string; recogniser: string; onChange: (name: string) => void }) {
  const t = strings.value.evaluations.start;
  const automatic = options.chosen[language] ?? "none";
  const listening = recogniser === "auto" ? automatic.split("/")[0] : recogniser;
  const row = options.recognisers.find(({ name }) => name === listening);
  const hint = listening === "none" ? t.nobody : row?.sends_audio ? t.sendsAudio : t.staysHere;
  return (
    <Field label={t.recogniser} hint={hint}>
      {(described) => (
        <select {...described} value={recogniser} onChange={(event) => onChange(event.currentTarget.value)}>
          <option value="auto">{t.automatic(automatic === "none" ? t.none : automatic)}</option>
          {options.recognisers.map(({ name, languages, missing }) => (
            <option key={name} value={name} disabled={missing !== null || !languages.includes(language)} title={missing ?? undefined}>
              {name}
            </option>
          ))}
          <option value="none">{t.none}</option>
        </select>
      )}
    </Field>
  );
}
