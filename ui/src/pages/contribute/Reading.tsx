import { Card } from "../../components/Card";
import { Progress } from "../../components/Progress";
import { strings } from "../../strings";
import { contribution, type Intake } from "./contribution";
import { Moving } from "./Moving";

// Where the operator lets submissions be measured before they get a name.
const COUNTS_SENTENCES = new Set(["speaking", "measuring"]);

/** While the server checks and converts. */
export function Reading({ intake, isInterrupted }: { intake: Intake | null; isInterrupted: boolean }) {
  const t = strings.value.contribute.reading;
  const phase = intake?.progress?.phase;
  const label = (phase && (t.phases as Record<string, string>)[phase]) || t.begin;
  return (
    <Card title={t.title(intake?.name ?? contribution.value?.name ?? "")}>
      {phase ? <Moving label={label} unit={COUNTS_SENTENCES.has(phase) ? "sentences" : "bytes"} /> : <Progress label={label} done={0} total={null} />}
      {intake?.status === "waiting" && <p>{t.waiting}</p>}
      {isInterrupted && <p class="interrupted">{t.interrupted}</p>}
      <p class="small muted">{t.stay}</p>
    </Card>
  );
}
