import { signal } from "@preact/signals";

import type { Side } from "../../listening";

/** Long enough that no click is heard, short enough that nobody hears both. */
const CROSSFADE_S = 0.008;
const START_AHEAD_S = 0.02;
/** A decoded clip may be some samples shorter than its file says. The server allows twice as much. */
const COUNTING_ERROR_S = 0.05;

interface Source {
  node: AudioBufferSourceNode;
  gain: GainNode;
}

/**
 * Several clips on one clock. All of them run from the same sample on, and only the chosen one is let through: to
 * switch is to turn two gains, so the sound goes on at the same position of the other clip.
 */
export class Player {
  readonly side = signal<Side>("a");
  readonly isPlaying = signal(false);
  readonly position_s = signal(0);
  /** Seconds of each side that were really played, as votes tell them. */
  readonly heard_s = signal<Readonly<Partial<Record<Side, number>>>>({});

  private readonly context = new AudioContext();
  private clips: ReadonlyMap<Side, AudioBuffer> = new Map();
  private sources = new Map<Side, Source>();
  /** The context's time at which the clips' first sample was, or would have been, heard. */
  private began_s = 0;
  /** Up to when what was played is counted. */
  private counted_s = 0;
  private frame = 0;

  /** @throws EncodingError for what isn't audio. */
  decode(file: ArrayBuffer): Promise<AudioBuffer> {
    return this.context.decodeAudioData(file);
  }

  /** Takes other clips, of which nothing has been heard. */
  load(clips: ReadonlyMap<Side, AudioBuffer>): void {
    this.pause();
    this.clips = clips;
    this.side.value = "a";
    this.position_s.value = 0;
    this.heard_s.value = Object.fromEntries([...clips.keys()].map((side) => [side, 0]));
  }

  /** How much of a side is still to be heard before a vote. */
  missing_s({ side, must_hear_s }: { side: Side; must_hear_s: number }): number {
    const missing_s = must_hear_s - (this.heard_s.value[side] ?? 0);
    return missing_s > COUNTING_ERROR_S ? missing_s : 0;
  }

  duration_s(side: Side): number {
    return this.clips.get(side)?.duration ?? 0;
  }

  get longest_s(): number {
    return Math.max(0, ...[...this.clips.values()].map((clip) => clip.duration));
  }

  /** Plays it, from where the sound is; what played before falls silent. */
  async listenTo(side: Side): Promise<void> {
    this.count();
    const before = this.side.value;
    this.side.value = side;
    if (this.position_s.value >= this.duration_s(side)) this.seek(0);
    else if (this.isPlaying.value) this.crossfade(before, side);
    if (!this.isPlaying.value) await this.play();
  }

  async toggle(): Promise<void> {
    if (this.isPlaying.value) this.pause();
    else await this.play();
  }

  async play(): Promise<void> {
    await this.context.resume();
    if (this.isPlaying.value || this.clips.size === 0) return;
    if (this.position_s.value >= this.duration_s(this.side.value)) this.position_s.value = 0;
    this.start(this.position_s.value);
    this.isPlaying.value = true;
    this.frame = requestAnimationFrame(this.tick);
  }

  pause(): void {
    this.count();
    this.halt();
    this.isPlaying.value = false;
  }

  seek(position_s: number): void {
    this.count();
    this.position_s.value = Math.min(Math.max(0, position_s), this.longest_s);
    if (!this.isPlaying.value) return;
    this.halt();
    this.start(this.position_s.value);
    this.frame = requestAnimationFrame(this.tick);
  }

  async close(): Promise<void> {
    this.halt();
    await this.context.close();
  }

  private start(offset_s: number): void {
    const when = this.context.currentTime + START_AHEAD_S;
    for (const [side, clip] of this.clips) {
      const node = new AudioBufferSourceNode(this.context, { buffer: clip });
      const gain = new GainNode(this.context, { gain: side === this.side.value ? 1 : 0 });
      node.connect(gain).connect(this.context.destination);
      node.start(when, Math.min(offset_s, clip.duration));
      this.sources.set(side, { node, gain });
    }
    this.began_s = when - offset_s;
    this.counted_s = when;
  }

  private halt(): void {
    cancelAnimationFrame(this.frame);
    for (const { node, gain } of this.sources.values()) {
      node.stop();
      node.disconnect();
      gain.disconnect();
    }
    this.sources.clear();
  }

  private crossfade(from: Side, to: Side): void {
    const now = this.context.currentTime;
    for (const [side, target] of [[from, 0], [to, 1]] as const) {
      const gain = this.sources.get(side)?.gain.gain;
      gain?.cancelScheduledValues(now).setValueAtTime(gain.value, now).linearRampToValueAtTime(target, now + CROSSFADE_S);
    }
  }

  /** Adds what was played of the side that is let through since the last time, its silence after the end left out. */
  private count(): void {
    if (!this.isPlaying.value) return;
    const now = this.context.currentTime;
    const side = this.side.value;
    const end_s = this.began_s + this.duration_s(side);
    const played_s = Math.max(0, Math.min(now, end_s) - this.counted_s);
    this.counted_s = Math.max(now, this.counted_s);
    this.position_s.value = Math.min(Math.max(0, now - this.began_s), this.duration_s(side));
    this.heard_s.value = { ...this.heard_s.value, [side]: (this.heard_s.value[side] ?? 0) + played_s };
  }

  private readonly tick = (): void => {
    this.count();
    if (this.position_s.value < this.duration_s(this.side.value)) {
      this.frame = requestAnimationFrame(this.tick);
      return;
    }
    this.pause();
    this.position_s.value = 0;
  };
}
