import { strings } from "../../strings";
import { numberOf, placeOf, type Scale } from "./scale";

export interface Estimate {
  key: string;
  name: string;
  score: number;
  low: number;
  high: number;
  digits: number;
  votes: number;
}

interface ForestPlotProps {
  title: string;
  axis: string;
  estimates: readonly Estimate[];
  scale: Scale;
}

/** A row per estimate: its name, its interval drawn to scale with the estimate in it, and both as numbers. */
export function ForestPlot({ title, axis, estimates, scale }: ForestPlotProps) {
  const words = strings.value.compare;
  return (
    <figure class="forest" aria-label={title}>
      <ol>
        {estimates.map((estimate) => (
          <li key={estimate.key} class="estimate">
            <span class="estimate-name">{estimate.name}</span>
            <Interval estimate={estimate} scale={scale} />
            <b class="estimate-score figures">{numberOf(estimate.score, estimate.digits)}</b>
            <span class="estimate-range small muted figures">
              {numberOf(estimate.low, estimate.digits)} … {numberOf(estimate.high, estimate.digits)}
            </span>
            <span class="estimate-votes small muted figures">{words.votes(estimate.votes)}</span>
          </li>
        ))}
      </ol>
      <Axis name={axis} scale={scale} />
    </figure>
  );
}

const WHISKER = 6;

function Interval({ estimate, scale }: { estimate: Estimate; scale: Scale }) {
  const { name, score, low, high, digits } = estimate;
  const label = strings.value.rank.plotRow(name, numberOf(score, digits), numberOf(low, digits), numberOf(high, digits));
  const [start, end, middle] = [low, high, score].map((value) => placeOf(value, scale));
  return (
    <svg class="interval" width="100%" role="img" aria-label={label}>
      {scale.ticks.map((tick) => (
        <line key={tick} class="grid" x1={placeOf(tick, scale)} x2={placeOf(tick, scale)} y1="0" y2="100%" />
      ))}
      {scale.reference !== null && (
        <line class="reference" x1={placeOf(scale.reference, scale)} x2={placeOf(scale.reference, scale)} y1="0" y2="100%" />
      )}
      <svg y="50%" overflow="visible">
        <line class="bar" x1={start} x2={end} y1={0} y2={0} />
        <line class="bar" x1={start} x2={start} y1={-WHISKER} y2={WHISKER} />
        <line class="bar" x1={end} x2={end} y1={-WHISKER} y2={WHISKER} />
        <circle class="point" cx={middle} cy={0} r={5.5} />
      </svg>
    </svg>
  );
}

function Axis({ name, scale }: { name: string; scale: Scale }) {
  const step = scale.ticks.length > 1 ? scale.ticks[1]! - scale.ticks[0]! : 1;
  const digits = Number.isInteger(step) ? 0 : Number.isInteger(10 * step) ? 1 : 2;
  return (
    <div class="axis" aria-hidden="true">
      <svg height={22} width="100%">
        {scale.ticks.map((tick) => (
          <text key={tick} x={placeOf(tick, scale)} y={15} text-anchor="middle">
            {numberOf(tick, digits)}
          </text>
        ))}
      </svg>
      <span class="small muted">{name}</span>
    </div>
  );
}
