import { Card } from "../../components/Card";
import type { Standing } from "../../listening";
import { strings } from "../../strings";

const CELL = 40;
const NAMES = 116;
const LONGEST_NAME = 13;
const DARKEST = 0.5; // ink stays readable on it in both themes

/** How often each system was preferred to each, in the ranking's order. */
export function VoteMatrix({ standings, wins }: { standings: readonly Standing[]; wins: readonly (readonly number[])[] }) {
  const t = strings.value.rank;
  const size = { width: NAMES + CELL * standings.length, height: CELL * (standings.length + 1) };
  return (
    <Card title={t.matrix}>
      <p class="muted explained">{t.matrixExplained}</p>
      <div class="table" role="region" aria-label={t.matrix} tabIndex={0}>
        <svg class="matrix" {...size} role="img" aria-label={sentences(standings, wins)}>
          {standings.map(({ system }, index) => (
            <text key={system} class="number" x={NAMES + CELL * (index + 0.5)} y={CELL * 0.6} text-anchor="middle">
              {index + 1}
            </text>
          ))}
          {standings.map((row, index) => (
            <g key={row.system} transform={`translate(0 ${CELL * (index + 1)})`}>
              <text x={0} y={CELL * 0.6}>
                <title>{row.name}</title>
                {index + 1} {shortened(row.name)}
              </text>
              {standings.map((column, place) => (
                <Cell key={column.system} row={row} column={column} wins={wins} x={NAMES + CELL * place} />
              ))}
            </g>
          ))}
        </svg>
      </div>
    </Card>
  );
}

function Cell({ row, column, wins, x }: { row: Standing; column: Standing; wins: readonly (readonly number[])[]; x: number }) {
  if (row.system === column.system) return <rect class="nobody" x={x + 1} y={1} width={CELL - 2} height={CELL - 2} rx={4} />;
  const { won, all } = between(row, column, wins);
  return (
    <g>
      <title>{strings.value.rank.matrixCell(row.name, column.name, figure(won), figure(all))}</title>
      <rect class="cell" x={x + 1} y={1} width={CELL - 2} height={CELL - 2} rx={4} fill-opacity={all ? (DARKEST * won) / all : 0} />
      <text class="number" x={x + CELL / 2} y={CELL * 0.6} text-anchor="middle">
        {all ? figure(won) : "–"}
      </text>
    </g>
  );
}

function between(row: Standing, column: Standing, wins: readonly (readonly number[])[]): { won: number; all: number } {
  const won = wins[row.system]![column.system]!;
  return { won, all: won + wins[column.system]![row.system]! };
}

/** The whole matrix in words, for who doesn't see it. */
function sentences(standings: readonly Standing[], wins: readonly (readonly number[])[]): string {
  const t = strings.value.rank;
  const pairs = standings.flatMap((row) => standings.filter((column) => column !== row).map((column) => ({ row, column, ...between(row, column, wins) })));
  return pairs
    .filter(({ all }) => all > 0)
    .map(({ row, column, won, all }) => t.matrixCell(row.name, column.name, figure(won), figure(all)))
    .join("; ");
}

/** Ties are half a win. */
function figure(count: number): string {
  return Number.isInteger(count) ? String(count) : count.toFixed(1);
}

function shortened(name: string): string {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
}
