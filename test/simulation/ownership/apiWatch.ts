/** One program's view of the API: a little behind, more while its watch hangs, and whole again after a list. */
import { type ApiModel, type ApiView, applyChange, emptyView } from './apiModel.ts';
import type { Stream } from './draws.ts';
import type { EventQueue } from './eventQueue.ts';

const LAG_MS = { least: 0.5, most: 25 } as const;
const RETRY_MS = 100;

export class ApiWatch {
  view: ApiView = emptyView();
  #position = 0;
  #synced = false;
  #stopped = false;
  #scheduled = false;
  #stalledUntilMs = 0;
  readonly #api: ApiModel;
  readonly #queue: EventQueue;
  readonly #lag: Stream;
  readonly #reachable: () => boolean;
  readonly #changed: () => void;

  constructor(options: {
    readonly api: ApiModel;
    readonly queue: EventQueue;
    readonly lag: Stream;
    readonly reachable: () => boolean;
    readonly changed: () => void;
  }) {
    this.#api = options.api;
    this.#queue = options.queue;
    this.#lag = options.lag;
    this.#reachable = options.reachable;
    this.#changed = options.changed;
  }

  /** Lists first, and that is consistent. */
  start(): void {
    if (this.#stopped) return;
    this.#api.call(
      this.#reachable,
      () => this.#api.log.length,
      (answer) => {
        if (answer.kind !== 'answered') return this.#queue.after(RETRY_MS, () => this.start());
        this.#show(answer.value);
        this.notify();
      },
    );
  }

  stop(): void {
    this.#stopped = true;
  }

  stall(durationMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.#queue.nowMs + durationMs);
  }

  /**
   * As if the watch began again at a server whose cache is behind. Not so far back that an object is there again which
   * was seen to be gone: a list is consistent, and nothing remembers the epoch of an object that was deleted.
   */
  goBack(changes: number): void {
    const gone = this.#api.log.findLastIndex((change) => change.kind === 'ip' && change.value === undefined);
    if (this.#synced) this.#show(Math.max(0, Math.min(this.#position, gone + 1), this.#position - changes));
    this.notify();
  }

  /** Something was committed. */
  notify(): void {
    if (!this.#synced || this.#stopped || this.#scheduled) return;
    this.#scheduled = true;
    const { least, most } = LAG_MS;
    const base = Math.max(this.#queue.nowMs, this.#stalledUntilMs);
    this.#queue.at(base + this.#lag.between(least, most), () => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    if (this.#stopped || this.#position === this.#api.log.length) return;
    if (this.#queue.nowMs < this.#stalledUntilMs) return this.notify();
    if (this.#api.outages > 0 || !this.#reachable()) {
      this.#scheduled = true;
      return this.#queue.after(RETRY_MS, () => this.#deliver());
    }
    this.#show(this.#api.log.length);
  }

  #show(position: number): void {
    const { log } = this.#api;
    if (position < this.#position || !this.#synced) {
      this.view = emptyView();
      this.#position = 0;
    }
    for (const change of log.slice(this.#position, position)) applyChange(this.view, change);
    this.#position = position;
    this.#synced = true;
    this.#changed();
  }
}
