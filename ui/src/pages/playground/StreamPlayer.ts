import type { FromPlayback, ToPlayback } from "./playback.worklet";
import workletUrl from "./playback.worklet?worker&url";

const FULL_SCALE = 32_768;

/** Plays speech while it arrives. */
export class StreamPlayer {
  /** Browsers have AudioWorklet over HTTPS and on the machine itself only. */
  static readonly isPossible = "AudioWorklet" in window && window.isSecureContext;

  /** Resolves when everything was heard, or the player was closed. */
  readonly ended: Promise<void>;
  private end!: () => void;

  private constructor(
    private readonly context: AudioContext,
    private readonly node: AudioWorkletNode,
    onReport: (report: FromPlayback) => void,
  ) {
    this.ended = new Promise((resolve) => (this.end = resolve));
    node.port.onmessage = ({ data }: MessageEvent<FromPlayback>) => {
      onReport(data);
      if (data.isDone) this.end();
    };
    node.connect(context.destination);
  }

  /** Call it from a click: browsers let no page sound by itself. */
  static async open(sampleRateHz: number, onReport: (report: FromPlayback) => void): Promise<StreamPlayer> {
    const context = new AudioContext({ sampleRate: sampleRateHz, latencyHint: "interactive" });
    await context.audioWorklet.addModule(workletUrl);
    const node = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    return new StreamPlayer(context, node, onReport);
  }

  push(samples: Int16Array): void {
    this.send({ samples: Float32Array.from(samples, (sample) => sample / FULL_SCALE) });
  }

  /** Nothing comes behind what was pushed. */
  finish(): void {
    this.send({ isLast: true });
  }

  get isPaused(): boolean {
    return this.context.state !== "running";
  }

  async toggle(): Promise<void> {
    await (this.isPaused ? this.context.resume() : this.context.suspend());
  }

  async close(): Promise<void> {
    this.end();
    if (this.context.state !== "closed") await this.context.close();
  }

  private send(message: ToPlayback): void {
    this.node.port.postMessage(message, message.samples ? [message.samples.buffer] : []);
  }
}
