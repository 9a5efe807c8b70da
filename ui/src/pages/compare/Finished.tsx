import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import type { Progress, Vote } from "../../listening";
import { strings } from "../../strings";

/** Thanks, and what this rater has said, now that the names may be known. */
export function Finished({ progress, onLeave }: { progress: Progress; onLeave: () => void }) {
  const t = strings.value.compare;
  return (
    <Card title={t.thanks}>
      <p>{t.thanksText(progress.total)}</p>
      {progress.kind === "abx" ? (
        <p class="figures">{t.toldApart(progress.votes.filter(isRight).length, progress.total)}</p>
      ) : (
        <dl class="tally">
          {tallies(progress).map(({ name, value }) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd class="figures">{progress.kind === "mos" ? t.rated(value) : t.preferred(value)}</dd>
            </div>
          ))}
        </dl>
      )}
      <div class="row">
        <a class="button primary" href={`/rank/${progress.test_id}`}>
          {t.toResults}
        </a>
        <Button onClick={onLeave}>{t.another}</Button>
      </div>
    </Card>
  );
}

function isRight({ answer, names }: Vote): boolean {
  return names?.x !== undefined && names.x === names[answer as "a" | "b"];
}

/** preference: how often each system was preferred, half of the ties included; mos: its mean rating. */
function tallies({ kind, votes }: Progress): { name: string; value: number }[] {
  const points = new Map<string, number[]>();
  const give = (name: string | undefined, value: number) => name && points.set(name, [...(points.get(name) ?? []), value]);
  for (const { answer, names } of votes) {
    if (kind === "mos") give(names?.a, Number(answer));
    else for (const side of ["a", "b"] as const) give(names?.[side], answer === "tie" ? 0.5 : answer === side ? 1 : 0);
  }
  const total = (values: number[]) => values.reduce((sum, value) => sum + value, 0);
  const value = (values: number[]) => (kind === "mos" ? total(values) / values.length : total(values));
  return [...points].map(([name, values]) => ({ name, value: value(values) })).sort((a, b) => b.value - a.value);
}
