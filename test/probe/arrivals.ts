/** When something was last heard, and the longest silence. Times are monotonic milliseconds, given by the caller. */
export class Arrivals {
  #lastMs: number;
  #heard = false;
  #longestMs = 0;

  /** Silence counts from `nowMs` on, before the first arrival too. */
  constructor(nowMs: number) {
    this.#lastMs = nowMs;
  }

  note(nowMs: number): void {
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#heard = true;
  }

  /** Forgets the gaps so far. A silence that lasts goes on counting from when it began. */
  mark(): void {
    this.#longestMs = 0;
  }

  /** The silence that still lasts counts: a dead path has no next arrival. */
  longestGapMs(nowMs: number): number {
    return Math.max(this.#longestMs, nowMs - this.#lastMs);
  }

  heardWithin(windowMs: number, nowMs: number): boolean {
    return this.#heard && nowMs - this.#lastMs <= windowMs;
  }
}
