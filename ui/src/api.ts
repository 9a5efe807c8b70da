import { askForKey, key } from "./key";
import { strings } from "./strings";

/** A failure as the server tells it: `{"error": {"message", "type", "param", "code", …}}`. */
export class ApiError extends Error {
  constructor(
    message: string,
    /** 0: there was no answer. */
    readonly status: number,
    readonly code: string = "",
    /** The field that is to blame. */
    readonly param: string | null = null,
    /** The whole `error` object, for what only some failures carry, such as `problems`. */
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

export interface Request extends Omit<RequestInit, "body"> {
  /** Sent as JSON. */
  json?: unknown;
  body?: BodyInit;
}

/** Headers that carry the key, for clients that send requests themselves (tus). */
export function authorization(): Record<string, string> {
  return key.value ? { Authorization: `Bearer ${key.value}` } : {};
}

/**
 * Asks the server; when it wants a key, asks the reader for it and tries again.
 * @throws ApiError for every answer but a 2xx; the AbortError of `signal`.
 */
export async function send(path: string, request: Request = {}): Promise<Response> {
  let used = key.value;
  let response = await attempt(path, request);
  while (response.status === 401) {
    // Another request may have asked for the key while this one was under way.
    if (used === key.value && !(await askForKey())) throw await failureOf(response);
    used = key.value;
    response = await attempt(path, request);
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

/** @throws what `send` throws. */
export async function getJson<Answer>(path: string, request: Request = {}): Promise<Answer> {
  return (await (await send(path, request)).json()) as Answer;
}

/** @throws what `send` throws. */
export function postJson<Answer>(path: string, json: unknown, request: Request = {}): Promise<Answer> {
  return getJson<Answer>(path, { method: "POST", json, ...request });
}

/** Any failure as a sentence for the reader. */
export function messageOf(error: unknown): string {
  return error instanceof ApiError ? error.message : strings.value.common.broken;
}

async function attempt(path: string, { json, headers, ...rest }: Request): Promise<Response> {
  const sent = new Headers(headers);
  for (const [name, value] of Object.entries(authorization())) sent.set(name, value);
  if (json !== undefined) {
    sent.set("Content-Type", "application/json");
    rest.body = JSON.stringify(json);
  }
  try {
    return await fetch(path, { ...rest, headers: sent });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(strings.value.common.unreachable, 0, "unreachable");
  }
}

/** What went wrong, of an answer that isn't a 2xx. */
async function failureOf(response: Response): Promise<ApiError> {
  try {
    const { error } = await response.json();
    return new ApiError(error.message, response.status, error.code, error.param, error);
  } catch {
    return new ApiError(strings.value.common.unreadable(response.status), response.status);
  }
}
