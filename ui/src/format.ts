import { language } from "./preferences";
import { strings } from "./strings";

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** A number of bytes as people write it: 5.9 MB. */
export function bytes(count: number): string {
  const step = count < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(count) / 3));
  return new Intl.NumberFormat(language.value, {
    style: "unit",
    unit: UNITS[step],
    unitDisplay: step ? "short" : "long",
    maximumFractionDigits: step > 1 ? 1 : 0,
  }).format(count / 1000 ** step);
}

export function percent(part: number): string {
  return new Intl.NumberFormat(language.value, { style: "percent", maximumFractionDigits: 0 }).format(part);
}

/** How long something still takes, no more exactly than anybody can know. */
export function timeLeft(seconds: number): string {
  const t = strings.value.timeLeft;
  if (seconds < 50) return t.seconds(Math.max(5, 5 * Math.ceil(seconds / 5)));
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? t.minutes(minutes) : t.hours(Math.round(minutes / 60));
}
