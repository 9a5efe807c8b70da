import { Card } from "../../components/Card";
import { Table, type Column } from "../../components/Table";
import type { RaterSummary } from "../../listening";
import { strings } from "../../strings";

/** How raters were screened: who is left out, and why. */
export function Raters({ raters, hasTraps }: { raters: readonly RaterSummary[]; hasTraps: boolean }) {
  const t = strings.value.rank;
  const names = t.raterColumns;
  const excluded = raters.filter((rater) => rater.excluded_for.length > 0).length;
  const columns: (Column<RaterSummary> | false)[] = [
    { name: names.rater, cell: ({ number }) => number + 1, isNumber: true },
    { name: names.verdict, cell: (rater) => <Verdict rater={rater} /> },
    { name: names.votes, cell: ({ votes }) => votes, isNumber: true },
    { name: names.pace, cell: (rater) => `${rater.median_decision_s.toFixed(1)} s`, isNumber: true },
    { name: names.favourite, cell: favourite, isNumber: true },
    hasTraps && { name: names.traps, cell: (rater) => `${rater.traps_failed} / ${rater.traps}`, isNumber: true },
  ];
  return (
    <Card title={t.raters} aside={<span class="muted small figures">{excluded ? t.excluded(excluded) : t.allCount}</span>}>
      <p class="muted explained">{t.ratersExplained}</p>
      <Table caption={t.raters} columns={columns.filter((column) => column !== false)} rows={raters} keyOf={(rater) => String(rater.number)} />
    </Card>
  );
}

function favourite({ commonest_answer, commonest_share }: RaterSummary): string {
  return `${commonest_answer.length === 1 ? commonest_answer.toUpperCase() : commonest_answer}, ${Math.round(100 * commonest_share)} %`;
}

function Verdict({ rater }: { rater: RaterSummary }) {
  const t = strings.value.rank;
  if (rater.excluded_for.length === 0) return <span class="tag good">{t.counts}</span>;
  return (
    <span class="row">
      {rater.excluded_for.map((reason) => (
        <span key={reason} class="tag warn">
          {t.reasons[reason]}
        </span>
      ))}
    </span>
  );
}
