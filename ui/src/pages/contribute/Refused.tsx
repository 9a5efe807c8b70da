import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { strings } from "../../strings";
import { chooseAgain, type Problem, type Stage } from "./contribution";
import { ProblemList, type ShownProblem } from "./ProblemList";

/** The intake's report: everything there is to mend, in one go. */
export function Refused({ refused, onAgain }: { refused: Extract<Stage, { at: "refused" }>; onAgain: () => void }) {
  const { refused: t, chosen } = strings.value.contribute;
  const again = () => {
    onAgain();
    chooseAgain();
  };
  return (
    <Card title={t.title(refused.name)}>
      {refused.problems.length === 0 ? <ErrorNote error={refused.error} /> : <p>{t.text(refused.problems.length)}</p>}
      <ProblemList problems={refused.problems.map(shown)} />
      <div class="row apart">
        <p class="muted">{t.mended}</p>
        <Button kind="primary" onClick={again}>
          {chosen.again}
        </Button>
      </div>
    </Card>
  );
}

/** The server's words are English; what kind of problem it is, is said in the reader's language. */
export function shown(problem: Problem): ShownProblem {
  const t = strings.value.contribute.problems;
  return { ...problem, headline: (t as Record<string, string>)[problem.code] ?? t.other };
}
