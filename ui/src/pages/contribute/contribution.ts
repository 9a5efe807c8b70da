/**
 * The submission that this browser hands in: sent, read by the server, and ended one way or another.
 *
 * It belongs to no component, so it goes on while the reader looks at other pages. What a reload or a crash must
 * not lose is in localStorage: which files, and where on the server what has arrived of them waits.
 */
import { signal } from "@preact/signals";

import { ApiError, postJson } from "../../api";
import type { ChosenFile } from "../../upload/chosenFiles";
import * as reading from "../../upload/intake";
import { Rate } from "../../upload/rate";
import { giveUp, newGroup, sendFile } from "../../upload/resumable";

export interface Problem {
  code: string;
  file: string;
  found: string;
  expected: string;
  remedy: string;
}

export interface Report {
  family: string;
  variant: string;
  languages: string[];
  warnings: Problem[];
  facts: Record<string, string>;
}

/** `GET /v1/submissions/{id of an intake}` */
export interface Intake extends reading.Intake {
  name: string;
  is_new: boolean | null;
  report: Report | null;
  error: (reading.Intake["error"] & { problems?: Problem[] }) | null;
}

export interface Outgoing {
  path: string;
  size: number;
  modified: number;
  address: string | null;
  sent: number;
  /** The server has all of it, which it has said. */
  hasArrived: boolean;
}

/** What a reload must not lose. */
export interface Contribution {
  name: string;
  /** What the server knows its files by. */
  group: string;
  files: Outgoing[];
  /** Set once everything has arrived and is being read. */
  intake: string | null;
  isRefused: boolean;
}

export type Stage =
  | { at: "choosing" }
  | { at: "sending"; isInterrupted: boolean }
  /** `error` null: the reader wanted a break. */
  | { at: "paused"; error: unknown }
  | { at: "reading"; intake: Intake | null; isInterrupted: boolean }
  | { at: "published"; intake: Intake }
  /** `problems` empty: it isn't the submission's fault. */
  | { at: "refused"; name: string; problems: readonly Problem[]; error: unknown };

const STORED = "contribution";
const MAX_HANDED_IN = 3; // the server may be stopped while it reads

export const stage = signal<Stage>({ at: "choosing" });
export const contribution = signal<Contribution | null>(remembered());
/** Of what is going on now: an upload's bytes, or a phase's of reading it. */
export const progress = signal<{ done: number; total: number; perSecond: number | null }>({ done: 0, total: 0, perSecond: null });

let files: readonly ChosenFile[] = [];
let stopping = new AbortController();

/** Which of these were begun to be sent before. */
export function begunBefore(chosen: readonly ChosenFile[]): readonly Outgoing[] {
  const outgoing = contribution.value?.files ?? [];
  return outgoing.filter((part) => part.address !== null && chosen.some((chosenFile) => isSame(part, chosenFile)));
}

/** Send these under that name, going on with what was sent of them before. */
export function begin(name: string, chosen: readonly ChosenFile[]): void {
  const before = contribution.value;
  const known = begunBefore(chosen);
  for (const { address } of (before?.files ?? []).filter((outgoing) => !known.includes(outgoing))) {
    if (address) void giveUp(address);
  }
  files = chosen;
  remember({
    name,
    group: (known.length && before?.group) || newGroup(),
    files: chosen.map((chosenFile) => known.find((outgoing) => isSame(outgoing, chosenFile)) ?? outgoingOf(chosenFile)),
    intake: null,
    isRefused: false,
  });
  goOn();
}

/** After a break or a failure: everything is sent that hasn't arrived, then handed in. */
export function goOn(): void {
  // After a reload the page has no hold of the files any more.
  if (files.length === 0) return chooseAgain();
  void run(async (signal) => {
    await sendAll(signal);
    await handIn(signal);
  });
}

export function takeBreak(): void {
  stopping.abort();
  stage.value = { at: "paused", error: null };
}

/** After a reload: what needs no files any more goes on by itself. */
export function followAgain(): void {
  const begun = contribution.value;
  if (begun === null || begun.isRefused || stage.value.at !== "choosing") return;
  const { intake } = begun;
  if (intake !== null) void run((signal) => follow(intake, signal));
  else if (begun.files.every(({ hasArrived }) => hasArrived)) void run(handIn);
}

/** Give up what was sent, also on the server. */
export function forget(): void {
  stopping.abort();
  for (const { address } of contribution.value?.files ?? []) if (address) void giveUp(address);
  remember(null);
  stage.value = { at: "choosing" };
}

