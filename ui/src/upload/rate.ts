const WINDOW_MS = 10_000;
const SHORTEST_MS = 1_000; // a rate of less than this says nothing

/** How fast a number grows, over the last ten seconds. */
export class Rate {
  private samples: { at: number; done: number }[] = [];

  add(done: number, at = performance.now()): void {
    // It falls where an upload goes on from what has really arrived.
    if (done < (this.samples.at(-1)?.done ?? 0)) this.samples = [];
    this.samples.push({ at, done });
    while (this.samples[1] && at - this.samples[1].at > WINDOW_MS) this.samples.shift();
  }

  /** After a break: what was before it says nothing about what comes. */
  forget(): void {
    this.samples = [];
  }

  /** null: too early to say, or nothing moves. */
  perSecond(): number | null {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.at - first.at < SHORTEST_MS || last.done === first.done) return null;
    return ((last.done - first.done) / (last.at - first.at)) * 1000;
  }
}
