/**
 * Recordings on their way: sent, listened to by the server, declared and taken in.
 *
 * It belongs to no component, so it goes on while the reader looks at other pages.
 */
import { signal } from "@preact/signals";

import { postJson } from "../../api";
import type { ChosenFile } from "../../upload/chosenFiles";
import * as reading from "../../upload/intake";
import { giveUp, newGroup, sendFile } from "../../upload/resumable";

export type Verdict = "accepted" | "accepted_with_warnings" | "refused";

export interface Moment {
  measurement: string;
  start_s: number;
  end_s: number;
}

export interface Finding {
  rule: string;
  severity: "warning" | "refusal";
  measurement: string;
  value: number | string | null;
  bound: number | null;
  message: string;
  moments: Moment[];
}

export interface LookedAt {
  file: string;
  verdict: Verdict;
  not_wav: string | null;
  duplicate_of: string | null;
  measurements: Record<string, number | string | null>;
  findings: Finding[];
  /** Lowest and highest sample of even pieces, by turns. */
  waveform: number[];
}

export interface Contribution {
  id: string;
  contributed_at: string;
  language: string | null;
  declaration: { licence: string; source: string };
  recordings: { file: string; duration_s: number; verdict: Verdict }[];
  receipt: string;
  withdrawn_at: string | null;
}

export interface Intake extends reading.Intake<"checked"> {
  contribution: Contribution | null;
  recordings: LookedAt[] | null;
}

export interface Declaration {
  version: string;
  licence: string;
  source: string;
  contributor: string;
  language: string;
  right_to_share: boolean;
  speaker_consent: boolean;
  authentic_source: boolean;
}

export type Stage =
  | { at: "choosing" }
  | { at: "sending"; done: number; total: number; isInterrupted: boolean }
  | { at: "listening"; done: number; total: number }
  | { at: "looked"; recordings: LookedAt[]; error: unknown }
  | { at: "contributed"; contribution: Contribution; recordings: LookedAt[] }
  | { at: "failed"; error: unknown };

export const stage = signal<Stage>({ at: "choosing" });

let files: readonly ChosenFile[] = [];
let addresses: string[] = [];
let stopping = new AbortController();

/** The reader's own copy of a recording; undefined where it came in a zip. */
export function localFile(name: string): File | undefined {
  return files.find(({ path }) => path === name)?.file;
}

export function numChosen(): number {
  return files.length;
}

/** Sends what was chosen and has it listened to; nothing is kept. */
export function look(chosen: readonly ChosenFile[]): void {
  forget();
  files = chosen;
  void run(async (signal) => {
    await sendAll(signal);
    const intake = await handIn({ check: true }, signal);
    stage.value = { at: "looked", recordings: intake.recordings!, error: null };
  });
}

/** Declares what was looked at and hands it in. */
export function contribute(declaration: Declaration): void {
  const before = stage.value;
  if (before.at !== "looked") return;
  void run(async (signal) => {
    try {
      const { contribution, recordings } = await handIn({ ...declaration }, signal);
      stage.value = contribution ? { at: "contributed", contribution, recordings: recordings! } : { at: "looked", recordings: recordings!, error: null };
      if (contribution) addresses = []; // the server has removed them
    } catch (error) {
      if (signal.aborted) throw error;
      stage.value = { ...before, error };
    }
  });
}

/** Another choice; what was sent is given up. */
export function forget(): void {
  stopping.abort();
  for (const address of addresses) void giveUp(address);
  files = [];
  addresses = [];
  stage.value = { at: "choosing" };
}

async function run(steps: (signal: AbortSignal) => Promise<void>): Promise<void> {
  stopping.abort();
  stopping = new AbortController();
  const { signal } = stopping;
  try {
    await steps(signal);
  } catch (error) {
    if (!signal.aborted) stage.value = { at: "failed", error };
  }
}

async function sendAll(signal: AbortSignal): Promise<void> {
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  const group = newGroup();
  let before = 0;
  const show = (sentBytes: number, isInterrupted = false) => {
    stage.value = { at: "sending", done: before + sentBytes, total, isInterrupted };
  };
  for (const { path, file } of files) {
    show(0);
    const metadata = { filename: path, purpose: "voice_data", group };
    const follow = { onAddress: () => undefined, onProgress: show, onInterrupted: () => show(0, true) };
    addresses.push(await sendFile(file, { metadata, address: null, signal, ...follow }));
    before += file.size;
  }
}

/** @throws ApiError where it failed through no fault of the recordings. */
async function handIn(body: Partial<Declaration> & { check?: boolean }, signal: AbortSignal): Promise<Intake> {
  stage.value = { at: "listening", done: 0, total: 0 };
  const { id } = await postJson<Intake>("/v1/voice-data", { ...body, uploads: addresses }, { signal });
  const intake = await reading.readToItsEnd<Intake>(`/v1/voice-data/${id}`, signal, (current) => {
    const { done_bytes: done, total_bytes: total } = current?.progress ?? { done_bytes: 0, total_bytes: 0 };
    if (current) stage.value = { at: "listening", done, total };
  });
  if (intake.error) throw reading.errorOf(intake);
  return intake;
}
