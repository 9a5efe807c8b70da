/** What an AudioWorklet has besides the DOM's names. */
declare abstract class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, kind: new () => AudioWorkletProcessor): void;

export interface ToPlayback {
  samples?: Float32Array;
  /** Nothing comes behind these. */
  isLast?: boolean;
}

export interface FromPlayback {
  numPlayed: number;
  /** How often there was nothing to play although more was to come. */
  numStalls: number;
  isDone: boolean;
}

const REPORT_EVERY = 8; // quanta of 128 samples: 43 ms at 24 kHz

/** Plays samples in the order in which they come, and silence while there are none. */
class Playback extends AudioWorkletProcessor {
  private queue: Float32Array[] = [];
  private offset = 0; // into the queue's first
  private numPlayed = 0;
  private numStalls = 0;
  private isStalled = true; // before the first sample
  private isComplete = false;
  private quantum = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<ToPlayback>) => {
      if (data.samples?.length) this.queue.push(data.samples);
      this.isComplete ||= data.isLast ?? false;
    };
  }

  /** False: this was all, the browser may forget it. */
  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const output = outputs[0]![0]!;
    const filled = this.fill(output);
    this.numPlayed += filled;
    const isDone = this.isComplete && this.queue.length === 0;
    const isStalled = filled < output.length && !isDone;
    if (isStalled && !this.isStalled) this.numStalls += 1;
    this.isStalled = isStalled;
    if (isDone || this.quantum++ % REPORT_EVERY === 0) this.report(isDone);
    return !isDone;
  }

  private fill(output: Float32Array): number {
    let filled = 0;
    while (filled < output.length && this.queue.length) {
      const first = this.queue[0]!;
      const taken = first.subarray(this.offset, this.offset + output.length - filled);
      output.set(taken, filled);
      filled += taken.length;
      this.offset += taken.length;
      if (this.offset === first.length) {
        this.queue.shift();
        this.offset = 0;
      }
    }
    return filled;
  }

  private report(isDone: boolean): void {
    const report: FromPlayback = { numPlayed: this.numPlayed, numStalls: this.numStalls, isDone };
    this.port.postMessage(report);
  }
}

registerProcessor("playback", Playback);
