import { ApiError, getJson } from "../api";

const POLL_MS = 500;
const LOST_POLL_MS = 2000;

/** What was handed in, as the server reads it: every route that takes uploads adds fields of its own. */
export interface Intake<Ended extends string = never> {
  id: string;
  status: "waiting" | "running" | "published" | "refused" | "failed" | Ended;
  progress: { phase: string; done_bytes: number; total_bytes: number } | null;
  error: { message: string; code: string; http_status: number } | null;
}

/**
 * Asks how it is coming along until it is over; returns how it ended. Where the server doesn't answer, `show` gets
 * null, and it is asked again.
 * @throws ApiError where it is not known there; the AbortError of `signal`.
 */
export async function readToItsEnd<T extends Intake<string>>(path: string, signal: AbortSignal, show: (intake: T | null) => void): Promise<T> {
  for (;;) {
    const intake = await ask<T>(path, signal);
    if (intake && intake.status !== "waiting" && intake.status !== "running") return intake;
    show(intake);
    await wait(intake ? POLL_MS : LOST_POLL_MS, signal);
  }
}

/** What it ended with where that was not publication. */
export function errorOf({ error }: Intake<string>): ApiError {
  return new ApiError(error!.message, error!.http_status, error!.code);
}

/** null: the server doesn't answer now. */
async function ask<T>(path: string, signal: AbortSignal): Promise<T | null> {
  try {
    return await getJson<T>(path, { signal });
  } catch (error) {
    if (error instanceof ApiError && (error.status === 0 || error.status >= 500)) return null;
    throw error;
  }
}

function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
