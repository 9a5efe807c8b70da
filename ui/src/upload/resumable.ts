import { DetailedError, Upload } from "tus-js-client";

import { ApiError, authorization, send } from "../api";
import { strings } from "../strings";

const UPLOADS = "/v1/uploads";
// Small enough for proxies that limit bodies, large enough that waiting for each costs nothing.
const PIECE_BYTES = 64 * 2 ** 20;
// Ten minutes in which nothing at all gets through; every byte that does starts them anew.
const RETRY_DELAYS_MS = [0, 500, 1000, 2000, 4000, 8000, 15_000, ...Array<number>(19).fill(30_000)];

export interface SendOptions {
  /** What the file is for, and how it is called there. */
  metadata: { filename: string; purpose: string; group: string };
  /** Where it was begun to be sent before; null: it is new. */
  address: string | null;
  /** Asks to stop; what has arrived stays there. */
  signal: AbortSignal;
  /** Where it can be gone on with, as soon as that is known. */
  onAddress: (address: string) => void;
  onProgress: (sentBytes: number) => void;
  /** The connection is lost; it is tried again by itself. */
  onInterrupted: () => void;
}

/** The most bytes that may be handed in together. Asks for the API key where the server wants one. */
export async function largestUpload(purpose: string): Promise<number> {
  const told = await send(`${UPLOADS}?purpose=${encodeURIComponent(purpose)}`, { method: "OPTIONS" });
  return Number(told.headers.get("Tus-Max-Size"));
}

/** What the server may know files by that are handed in together. */
export function newGroup(): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Sends a file in pieces, from where it stopped, over any number of lost connections; returns its address.
 * @throws ApiError where trying again is no use; the AbortError of `signal`.
 */
export function sendFile(file: File, { metadata, address, signal, onAddress, onProgress, onInterrupted }: SendOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    let isInterrupted = false;
    const upload = new Upload(file, {
      endpoint: UPLOADS,
      uploadUrl: address,
      metadata,
      headers: authorization(),
      chunkSize: PIECE_BYTES,
      retryDelays: RETRY_DELAYS_MS,
      storeFingerprintForResuming: false, // the page remembers addresses itself, with what belongs together
      onUploadUrlAvailable: () => onAddress(pathOf(upload)),
      onProgress: (sentBytes) => {
        isInterrupted = false;
        onProgress(sentBytes);
      },
      onShouldRetry: (error) => {
        isInterrupted = isPassing(error);
        if (isInterrupted) onInterrupted();
        return isInterrupted;
      },
      onSuccess: () => settle(() => resolve(pathOf(upload))),
      onError: (error) => settle(() => reject(failureOf(error))),
    });
    const stop = () => {
      void upload.abort();
      settle(() => reject(signal.reason));
    };
    // Whoever was offline needn't wait for the next try.
    const goOn = () => {
      if (isInterrupted) void upload.abort().then(() => upload.start());
    };
    const settle = (outcome: () => void) => {
      signal.removeEventListener("abort", stop);
      removeEventListener("online", goOn);
      outcome();
    };
    signal.throwIfAborted();
    signal.addEventListener("abort", stop);
    addEventListener("online", goOn);
    upload.start();
  });
}

/** Gives up what has arrived of a file. That it is gone already is as good. */
export async function giveUp(address: string): Promise<void> {
  try {
    await send(address, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

function pathOf(upload: Upload): string {
  return new URL(upload.url!, location.href).pathname;
}

/** No answer, a server that restarts or is busy, or one that knows of more bytes than we do. */
function isPassing(error: DetailedError): boolean {
  const status = error.originalResponse?.getStatus() ?? 0;
  return [0, 408, 409, 423, 429].includes(status) || (status >= 500 && status !== 507);
}

function failureOf(error: Error | DetailedError): ApiError {
  const answer = error instanceof DetailedError ? error.originalResponse : null;
  if (!answer) return new ApiError(strings.value.common.unreachable, 0, "unreachable");
  try {
    const { error } = JSON.parse(answer.getBody());
    return new ApiError(error.message, answer.getStatus(), error.code, error.param, error);
  } catch {
    return new ApiError(strings.value.common.unreadable(answer.getStatus()), answer.getStatus());
  }
}
