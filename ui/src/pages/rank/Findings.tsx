import { Card } from "../../components/Card";
import type { Discrimination, Kind, Results, Standing, Test } from "../../listening";
import { strings } from "../../strings";
import { ForestPlot, type Estimate } from "./ForestPlot";
import { spanOf, type Scale } from "./scale";

/** The ranking as a forest plot; systems that have too few votes for a rank stand below it. */
export function Findings({ test, results }: { test: Test; results: Results }) {
  const t = strings.value.rank;
  const words = t[test.kind];
  const estimates = test.kind === "abx" ? results.discriminations.map(ofPair) : results.standings.filter(isRanked).map(ofSystem);
  const unranked = results.standings.filter((standing) => !isRanked(standing));
  return (
    <Card title={words.title} aside={<span class="muted small figures">{t.lastVotes(results.votes_counted, results.votes)}</span>}>
      {estimates.length > 0 && <p class="muted explained">{words.explained}</p>}
      {estimates.length > 0 && <ForestPlot title={words.title} axis={words.axis} estimates={estimates} scale={SCALES[test.kind](estimates)} />}
      {unranked.length > 0 && <Unranked standings={unranked} fewest={test.definition.min_votes} />}
      {results.drawn && estimates.length > 0 && <p class="note">{t.drawn[results.drawn]}</p>}
    </Card>
  );
}

const SCALES: Record<Kind, (estimates: readonly Estimate[]) => Scale> = {
  preference: (estimates) => spanOf(estimates.flatMap(({ low, high }) => [low, high, 0]), 0),
  mos: () => ({ low: 0.8, high: 5.2, ticks: [1, 2, 3, 4, 5], reference: null }),
  abx: () => ({ low: -6, high: 106, ticks: [0, 25, 50, 75, 100], reference: 50 }),
};

function Unranked({ standings, fewest }: { standings: readonly Standing[]; fewest: number }) {
  const t = strings.value.rank;
  return (
    <div class="unranked">
      <h3>{t.tooFewTitle}</h3>
      <p class="note">{t.tooFewText(fewest)}</p>
      <ul>
        {standings.map(({ system, name, votes }) => (
          <li key={system}>
            <span class="estimate-name">{name}</span>
            <progress value={votes} max={fewest} aria-label={name} />
            <span class="small muted figures">{t.tooFew(fewest - votes)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

type Ranked = Standing & { rank: number; score: number; low: number; high: number };

function isRanked(standing: Standing): standing is Ranked {
  return standing.rank !== null;
}

function ofSystem({ rank, name, score, low, high, votes }: Ranked): Estimate {
  return { key: String(rank), name: `${rank}. ${name}`, score, low, high, digits: 2, votes };
}

function ofPair({ names, share, low, high, votes }: Discrimination): Estimate {
  return { key: names.join("/"), name: names.join(" / "), score: 100 * share, low: 100 * low, high: 100 * high, digits: 0, votes };
}
