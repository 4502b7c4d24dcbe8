/**
 * Carries out what core/agent/leaseSession.ts asks for: reads and writes the gateway's Lease, has the kernel flushed, and
 * tells the ownership thread which session it has.
 */
import type { Logger } from '../../runtime/logger.ts';
import {
  initialLeaseSession,
  type LeaseSession,
  type LeaseSessionEffect,
  type LeaseSessionEvent,
  leasedSession,
  leaseWakeMs,
  stepLeaseSession,
} from '../core/agent/leaseSession.ts';
import type { LeaseHeart } from './leaseHeart.ts';
import type { Timeless, ToOwnership } from './ownershipProtocol.ts';

export interface LeaseRunnerOptions {
  readonly heart: LeaseHeart;
  readonly logger: Logger;
  /** Time between renewals of the Lease, milliseconds. */
  readonly renewMs: number;
  readonly boot: string;
  /** To the ownership thread. */
  readonly post: (message: ToOwnership) => void;
  readonly monotonicMs: () => number;
  /** The Lease has no holder any more, or there never was one. */
  readonly onClosed: () => void;
}

export class LeaseRunner {
  readonly #options: LeaseRunnerOptions;
  #state: LeaseSession | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Nothing of the session answers any more: before that the Lease must not be closed, for others take that as its death. */
  #handedOver = false;

  constructor(options: LeaseRunnerOptions) {
    this.#options = options;
  }

  get hasBegun(): boolean {
    return this.#state !== undefined;
  }

  /** Whether a session lives that has to be handed over before the end. */
  get isHeld(): boolean {
    return this.#state !== undefined && leasedSession(this.#state) !== undefined;
  }

  /** @param floor the session gets a number above it */
  begin(floor: number): void {
    const begun = initialLeaseSession({ renewMs: this.#options.renewMs, floor });
    this.#state = begun.state;
    for (const effect of begun.effects) this.#perform(effect);
  }

  flushed(ok: boolean): void {
    this.#step({ kind: 'flushed', ok });
  }

  /** The session ended among the peers. */
  over(session: number, floor: number): void {
    this.#step({ kind: 'over', session, floor });
  }

  /** Nothing of the session answers any more, and the peers know. */
  handedOver(): void {
    this.#handedOver = true;
    this.#step({ kind: 'close' });
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #step(event: Timeless<LeaseSessionEvent>): void {
    if (this.#state === undefined) return;
    const step = stepLeaseSession(this.#state, { ...event, nowMs: this.#options.monotonicMs() });
    this.#state = step.state;
    for (const effect of step.effects) this.#perform(effect);
    const { phase } = this.#state;
    if (phase.kind === 'closed') return this.#options.onClosed();
    // A renewal in flight was let through first.
    if (this.#handedOver && event.kind === 'lease-written' && phase.kind === 'open')
      return setImmediate(() => this.#step({ kind: 'close' })) && undefined;
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const wakeMs = this.#state === undefined ? undefined : leaseWakeMs(this.#state);
    if (wakeMs === undefined) return;
    const waitMs = Math.max(0, wakeMs - this.#options.monotonicMs());
    this.#timer = setTimeout(() => this.#step({ kind: 'tick' }), Math.ceil(waitMs));
  }

  #perform(effect: LeaseSessionEffect): void {
    const { heart, post, boot, logger } = this.#options;
    switch (effect.kind) {
      case 'flush-kernel':
        return post({ kind: 'flush' });
      case 'read-lease':
        void heart.read().then((lease) => this.#step({ kind: 'lease-read', lease }));
        return;
      case 'write-lease':
        void heart.write(effect).then((outcome) => {
          const { session } = effect;
          this.#step({ kind: 'lease-written', session, outcome });
        });
        return;
      case 'session-opened':
        logger.info('the session is open', { session: effect.session });
        return post({ kind: 'event', event: { kind: 'opened', session: effect.session, boot } });
      case 'session-lost':
        return post({ kind: 'event', event: { kind: 'lease-lost', session: effect.session } });
      default:
        effect satisfies never;
    }
  }
}
