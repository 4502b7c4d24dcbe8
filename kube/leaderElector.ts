/**
 * Campaigns for a Lease and keeps it. `core/leaderElection.ts` decides; here are its requests, its timer and its clocks.
 *
 * Whoever writes as leader asks `holdsUntilMs` before each write: `onChange` comes late to a process that was frozen.
 * Give it a client of its own with a deadline of a quarter of `renewDeadlineMs`: a lost answer then costs no leadership,
 * and no long list stands before a renewal.
 */
import type { Logger } from '../runtime/logger.ts';
import {
  ELECTION_START,
  type ElectionEffect,
  type ElectionEvent,
  type ElectionRules,
  type ElectionState,
  electionProblems,
  type LeaseWrite,
  type ObservedLease,
  type WriteOutcome,
} from './core/electionState.ts';
import { nextTickMs, step } from './core/leaderElection.ts';
import type { KubeClient, KubeOutcome } from './kubeClient.ts';
import { formatMicroTime, type LeaseRecord, leasePath, parseLease, renderLease } from './lease.ts';

export interface LeaderElectorOptions extends ElectionRules {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  readonly logger: Logger;
  /** `term` grows with every leadership, whoever's it is. What it throws is a programmer error and ends the process. */
  readonly onChange: (role: 'leader' | 'follower', term: number) => void;
  readonly clock?: ElectionClock;
}

export interface ElectionClock {
  /** Milliseconds, as `performance.now()`. */
  readonly monotonic: () => number;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
  readonly random: () => number;
}

export interface LeaderElector {
  /** Until when nobody else can be leader, on the monotonic clock; −∞ while this one is not. */
  holdsUntilMs(): number;
  /** Ceases to lead at once, then releases the Lease as far as the API server can be reached. */
  stop(): Promise<void>;
}

/**
 * The wall clock got ahead of the monotonic one by this much: the machine was suspended, and the Lease with it. A wall clock
 * that was merely set forward costs one term, which is cheap.
 */
const JUMP_MS = 1000;
const SYSTEM_CLOCK: ElectionClock = {
  monotonic: () => performance.now(),
  wall: Date.now,
  random: Math.random,
};

/** Throws a RangeError for durations that do not keep two leaders apart: see `electionProblems`. */
export function startLeaderElector(options: LeaderElectorOptions): LeaderElector {
  const problems = electionProblems(options);
  if (problems.length > 0) throw new RangeError(`startLeaderElector: ${problems.join('; ')}`);
  const campaign = new Campaign(options);
  campaign.tick();
  return {
    holdsUntilMs: () => campaign.holdsUntilMs(),
    stop: () => campaign.stop(),
  };
}

