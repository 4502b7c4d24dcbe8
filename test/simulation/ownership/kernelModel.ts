/**
 * One node's kernel as far as answering goes: address → session → granted lately, and heartbeats whose grant would count.
 * Commands take effect one after another, some time after they were asked for; a timer begins when its element is written
 * and ends by the node's own clock, up to a tick late. Nothing here knows of any process: it goes on when all of them are
 * stopped.
 */
import { type Durations, KERNEL_TIMER_MS } from '../../../failover/core/ownership/durations.ts';
import { beatKey } from './beatKey.ts';
import type { Stream } from './draws.ts';
import type { EventQueue } from './eventQueue.ts';
import type { NodeClock } from './nodeClock.ts';

export type KernelCommand =
  | { readonly kind: 'beat'; readonly session: number; readonly seq: number }
  /** `lifetimeMs`, only in a wrong world: taken however late it comes, and for so long. */
  | { readonly kind: 'grant'; readonly session: number; readonly seq: number; readonly lifetimeMs?: number }
  | { readonly kind: 'arm'; readonly address: string; readonly session: number }
  | { readonly kind: 'disarm'; readonly address: string }
  | { readonly kind: 'flush' };

/** What a datagram to the kernel takes, and a stall of its sender between the decision and the call. */
const COMMAND_MS = { least: 0.02, most: 2.5 } as const;

export class KernelModel {
  stalledUntilMs = 0;
  /** A command fails so often; what it did is then unknown. */
  failures = 0;
  /** Set only in the world without the dead-man switch: user space says whether anything may be answered. */
  userSpaceFence: boolean | undefined;
  frozen = false;
  thawedAtMs = Number.NEGATIVE_INFINITY;
  readonly armed = new Map<string, number>();
  /** Heartbeat → when it was sent, later by what its timers are late. */
  readonly #sentMs = new Map<number, number>();
  readonly #validUntil = new Map<number, number>();
  /** Session → the heartbeat whose grant counted last. */
  readonly #granted = new Map<number, number>();
  #tailMs = 0;
  #boot = 0;
  readonly #queue: EventQueue;
  readonly #draws: { readonly command: Stream; readonly timer: Stream; readonly failure: Stream };
  readonly #clock: NodeClock;
  readonly #durations: Durations;
  readonly #committed: () => void;

  constructor(options: {
    readonly durations: Durations;
    readonly queue: EventQueue;
    readonly clock: NodeClock;
    readonly draws: { readonly command: Stream; readonly timer: Stream; readonly failure: Stream };
    readonly committed: () => void;
  }) {
    this.#queue = options.queue;
    this.#clock = options.clock;
    this.#durations = options.durations;
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
    const until = this.#validUntil.get(session) ?? 0;
    return until > this.#queue.nowMs ? until : 0;
  }

  answers(address: string): boolean {
    return this.answersUntil(address) > 0;
  }

  /** The heartbeat that its answering hangs on. */
  answersBy(address: string): { readonly session: number; readonly seq: number } | undefined {
    const session = this.armed.get(address);
    const seq = session === undefined ? undefined : this.#granted.get(session);
    return session === undefined || seq === undefined ? undefined : { session, seq };
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
    for (const [key, sentMs] of this.#sentMs) this.#sentMs.set(key, sentMs + durationMs);
    for (const [session, until] of this.#validUntil)
      if (until > nowMs) this.#validUntil.set(session, until + durationMs);
    this.#queue.after(durationMs, () => {
      this.frozen = false;
      this.thawedAtMs = this.#queue.nowMs;
      this.#committed();
    });
  }

  #wipe(): void {
    this.armed.clear();
    this.#sentMs.clear();
    this.#validUntil.clear();
    this.#granted.clear();
  }

  #commit(command: KernelCommand): void {
    switch (command.kind) {
      case 'beat':
        this.#sentMs.set(beatKey(command.session, command.seq), this.#after(0));
        this.#sweep();
        return;
      case 'grant':
        this.#grant(command);
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

  #grant({ session, seq, lifetimeMs }: Extract<KernelCommand, { readonly kind: 'grant' }>): void {
    const answerMs = lifetimeMs ?? this.#windowOf(beatKey(session, seq));
    if (answerMs === undefined) return;
    this.#validUntil.set(session, this.#after(answerMs));
    this.#granted.set(session, seq);
  }

  #windowOf(key: number): number | undefined {
    const sentMs = this.#sentMs.get(key);
    if (sentMs === undefined) return undefined;
    const ageMs = (this.#queue.nowMs - sentMs) * this.#clock.rate;
    return this.#durations.windows.find(({ withinMs }) => ageMs < withinMs)?.answerMs;
  }

  #after(lifetimeMs: number): number {
    const lateMs = this.#draws.timer.next() * KERNEL_TIMER_MS;
    return this.#queue.nowMs + (lifetimeMs + lateMs) / this.#clock.rate;
  }

  /** What ran out is found by nobody; it only takes room. */
  #sweep(): void {
    if (this.#sentMs.size < 64) return;
    const oldMs = this.#queue.nowMs - 2 * this.#durations.sessionMs;
    for (const [key, sentMs] of this.#sentMs) if (sentMs < oldMs) this.#sentMs.delete(key);
  }
}
