/** What part of the numbers a plot shows. */
export interface Scale {
  low: number;
  high: number;
  ticks: readonly number[];
  /** Where a line stands, such as chance. */
  reference: number | null;
}

const ROUND_STEPS = [1, 2, 2.5, 5, 10];
const MOST_TICKS = 5;
const MARGIN = 0.06;

/** A scale that has all `values` and a few round numbers, with room at both ends. */
export function spanOf(values: readonly number[], reference: number | null): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const width = most - least || 1;
  const magnitude = 10 ** Math.floor(Math.log10(width / MOST_TICKS));
  const step = magnitude * ROUND_STEPS.find((factor) => width / (magnitude * factor) <= MOST_TICKS)!;
  const first = Math.ceil(least / step);
  const ticks = Array.from({ length: Math.floor(most / step) - first + 1 }, (_, index) => (first + index) * step);
  return { low: least - MARGIN * width, high: most + MARGIN * width, ticks, reference };
}

/** Where a value lies, as SVG reads it. */
export function placeOf(value: number, { low, high }: Scale): string {
  return `${(100 * (value - low)) / (high - low)}%`;
}

/** With a proper minus, which is as wide as a digit. */
export function numberOf(value: number, digits: number): string {
  return value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1").replace("-", "−");
}