class Campaign {
  readonly #options: LeaderElectorOptions;
  readonly #clock: ElectionClock;
  readonly #ended = Promise.withResolvers<void>();
  #state: ElectionState = ELECTION_START;
  #timer: NodeJS.Timeout | undefined;
  /** The Lease as read or written last: what others put to its metadata stays. */
  #standing: unknown;
  /** Wall minus monotonic clock when last looked at. */
  #offsetMs: number;
  /** Time in all that the monotonic clock did not see. */
  #skippedMs = 0;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#offsetMs = this.#clock.wall() - this.#clock.monotonic();
  }

  tick(): void {
    this.#dispatch({ kind: 'tick', nowMs: this.#clock.monotonic(), random: this.#clock.random() });
  }

  holdsUntilMs(): number {
    this.#noticeJump();
    return this.#state.holdsUntilMs;
  }

  stop(): Promise<void> {
    this.#dispatch({ kind: 'stop', nowMs: this.#clock.monotonic() });
    return this.#ended.promise;
  }

  #dispatch(event: ElectionEvent): void {
    this.#noticeJump();
    this.#apply(event);
    clearTimeout(this.#timer);
    const dueMs = nextTickMs(this.#state);
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.tick(), Math.max(0, Math.ceil(dueMs - this.#clock.monotonic())));
  }

  #apply(event: ElectionEvent): void {
    const { state, effects } = step(this.#state, event, this.#options);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #noticeJump(): void {
    const offsetMs = this.#clock.wall() - this.#clock.monotonic();
    const jumpMs = offsetMs - this.#offsetMs;
    this.#offsetMs = offsetMs;
    if (jumpMs < JUMP_MS) return;
    this.#skippedMs += jumpMs;
    this.#options.logger.warn('the clock jumped; leadership is not believed any more', { jumpMs });
    this.#apply({ kind: 'jumped', nowMs: this.#clock.monotonic() });
  }

  #perform(effect: ElectionEffect): void {
    const { logger, name, onChange } = this.#options;
    switch (effect.kind) {
      case 'read':
        return surface(this.#read());
      case 'write':
        return surface(this.#write(effect.write));
      case 'changed':
        logger.info(effect.role === 'leader' ? 'became leader' : 'is leader no more', {
          lease: name,
          term: effect.term,
        });
        return onChange(effect.role, effect.term);
      case 'ended':
        return this.#ended.resolve();
      default:
        return effect satisfies never;
    }
  }

  async #read(): Promise<void> {
    const { client, namespace, name, logger } = this.#options;
    const outcome = await client.get(leasePath(namespace, name));
    const absent = outcome.kind !== 'ok' && outcome.error.code === 'not-found';
    const lease = outcome.kind === 'ok' ? parseLease(outcome.value) : undefined;
    if (outcome.kind === 'ok') this.#standing = outcome.value;
    const found = absent ? 'absent' : lease === undefined ? 'failed' : observed(lease);
    if (found === 'failed')
      logger.warn('the Lease cannot be read', { lease: name, reason: reasonOf(outcome) });
    this.#dispatch({ kind: 'read', nowMs: this.#clock.monotonic(), random: this.#clock.random(), found });
  }

  async #write(write: LeaseWrite): Promise<void> {
    const { client, namespace, name, logger } = this.#options;
    const body = renderLease(this.#render(write), write.version === undefined ? undefined : this.#standing);
    const sentAtMs = this.#clock.monotonic();
    const skippedMs = this.#skippedMs;
    const outcome =
      write.version === undefined
        ? await client.create(leasePath(namespace), body)
        : await client.replace(leasePath(namespace, name), body);
    const judged = judge(outcome);
    if (outcome.kind === 'ok') this.#standing = outcome.value;
    if (judged.kind === 'failed' || judged.kind === 'unknown')
      logger.warn('the Lease cannot be written', { lease: name, reason: reasonOf(outcome) });
    this.#noticeJump();
    this.#dispatch({
      kind: 'wrote',
      nowMs: this.#clock.monotonic(),
      // Time that was slept through meanwhile counts against the Lease all the same.
      sentAtMs: sentAtMs - (this.#skippedMs - skippedMs),
      random: this.#clock.random(),
      outcome: judged,
    });
  }

  #render(write: LeaseWrite): LeaseRecord {
    const now = formatMicroTime(this.#clock.wall());
    return {
      name: this.#options.name,
      namespace: this.#options.namespace,
      uid: '',
      resourceVersion: write.version ?? '',
      holder: write.holder,
      durationSeconds: write.durationMs / 1000,
      acquireTime: write.acquireTime ?? now,
      renewTime: now,
      transitions: write.transitions,
    };
  }
}

function observed(lease: LeaseRecord): ObservedLease {
  const { resourceVersion: version, holder, durationSeconds, transitions, acquireTime, renewTime } = lease;
  return { version, holder, durationMs: durationSeconds * 1000, transitions, acquireTime, renewTime };
}

function judge(outcome: KubeOutcome<unknown>): WriteOutcome {
  if (outcome.kind === 'ok') {
    const lease = parseLease(outcome.value);
    return lease === undefined ? { kind: 'unknown' } : { kind: 'accepted', lease: observed(lease) };
  }
  if (outcome.kind === 'unknown') return { kind: 'unknown' };
  const { code } = outcome.error;
  const stale = code === 'conflict' || code === 'already-exists' || code === 'not-found';
  return { kind: stale ? 'stale' : 'failed' };
}

function reasonOf(outcome: KubeOutcome<unknown>): string {
  return outcome.kind === 'ok' ? 'the answer is no Lease' : outcome.error.message;
}

/** Requests answer with values, so what rejects is a bug, in here or in `onChange`: it may not vanish. */
function surface(work: Promise<void>): void {
  work.catch((error: unknown) => {
    setImmediate(() => {
      throw error;
    });
  });
}
