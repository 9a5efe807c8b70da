import { useEffect } from "preact/hooks";

import { Empty } from "../../components/Empty";
import { ErrorNote } from "../../components/ErrorNote";
import { Title } from "../../components/Title";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import { isUnderWay, listEvaluations } from "./evaluation";
import { EvaluationCard } from "./EvaluationCard";
import { StartCard } from "./StartCard";

import "./evaluations.css";

const POLL_MS = 1500;

/** What machines can say about submissions: start it, follow it, read its report. */
export default function Evaluations() {
  const t = strings.value.evaluations;
  const { answer: evaluations, error, again } = useFetched(listEvaluations, []);
  useEffect(() => {
    if (!evaluations?.some(isUnderWay)) return;
    const timer = setTimeout(again, POLL_MS);
    return () => clearTimeout(timer);
  }, [evaluations]);
  return (
    <div class="stack">
      <Title lead={t.lead}>{t.title}</Title>
      <StartCard onStarted={again} />
      <ErrorNote error={error} onRetry={again} />
      {evaluations?.length === 0 && <Empty>{t.none}</Empty>}
      <ul class="evaluations">
        {evaluations?.map((evaluation) => (
          <EvaluationCard key={evaluation.id} evaluation={evaluation} onChange={again} />
        ))}
      </ul>
    </div>
  );
}
