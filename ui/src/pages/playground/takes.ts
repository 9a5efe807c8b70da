import { signal, type Signal } from "@preact/signals";

import { StreamPlayer } from "./StreamPlayer";
import { request, samplesOf, wavFile, type Wish } from "./speech";

const PEAKS_PER_S = 50;
const REMEMBERED = 20;

/** speaking: audio arrives; sounding: all of it is here but not all was heard. */
export type Phase = "speaking" | "sounding" | "whole" | "failed" | "stopped";

export interface Progress {
  phase: Phase;
  /** From the click to the first samples; null until there are any. */
  firstAudioMs: number | null;
  /** From the click to the end of the response. */
  elapsedMs: number;
  arrivedS: number;
  playedS: number;
  numStalls: number;
  error: unknown;
}

/** What can be said again the same way. */
export type SeededWish = Wish & { seed: number };

/** One text spoken once. */
export interface Take {
  readonly id: number;
  readonly at: Date;
  readonly wish: SeededWish;
  readonly progress: Signal<Progress>;
  /** Loudest of every 20 ms, to draw while more is to come. */
  readonly peaks: number[];
  readonly player: Signal<StreamPlayer | null>;
  /** What has arrived, as a file. */
  file(): Blob;
  stop(): void;
}

/** The session's takes, the newest first. */
export const takes = signal<readonly Take[]>([]);
let nextId = 1;

/** Begins to speak; the take tells how it goes. Never throws: a failure is part of the take. */
export function begin(wish: SeededWish): Take {
  for (const earlier of takes.value) earlier.stop();
  const aborting = new AbortController();
  const arrived: Int16Array[] = [];
  const take: Take = {
    id: nextId++,
    at: new Date(),
    wish,
    progress: signal<Progress>({ phase: "speaking", firstAudioMs: null, elapsedMs: 0, arrivedS: 0, playedS: 0, numStalls: 0, error: null }),
    peaks: [],
    player: signal<StreamPlayer | null>(null),
    file: () => wavFile(joined(arrived), wish.sample_rate),
    stop: () => aborting.abort(),
  };
  takes.value = [take, ...takes.value].slice(0, REMEMBERED);
  void run(take, arrived, aborting.signal);
  return take;
}

async function run(take: Take, arrived: Int16Array[], signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const rate = take.wish.sample_rate;
  const change = (changes: Partial<Progress>) => (take.progress.value = { ...take.progress.value, ...changes });
  // Both at once: what the player needs to start must not hold up the speech.
  const opening = open(take, change);
  const requesting = request(take.wish, "pcm", signal);
  try {
    const [player, response] = await Promise.all([opening, requesting]);
    signal.addEventListener("abort", () => void player?.close());
    for await (const samples of samplesOf(response)) {
      arrived.push(samples);
      player?.push(samples);
      addPeaks(take.peaks, samples, rate);
      const { firstAudioMs, arrivedS } = take.progress.value;
      const elapsedMs = performance.now() - startedAt;
      change({ firstAudioMs: firstAudioMs ?? elapsedMs, elapsedMs, arrivedS: arrivedS + samples.length / rate });
    }
    change({ phase: "sounding", elapsedMs: performance.now() - startedAt });
    player?.finish();
    await player?.ended;
    change({ phase: "whole" });
  } catch (error) {
    change(signal.aborted ? { phase: "stopped" } : { phase: "failed", error });
  } finally {
    take.player.value = null;
    await (await opening)?.close();
  }
}

/** Without a player the take can be heard when it is whole. */
async function open(take: Take, change: (changes: Partial<Progress>) => void): Promise<StreamPlayer | null> {
  if (!StreamPlayer.isPossible) return null;
  const rate = take.wish.sample_rate;
  return (take.player.value = await StreamPlayer.open(rate, ({ numPlayed, numStalls }) =>
    change({ playedS: numPlayed / rate, numStalls }),
  ));
}

function addPeaks(peaks: number[], samples: Int16Array, sampleRateHz: number): void {
  const step = Math.round(sampleRateHz / PEAKS_PER_S);
  for (let start = 0; start < samples.length; start += step) {
    const loudest = samples.subarray(start, start + step).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    peaks.push(loudest / 32_768);
  }
}

function joined(parts: readonly Int16Array[]): Int16Array<ArrayBuffer> {
  const whole = new Int16Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
