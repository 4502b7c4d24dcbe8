/**
 * One node's kernel as far as answering goes: address → session → heartbeat → timed element. Commands take effect one
 * after another, some time after they were asked for; an element's life begins when it is inserted and ends by the node's
 * own clock, up to a timer tick late. Nothing here knows of any process: it goes on when all of them are stopped.
 */
import { KERNEL_TIMER_MS } from '../../../failover/core/ownership/durations.ts';
import type { Stream } from './draws.ts';
import type { EventQueue } from './eventQueue.ts';
import type { NodeClock } from './nodeClock.ts';

export type KernelCommand =
  | {
      readonly kind: 'beat';
      readonly session: number;
      readonly seq: number;
      readonly lifetimeMs: number;
      readonly grant: number | undefined;
    }
  | { readonly kind: 'grant'; readonly session: number; readonly seq: number; readonly lifetimeMs?: number }
  | { readonly kind: 'arm'; readonly address: string; readonly session: number }
  | { readonly kind: 'disarm'; readonly address: string }
  | { readonly kind: 'flush' };

/** What a run of nft takes. */
const COMMAND_MS = { least: 0.2, most: 2.5 } as const;
/** Sequences of one session in one run are far fewer. */
const SESSION_STRIDE = 1_000_000;

export class KernelModel {
  stalledUntilMs = 0;
  /** A command fails so often; what it did is then unknown. */
  failures = 0;
  /** Set only in the world without the dead-man switch: user space says whether anything may be answered. */
  userSpaceFence: boolean | undefined;
  frozen = false;
  thawedAtMs = Number.NEGATIVE_INFINITY;
  readonly armed = new Map<string, number>();
  pointer: { readonly session: number; readonly seq: number } | undefined;
  readonly #live = new Map<number, number>();
  #tailMs = 0;
  #boot = 0;
  readonly #queue: EventQueue;
  readonly #draws: { readonly command: Stream; readonly timer: Stream; readonly failure: Stream };
  readonly #clock: NodeClock;
  readonly #committed: () => void;

  constructor(options: {
    readonly queue: EventQueue;
    readonly clock: NodeClock;
    readonly draws: { readonly command: Stream; readonly timer: Stream; readonly failure: Stream };
    readonly committed: () => void;
  }) {
    this.#queue = options.queue;
    this.#clock = options.clock;
    this.#draws = options.draws;
    this.#committed = options.committed;
  }

  submit(command: KernelCommand, done: (ok: boolean) => void): void {
    const { least, most } = COMMAND_MS;
    const begin = Math.max(this.#queue.nowMs, this.#tailMs, this.stalledUntilMs);
    this.#tailMs = begin + this.#draws.command.between(least, most);
    const boot = this.#boot;
    const run = (): void => {
      if (boot !== this.#boot) return;
      if (this.#queue.nowMs < this.stalledUntilMs) return this.#queue.at(this.stalledUntilMs, run);
      // Heartbeats by the hundred would only make the session lapse.
      const rate = command.kind === 'beat' || command.kind === 'grant' ? this.failures / 20 : this.failures;
      const failed = this.#draws.failure.chance(rate);
      if (!failed || this.#draws.failure.chance(0.5)) this.#commit(command);
      done(!failed);
    };
    this.#queue.at(this.#tailMs, run);
  }

  /** The world's time until which the kernel answers for the address if nothing changes; 0: it does not. */
  answersUntil(address: string): number {
    if (this.frozen) return 0;
    const session = this.armed.get(address);
    if (session === undefined) return 0;
    if (this.userSpaceFence !== undefined) return this.userSpaceFence ? Number.POSITIVE_INFINITY : 0;
    if (this.pointer?.session !== session) return 0;
    const until = this.#live.get(keyOf(this.pointer.session, this.pointer.seq)) ?? 0;
    return until > this.#queue.nowMs ? until : 0;
  }

  answers(address: string): boolean {
    return this.answersUntil(address) > 0;
  }

  /** A new process does not wait for what its predecessor's tool was still asked to do. */
  forgetQueue(): void {
    this.#tailMs = 0;
  }

  powerOff(): void {
    this.#boot += 1;
    this.#tailMs = 0;
    this.#wipe();
  }

  /** The guest's time stands still, and with it all timers. */
  freeze(durationMs: number): void {
    this.frozen = true;
    const nowMs = this.#queue.nowMs;
    this.stalledUntilMs = Math.max(this.stalledUntilMs, nowMs + durationMs);
    for (const [key, until] of this.#live) if (until > nowMs) this.#live.set(key, until + durationMs);
    this.#queue.after(durationMs, () => {
      this.frozen = false;
      this.thawedAtMs = this.#queue.nowMs;
      this.#committed();
    });
  }

  #wipe(): void {
    this.armed.clear();
    this.#live.clear();
    this.pointer = undefined;
  }

  #commit(command: KernelCommand): void {
    switch (command.kind) {
      case 'beat':
        this.#insert(command.session, command.seq, command.lifetimeMs);
        if (command.grant === undefined) return;
        this.pointer = { session: command.session, seq: command.grant };
        break;
      case 'grant':
        if (command.lifetimeMs !== undefined) this.#insert(command.session, command.seq, command.lifetimeMs);
        this.pointer = { session: command.session, seq: command.seq };
        break;
      case 'arm':
        this.armed.set(command.address, command.session);
        break;
      case 'disarm':
        this.armed.delete(command.address);
        break;
      case 'flush':
        this.#wipe();
        break;
      default:
        command satisfies never;
    }
    this.#committed();
  }

  #insert(session: number, seq: number, lifetimeMs: number): void {
    const nowMs = this.#queue.nowMs;
    const lateMs = this.#draws.timer.next() * KERNEL_TIMER_MS;
    if (lifetimeMs > 0) this.#live.set(keyOf(session, seq), nowMs + (lifetimeMs + lateMs) / this.#clock.rate);
    // What ran out is found by nobody; it only takes room.
    if (this.#live.size < 64) return;
    for (const [key, until] of this.#live) if (until <= nowMs) this.#live.delete(key);
  }
}

function keyOf(session: number, seq: number): number {
  return session * SESSION_STRIDE + seq;
}
