import { ApiError, send } from "../../api";
import { strings } from "../../strings";

/** The sampling fields of a request, each left out where the submission's default shall hold. */
export interface Sampling {
  temperature?: number;
  top_k?: number;
  top_p?: number;
  repetition_penalty?: number;
  noise_scale?: number;
}

/** The body of POST /v1/audio/speech, but for the format. */
export interface Wish extends Sampling {
  model: string;
  voice: string;
  input: string;
  language?: string;
  speed?: number;
  /** Left out: the server draws one. */
  seed?: number;
  sample_rate: number;
}

/** Every format there is, and what a file of it is called. */
export const FORMATS = { wav: "wav", flac: "flac", mp3: "mp3", opus: "ogg", aac: "aac", pcm: "pcm" } as const;
export type Format = keyof typeof FORMATS;

const BYTES_PER_SAMPLE = 2;

/**
 * The speech of a text, as a response that begins with its first audio.
 * @throws what `send` throws.
 */
export function request(wish: Wish, format: Format, signal?: AbortSignal): Promise<Response> {
  return send("/v1/audio/speech", { method: "POST", json: { ...wish, response_format: format }, signal });
}

/**
 * Samples of a pcm response as they arrive.
 * @throws ApiError where the server breaks off, the AbortError of the request's signal.
 */
export async function* samplesOf(response: Response): AsyncGenerator<Int16Array> {
  let odd = new Uint8Array();
  for await (const bytes of chunks(response.body!)) {
    const joined = new Uint8Array(odd.length + bytes.length);
    joined.set(odd);
    joined.set(bytes, odd.length);
    const whole = joined.length - (joined.length % BYTES_PER_SAMPLE);
    odd = joined.slice(whole);
    if (whole) yield decoded(joined.buffer, whole);
  }
}

/** A file of the same speech in any format. */
export async function encoded(wish: Wish, format: Format): Promise<Blob> {
  return (await request(wish, format)).blob();
}

/** A WAV file of 16-bit mono samples: what was heard, without asking for it again. */
export function wavFile(samples: Int16Array<ArrayBuffer>, sampleRateHz: number): Blob {
  const header = new DataView(new ArrayBuffer(44));
  const ascii = (at: number, text: string) => [...text].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  ascii(0, "RIFF");
  header.setUint32(4, 36 + samples.byteLength, true);
  ascii(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // mono
  header.setUint32(24, sampleRateHz, true);
  header.setUint32(28, sampleRateHz * BYTES_PER_SAMPLE, true);
  header.setUint16(32, BYTES_PER_SAMPLE, true);
  header.setUint16(34, 8 * BYTES_PER_SAMPLE, true);
  ascii(36, "data");
  header.setUint32(40, samples.byteLength, true);
  return new Blob([header, samples], { type: "audio/wav" });
}

async function* chunks(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } catch (error) {
    // A body that ends too early is a TypeError to fetch, as many other things are.
    throw error instanceof TypeError ? new ApiError(strings.value.playground.brokeOff, 0, "broke_off") : error;
  } finally {
    reader.releaseLock();
  }
}

/** Little-endian on the wire, whatever the machine is. */
function decoded(buffer: ArrayBuffer, numBytes: number): Int16Array {
  const view = new DataView(buffer, 0, numBytes);
  return Int16Array.from({ length: numBytes / BYTES_PER_SAMPLE }, (_, i) => view.getInt16(i * BYTES_PER_SAMPLE, true));
}
