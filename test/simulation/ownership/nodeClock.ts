/** One machine's monotonic clock: it runs at its own rate, and stands still while a virtual machine is frozen. */

export class NodeClock {
  readonly rate: number;
  readonly #offsetMs: number;
  #frozenMs = 0;

  constructor(rate: number, offsetMs: number) {
    this.rate = rate;
    this.#offsetMs = offsetMs;
  }

  read(worldMs: number): number {
    return this.#offsetMs + (worldMs - this.#frozenMs) * this.rate;
  }

  /** When the clock will show that, in the world's time. */
  worldAt(localMs: number): number {
    return (localMs - this.#offsetMs) / this.rate + this.#frozenMs;
  }

  /** So much of the world's time passed unseen. */
  freeze(durationMs: number): void {
    this.#frozenMs += durationMs;
  }
}