/** Another choice; what has arrived is kept for it. */
export function chooseAgain(): void {
  stopping.abort();
  stage.value = { at: "choosing" };
}

async function run(steps: (signal: AbortSignal) => Promise<void>): Promise<void> {
  stopping.abort();
  stopping = new AbortController();
  const { signal } = stopping;
  try {
    await steps(signal);
  } catch (error) {
    if (!signal.aborted) stage.value = { at: "paused", error };
  }
}

async function sendAll(signal: AbortSignal): Promise<void> {
  const { group, files: outgoing } = contribution.value!;
  const total = outgoing.reduce((sum, { size }) => sum + size, 0);
  const rate = new Rate();
  const show = () => {
    const done = outgoing.reduce((sum, { sent }) => sum + sent, 0);
    rate.add(done);
    progress.value = { done, total, perSecond: rate.perSecond() };
  };
  stage.value = { at: "sending", isInterrupted: false };
  show();
  for (const part of outgoing) {
    const { file } = files.find((chosenFile) => isSame(part, chosenFile))!;
    part.address = await sendFile(file, {
      metadata: { filename: part.path, purpose: "submission", group },
      address: part.address,
      signal,
      onAddress: (address) => {
        part.address = address;
        remember(contribution.value);
      },
      onProgress: (sentBytes) => {
        part.sent = sentBytes;
        remember(contribution.value);
        if (stage.value.at === "sending" && stage.value.isInterrupted) stage.value = { at: "sending", isInterrupted: false };
        show();
      },
      onInterrupted: () => {
        rate.forget();
        stage.value = { at: "sending", isInterrupted: true };
      },
    });
    part.sent = part.size;
    part.hasArrived = true;
    remember(contribution.value);
    show();
  }
}

async function handIn(signal: AbortSignal): Promise<void> {
  for (let times = 1; ; times++) {
    const { name, files: sent } = contribution.value!;
    stage.value = { at: "reading", intake: null, isInterrupted: false };
    const intake = await postJson<Intake>("/v1/submissions", { name, uploads: sent.map(({ address }) => address) }, { signal });
    remember({ ...contribution.value!, intake: intake.id });
    try {
      return await follow(intake.id, signal);
    } catch (error) {
      // The uploads are still there: a server that was started again reads them from the beginning.
      if (!(error instanceof ApiError && error.code === "interrupted") || times === MAX_HANDED_IN) throw error;
    }
  }
}

/** @throws ApiError where reading failed through no fault of the submission. */
async function follow(id: string, signal: AbortSignal): Promise<void> {
  const rate = new Rate();
  let phase = "";
  let last: Intake | null = null;
  stage.value = { at: "reading", intake: null, isInterrupted: false };
  const ended = await reading.readToItsEnd<Intake>(`/v1/submissions/${id}`, signal, (intake) => {
    if (intake?.progress) {
      const { done_bytes: done, total_bytes: total } = intake.progress;
      if (phase !== intake.progress.phase) rate.forget();
      phase = intake.progress.phase;
      rate.add(done);
      progress.value = { done, total, perSecond: rate.perSecond() };
    }
    last = intake ?? last;
    stage.value = { at: "reading", intake: last, isInterrupted: intake === null };
  });
  end(ended);
}

/** @throws ApiError where it failed through no fault of the submission. */
function end(intake: Intake): void {
  if (intake.status === "published") {
    remember(null);
    stage.value = { at: "published", intake };
    return;
  }
  const error = reading.errorOf(intake);
  remember({ ...contribution.value!, intake: null, isRefused: intake.status === "refused" });
  if (intake.status === "failed") throw error;
  stage.value = { at: "refused", name: intake.name, problems: intake.error!.problems ?? [], error };
}

function isSame(outgoing: Outgoing, { path, file }: ChosenFile): boolean {
  return outgoing.path === path && outgoing.size === file.size && outgoing.modified === file.lastModified;
}

function outgoingOf({ path, file }: ChosenFile): Outgoing {
  return { path, size: file.size, modified: file.lastModified, address: null, sent: 0, hasArrived: false };
}

function remember(current: Contribution | null): void {
  contribution.value = current;
  if (current === null) localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, JSON.stringify(current));
}

function remembered(): Contribution | null {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? "null") as Contribution | null;
  } catch {
    return null;
  }
}

// Leaving loses nothing, but the upload stops: say so before.
addEventListener("beforeunload", (event) => {
  if (stage.value.at === "sending") event.preventDefault();
});
