/** A thread of a simulated process: what comes while it is stopped or stalled waits, in order, and runs when it goes on. */
import type { EventQueue } from './eventQueue.ts';

export class Thread {
  readonly #queue: EventQueue;
  #inbox: (() => void)[] = [];
  #blockedUntilMs = 0;
  #draining = false;
  #dead = false;

  constructor(queue: EventQueue) {
    this.#queue = queue;
  }

  post(run: () => void): void {
    if (this.#dead) return;
    if (this.#draining || this.#inbox.length > 0 || this.#queue.nowMs < this.#blockedUntilMs) {
      this.#inbox.push(run);
      return;
    }
    run();
  }

  /** @param first what was decided already and is done before anything else when the thread goes on */
  block(untilMs: number, first?: () => void): void {
    if (this.#dead) return;
    if (first !== undefined) this.#inbox.unshift(first);
    if (untilMs <= this.#blockedUntilMs) return;
    this.#blockedUntilMs = untilMs;
    this.#queue.at(untilMs, () => this.#drain());
  }

  kill(): void {
    this.#dead = true;
    this.#inbox = [];
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    while (!this.#dead && this.#queue.nowMs >= this.#blockedUntilMs) {
      const run = this.#inbox.shift();
      if (run === undefined) break;
      run();
    }
    this.#draining = false;
  }
}
