import { getJson, postJson, send } from "../../api";

export type Status = "waiting" | "running" | "finished" | "failed";

export interface System {
  name: string;
  submission_id: string;
  /** Measure → mean, once it is finished. */
  scores: Readonly<Record<string, number>> | null;
}

export interface Evaluation {
  id: string;
  status: Status;
  progress: { phase: "speaking" | "measuring"; done: number; total: number } | null;
  error: string | null;
  created_at: string;
  language: string;
  num_texts: number;
  seeds: readonly number[];
  recogniser: string;
  systems: readonly System[];
}

export interface Recogniser {
  name: string;
  languages: readonly string[];
  sends_audio: boolean;
  missing: string | null;
}

export interface Options {
  /** Why nothing can be evaluated; null: it can. */
  missing: string | null;
  languages: readonly string[];
  recognisers: readonly Recogniser[];
  /** Language → what is taken if none is named. */
  chosen: Readonly<Record<string, string>>;
}

export interface Asked {
  submissions: readonly string[];
  language: string;
  recogniser: string;
  seeds: readonly number[];
}

const BASE = "/v1/evaluations";

export const isUnderWay = ({ status }: Evaluation) => status === "waiting" || status === "running";

export const reportPath = (id: string) => `${BASE}/${id}/report`;

export async function listEvaluations(signal: AbortSignal): Promise<readonly Evaluation[]> {
  return (await getJson<{ data: readonly Evaluation[] }>(BASE, { signal })).data;
}

export const getOptions = (signal: AbortSignal) => getJson<Options>(`${BASE}/options`, { signal });

export const startEvaluation = (asked: Asked) => postJson<Evaluation>(BASE, asked);

export const deleteEvaluation = (id: string) => send(`${BASE}/${id}`, { method: "DELETE" });

/** Saves the report as a file: where there is a key, a link alone couldn't carry it. */
export async function saveReport(id: string): Promise<void> {
  const address = URL.createObjectURL(await (await send(reportPath(id))).blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = `${id}.html`;
  link.click();
  URL.revokeObjectURL(address);
}
