import { useState } from "preact/hooks";

import { Button } from "../../components/Button";
import { ErrorNote } from "../../components/ErrorNote";
import { Progress } from "../../components/Progress";
import { Table } from "../../components/Table";
import { key } from "../../key";
import { language } from "../../preferences";
import { strings } from "../../strings";
import { deleteEvaluation, isUnderWay, reportPath, saveReport, type Evaluation, type Status, type System } from "./evaluation";

const TONES: Record<Status, string> = { waiting: "warn", running: "warn", finished: "good", failed: "bad" };
const AS_PERCENT = ["overall", "cer", "hit_limit"] as const;
const AS_NUMBER = ["similarity", "dnsmos", "rtf"] as const;

/** One evaluation: how far it is, or what it found. */
export function EvaluationCard({ evaluation, onChange }: { evaluation: Evaluation; onChange: () => void }) {
  const t = strings.value.evaluations;
  const [error, setError] = useState<unknown>(null);
  const { id, status, progress, systems } = evaluation;
  const name = systems.map((system) => system.name).join(" · ");
  return (
    <li class="card" aria-label={name}>
      <div class="stack">
        <div class="stack tight">
          <div class="row">
            <h2>{name}</h2>
            <span class={`tag ${TONES[status]}`}>{t.statuses[status]}</span>
          </div>
          <p class="muted small figures">
            {t.size(evaluation.num_texts, evaluation.seeds.length)} · {evaluation.language} · {evaluation.recogniser === "none" ? t.start.none : evaluation.recogniser} ·{" "}
            {new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeStyle: "short" }).format(new Date(evaluation.created_at))}
          </p>
        </div>
        {isUnderWay(evaluation) && (
          <Progress label={progress ? t.phases[progress.phase] : t.statuses.waiting} done={progress?.done ?? 0} total={progress?.total ?? null}>
            {progress && `${progress.done} / ${progress.total}`}
          </Progress>
        )}
        {evaluation.error && <p class="note wrong">{evaluation.error}</p>}
        {status === "finished" && <Scores caption={name} systems={systems} />}
        <ErrorNote error={error} />
        <div class="row apart">
          <div class="row">{status === "finished" && <Report id={id} onError={setError} />}</div>
          <Button kind="quiet" aria-label={t.deleteNamed(name)} onClick={() => deleteEvaluation(id).then(onChange, setError)}>
            {t.delete}
          </Button>
        </div>
      </div>
    </li>
  );
}

function Report({ id, onError }: { id: string; onError: (error: unknown) => void }) {
  const t = strings.value.evaluations;
  if (key.value)
    return (
      <Button kind="primary" onClick={() => saveReport(id).catch(onError)}>
        {t.save}
      </Button>
    );
  return (
    <a class="button primary" href={reportPath(id)} target="_blank" rel="noopener">
      {t.open}
    </a>
  );
}

function Scores({ caption, systems }: { caption: string; systems: readonly System[] }) {
  const t = strings.value.evaluations.measures;
  const shown = (system: System, measure: string, isPercent: boolean) => {
    const value = system.scores?.[measure];
    if (value === undefined) return "–";
    return new Intl.NumberFormat(language.value, isPercent ? { style: "percent", maximumFractionDigits: 1 } : { maximumFractionDigits: 2 }).format(value);
  };
  const columns = [
    { name: t.name, cell: (system: System) => system.name },
    ...AS_PERCENT.map((measure) => ({ name: t[measure], cell: (system: System) => shown(system, measure, true), isNumber: true })),
    ...AS_NUMBER.map((measure) => ({ name: t[measure], cell: (system: System) => shown(system, measure, false), isNumber: true })),
  ];
  const ranked = [...systems].sort((a, b) => (b.scores?.overall ?? 0) - (a.scores?.overall ?? 0));
  return <Table caption={caption} columns={columns} rows={ranked} keyOf={(system) => system.submission_id} />;
}
