import { getJson, postJson, send } from "./api";

export type Kind = "preference" | "abx" | "mos";
export type Status = "waiting" | "synthesising" | "open" | "closed" | "failed";
export type Side = "a" | "b" | "x";
export type Reason = "too_fast" | "all_one_side" | "failed_traps";

export interface Test {
  id: string;
  title: string;
  kind: Kind;
  status: Status;
  error: string | null;
  created_at: number;
  systems: readonly { name: string; submission_id: string; voice_id: string }[];
  definition: Definition;
  clips_done: number;
  clips_total: number;
  raters: number;
  votes: number;
}

/** What makes a test; the server has defaults for the optional ones. */
export interface Definition {
  title: string;
  kind: Kind;
  systems: readonly { submission: string; voice: string; name?: string | null }[];
  texts: readonly { text: string; language: string | null }[];
  traps: readonly { text: string; language: string | null; expected: number }[];
  allow_ties: boolean;
  reveal: "vote" | "end";
  trials_per_rater: number | null;
  min_votes: number;
}

export interface Trial {
  position: number;
  /** null in a test with traps: reading it would do instead of listening. */
  text: string | null;
  sides: readonly { side: Side; duration_s: number; must_hear_s: number }[];
  answers: readonly string[];
}

export interface Vote {
  position: number;
  text: string;
  answer: string;
  /** Side → system; null until the rater's end where the test says so. */
  names: Readonly<Partial<Record<Side, string>>> | null;
}

export interface Progress {
  rater_id: string;
  test_id: string;
  title: string;
  kind: Kind;
  status: Status;
  number: number;
  voted: number;
  total: number;
  trial: Trial | null;
  /** All of them, once there is no trial left. */
  votes: readonly Vote[];
}

export interface Standing {
  system: number;
  name: string;
  votes: number;
  rank: number | null;
  score: number | null;
  low: number | null;
  high: number | null;
}

export interface Discrimination {
  names: readonly [string, string];
  votes: number;
  correct: number;
  share: number;
  low: number;
  high: number;
  p_value: number;
}

export interface RaterSummary {
  number: number;
  votes: number;
  median_decision_s: number;
  commonest_answer: string;
  commonest_share: number;
  traps: number;
  traps_failed: number;
  excluded_for: readonly Reason[];
}

export interface Results {
  votes: number;
  votes_counted: number;
  drawn: "raters" | "votes" | null;
  standings: readonly Standing[];
  wins: readonly (readonly number[])[] | null;
  discriminations: readonly Discrimination[];
  raters: readonly RaterSummary[];
}

const TESTS = "/v1/listening/tests";
const RATERS = "/v1/listening/raters";

export async function listTests(signal?: AbortSignal): Promise<readonly Test[]> {
  return (await getJson<{ data: readonly Test[] }>(TESTS, { signal })).data;
}

export function getTest(id: string, signal?: AbortSignal): Promise<Test> {
  return getJson(`${TESTS}/${encodeURIComponent(id)}`, { signal });
}

export function getResults(id: string, signal?: AbortSignal): Promise<Results> {
  return getJson(`${TESTS}/${encodeURIComponent(id)}/results`, { signal });
}

export function createTest(definition: Definition): Promise<Test> {
  return postJson(TESTS, definition);
}

export function changeStatus(id: string, status: "open" | "closed"): Promise<Test> {
  return getJson(`${TESTS}/${encodeURIComponent(id)}`, { method: "PATCH", json: { status } });
}

export async function deleteTest(id: string): Promise<void> {
  await send(`${TESTS}/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export async function exportVotes(id: string, format: "csv" | "json"): Promise<Blob> {
  return (await send(`${TESTS}/${encodeURIComponent(id)}/votes?format=${format}`)).blob();
}

export function join(test: string): Promise<Progress> {
  return postJson(`${TESTS}/${encodeURIComponent(test)}/raters`, undefined);
}

export function progressOf(rater: string, signal?: AbortSignal): Promise<Progress> {
  return getJson(`${RATERS}/${encodeURIComponent(rater)}`, { signal });
}

export async function audioOf(rater: string, position: number, side: Side, signal?: AbortSignal): Promise<ArrayBuffer> {
  return (await send(`${RATERS}/${rater}/trials/${position}/audio/${side}`, { signal })).arrayBuffer();
}

/** The same vote again changes nothing, so it may be sent again after a failure. */
export function vote(rater: string, position: number, answer: string, heard: Partial<Record<Side, number>>): Promise<Vote> {
  return getJson(`${RATERS}/${rater}/trials/${position}/vote`, { method: "PUT", json: { answer, heard } });
}

/** Everyone's audio is still being made. */
export function isInTheMaking(test: { status: Status }): boolean {
  return test.status === "waiting" || test.status === "synthesising";
}
