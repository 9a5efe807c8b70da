import { language } from "../../preferences";
import { strings } from "../../strings";

/** `GET /v1/voice-data/rules` */
export interface Rules {
  version: string;
  statements: Record<string, string>;
  licences: { id: string; title: string; url: string }[];
  rules: Rule[];
  measurements: Record<string, { unit: string; range: string; method: string; source: string }>;
}

export interface Rule {
  name: string;
  subject: string;
  measurement: string;
  unit: string;
  side: "at_least" | "at_most";
  warn: number | null;
  refuse: number | null;
  source: string;
}

const SHARES = /_share$/;

/** A measurement as people read it: 29.6 dB, 12 %, 22,050 Hz. */
export function measured(name: string, value: number | string | null, unit: string): string {
  if (value === null) return "–";
  if (typeof value === "string") return value;
  if (SHARES.test(name)) return new Intl.NumberFormat(language.value, { style: "percent", maximumSignificantDigits: 3 }).format(value);
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const number = new Intl.NumberFormat(language.value, { maximumFractionDigits: digits }).format(value);
  const { units } = strings.value.voiceData;
  return `${number} ${units[unit as keyof typeof units] ?? unit}`.trim();
}
