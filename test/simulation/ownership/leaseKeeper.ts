/** Carries out what the real leaseSession core asks for: flushes, reads and writes of the gateway's Lease, one life long. */
import type {
  LeaseSession,
  LeaseSessionEffect,
  LeaseSessionEvent,
} from '../../../failover/core/agent/leaseSession.ts';
import type { ApiView } from './apiModel.ts';
import type { Ground } from './ground.ts';
import type { OwnershipWorker } from './ownershipWorker.ts';
import type { SimNode } from './simNode.ts';
import type { Thread } from './thread.ts';

type Timeless<E> = E extends unknown ? Omit<E, 'nowMs'> : never;

/** More often than a real one: each write is a chance to be caught in the middle. */
const RENEW_MS = 600;
/** A stopping agent gives up handing over after this. */
const STOP_MS = 3000;

export class LeaseKeeper {
  readonly #node: SimNode;
  readonly #ground: Ground;
  readonly #thread: Thread;
  readonly #worker: OwnershipWorker;
  #lease: LeaseSession | undefined;
  #wakeMs = Number.POSITIVE_INFINITY;
  #stopped: (() => void) | undefined;
  #stopping = false;
  #handedOver = false;

  constructor(
    node: SimNode,
    ground: Ground,
    parts: { readonly thread: Thread; readonly worker: OwnershipWorker },
  ) {
    this.#node = node;
    this.#ground = ground;
    this.#thread = parts.thread;
    this.#worker = parts.worker;
  }

  viewed({ ips, nodes }: ApiView): void {
    if (this.#lease !== undefined || !this.#node.isGateway || this.#stopping) return;
    const { name } = this.#node;
    const named = [...ips.values()].flatMap(({ order, fence }) => [...order, ...fence]);
    const own = named.filter(({ gateway }) => gateway === name).map(({ session }) => session);
    const stated = nodes.get(name);
    const floor = Math.max(0, stated?.session ?? 0, stated?.lastSession ?? 0, ...own);
    const begun = this.#ground.core.initialLeaseSession({ renewMs: RENEW_MS, floor });
    this.#lease = begun.state;
    for (const effect of begun.effects) this.#perform(effect);
  }

  post(event: Timeless<LeaseSessionEvent>): void {
    this.#thread.post(() => this.#step(event));
  }

  /** The ownership thread has disarmed everything and told the voters. */
  handedOver(): void {
    this.#handedOver = true;
    this.post({ kind: 'close' });
  }

  /** Hand over, then close the Lease. */
  stop(stopped: () => void): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const end = (): void => {
      if (this.#stopped === undefined) return;
      this.#stopped = undefined;
      stopped();
    };
    this.#stopped = end;
    const phase = this.#lease?.phase.kind;
    if (phase === 'open' || phase === 'rereading') this.#worker.post({ kind: 'close' });
    else this.#ground.queue.after(1, () => this.#thread.post(end));
    this.#ground.queue.after(STOP_MS, () => this.#thread.post(end));
  }

  /** A closed Lease proves that nothing of the session answers: it has to wait for the ownership thread's word. */
  #mayClose(): boolean {
    return this.#ground.bug === 'the Lease is closed before the hand-over'
      ? this.#stopping
      : this.#handedOver;
  }

  #step(event: Timeless<LeaseSessionEvent>): void {
    if (this.#lease === undefined) return;
    const { queue, core, coverage } = this.#ground;
    const before = this.#lease.phase.kind;
    const step = core.stepLeaseSession(this.#lease, { ...event, nowMs: this.#node.clock.read(queue.nowMs) });
    this.#lease = step.state;
    if (event.kind === 'lease-written' && event.outcome.kind === 'stale') {
      coverage.hit('lease: stale write');
      if (before === 'opening') coverage.hit('lease: number to be won again');
    }
    for (const effect of step.effects) this.#perform(effect);
    const { phase } = this.#lease;
    if (phase.kind === 'closed') return this.#stopped?.();
    // A renewal in flight was let through first.
    if (this.#mayClose() && event.kind === 'lease-written' && phase.kind === 'open')
      return queue.after(0, () => this.post({ kind: 'close' }));
    this.#schedule();
  }

  #schedule(): void {
    const wakeMs = this.#lease === undefined ? undefined : this.#ground.core.leaseWakeMs(this.#lease);
    if (wakeMs === undefined) return;
    const { queue } = this.#ground;
    const atMs = Math.max(queue.nowMs, this.#node.clock.worldAt(wakeMs)) + this.#node.timerLate.next();
    this.#wakeMs = atMs;
    queue.at(atMs, () => {
      if (this.#wakeMs === atMs) this.post({ kind: 'tick' });
    });
  }

  #perform(effect: LeaseSessionEffect): void {
    const { api, coverage } = this.#ground;
    const { name, lives } = this.#node;
    const reachable = (): boolean => this.#node.apiCuts === 0 && this.#node.on;
    switch (effect.kind) {
      case 'flush-kernel':
        return this.#worker.flush();
      case 'read-lease':
        return api.call(
          reachable,
          () => api.truth.leases.get(name) ?? ('absent' as const),
          (answer) =>
            this.post({ kind: 'lease-read', lease: answer.kind === 'answered' ? answer.value : 'failed' }),
        );
      case 'write-lease':
        return api.call(
          reachable,
          () => api.writeLease(name, effect),
          (answer) => {
            const { session } = effect;
            if (answer.kind === 'failed')
              return this.post({ kind: 'lease-written', session, outcome: { kind: 'failed' } });
            const version = answer.kind === 'answered' ? answer.value : undefined;
            const outcome =
              version === undefined ? ({ kind: 'stale' } as const) : ({ kind: 'accepted', version } as const);
            this.post({ kind: 'lease-written', session, outcome });
          },
        );
      case 'session-opened':
        coverage.hit('session: opened');
        return this.#worker.post({ kind: 'opened', session: effect.session, boot: `${name}.${lives}` });
      case 'session-lost':
        return this.#worker.post({ kind: 'lease-lost', session: effect.session });
      default:
        return effect satisfies never;
    }
  }
}
