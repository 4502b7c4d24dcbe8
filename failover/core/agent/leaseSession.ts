/**
 * The life of one gateway's session towards the API server: flush the kernel, win a number never used before by a
 * compare-and-swap of the gateway's Lease, renew the Lease while it lives, close it at the end.
 *
 * The number is what makes a session: it is opened only after the flush, so whoever sees a higher one knows that nothing
 * of the lower ones answers any more. Who is alive is decided among the agents (core/ownership); the Lease shows the
 * session to the controller and to people. One that is found closed, gone or under a later number ends the session. One
 * with an earlier number was restored from a snapshot: numbers only grow, so it is written over and the session goes on.
 *
 * Relies on: monotonic milliseconds in every event.
 */

export type LeasePhase =
  | { readonly kind: 'flushing' }
  | { readonly kind: 'reading' }
  | { readonly kind: 'opening'; readonly session: number }
  | { readonly kind: 'open'; readonly session: number; readonly version: string; readonly writing: boolean }
  | { readonly kind: 'rereading'; readonly session: number }
  | { readonly kind: 'waiting'; readonly untilMs: number }
  | { readonly kind: 'closing'; readonly session: number }
  | { readonly kind: 'closed' };

export interface LeaseSession {
  readonly renewMs: number;
  /** The highest session number of this gateway seen anywhere (Lease, GatewayNode, EgressIPs, voters). */
  readonly floor: number;
  readonly nextMs: number;
  readonly phase: LeasePhase;
}

/** What stands in the Lease: `holding` is false once it was closed. */
export interface LeaseFacts {
  readonly version: string;
  readonly session: number;
  readonly holding: boolean;
}

/** `stale`: a conflict, or the answer was lost; what stands there must be read before the next write. */
export type LeaseWriteOutcome =
  | { readonly kind: 'accepted'; readonly version: string }
  | { readonly kind: 'stale' }
  | { readonly kind: 'failed' };

export type LeaseSessionEvent = { readonly nowMs: number } & (
  | { readonly kind: 'tick' }
  | { readonly kind: 'flushed'; readonly ok: boolean }
  | { readonly kind: 'lease-read'; readonly lease: LeaseFacts | 'absent' | 'failed' }
  /** `session`: for which it was written. A renewal's answer may come when its session is over and the next one opens. */
  | { readonly kind: 'lease-written'; readonly session: number; readonly outcome: LeaseWriteOutcome }
  /** The session ended among the peers; a new one needs a number above `floor`. */
  | { readonly kind: 'over'; readonly session: number; readonly floor: number }
  /** Nothing of the session answers any more, and the peers know. */
  | { readonly kind: 'close' }
);

export type LeaseSessionEffect =
  | { readonly kind: 'flush-kernel' }
  | { readonly kind: 'read-lease' }
  | {
      readonly kind: 'write-lease';
      readonly session: number;
      readonly holding: boolean;
      /** Absent: create. */
      readonly version?: string;
    }
  /** The session may begin: its number is ours alone. */
  | { readonly kind: 'session-opened'; readonly session: number }
  /** The session has to end: the Lease is not ours any more. */
  | { readonly kind: 'session-lost'; readonly session: number };

export interface LeaseSessionStep {
  readonly state: LeaseSession;
  readonly effects: readonly LeaseSessionEffect[];
}

/** How long to wait after a failed kernel command or API call, or an ended session, before the next is tried. */
const RETRY_MS = 250;

export function initialLeaseSession(options: {
  readonly renewMs: number;
  readonly floor: number;
}): LeaseSessionStep {
  return {
    state: { ...options, nextMs: 0, phase: { kind: 'flushing' } },
    effects: [{ kind: 'flush-kernel' }],
  };
}

/** The number under which this gateway may act; undefined: none. */
export function leasedSession({ phase }: LeaseSession): number | undefined {
  return phase.kind === 'open' || phase.kind === 'rereading' ? phase.session : undefined;
}

export function stepLeaseSession(state: LeaseSession, event: LeaseSessionEvent): LeaseSessionStep {
  switch (event.kind) {
    case 'tick':
      return onTick(state, event.nowMs);
    case 'flushed':
      if (state.phase.kind !== 'flushing') return stay(state);
      return event.ok
        ? readLease({ ...state, phase: { kind: 'reading' } })
        : becomeWaiting(state, event.nowMs);
    case 'lease-read':
      return onLeaseRead(state, event.lease, event.nowMs);
    case 'lease-written':
      return onLeaseWritten(state, event, event.nowMs);
    case 'over':
      if (leasedSession(state) !== event.session) return stay(state);
      // A gateway without a majority would open sessions in a hot loop.
      return becomeWaiting({ ...state, floor: Math.max(state.floor, event.floor) }, event.nowMs);
    case 'close':
      return onClose(state);
    default:
      return event satisfies never;
  }
}

function stay(state: LeaseSession): LeaseSessionStep {
  return { state, effects: [] };
}

function readLease(state: LeaseSession): LeaseSessionStep {
  return { state, effects: [{ kind: 'read-lease' }] };
}

function becomeWaiting(state: LeaseSession, nowMs: number): LeaseSessionStep {
  return stay({ ...state, phase: { kind: 'waiting', untilMs: nowMs + RETRY_MS } });
}

function onTick(state: LeaseSession, nowMs: number): LeaseSessionStep {
  const { phase } = state;
  switch (phase.kind) {
    case 'waiting':
      if (nowMs < phase.untilMs) return stay(state);
      return { state: { ...state, phase: { kind: 'flushing' } }, effects: [{ kind: 'flush-kernel' }] };
    case 'rereading':
      if (nowMs < state.nextMs) return stay(state);
      return readLease({ ...state, nextMs: nowMs + RETRY_MS });
    case 'open':
      return phase.writing || nowMs < state.nextMs ? stay(state) : renew(state, phase, nowMs);
    case 'flushing':
    case 'reading':
    case 'opening':
    case 'closing':
    case 'closed':
      return stay(state);
    default:
      return phase satisfies never;
  }
}

function renew(
  state: LeaseSession,
  { session, version }: { readonly session: number; readonly version: string },
  nowMs: number,
): LeaseSessionStep {
  return {
    state: {
      ...state,
      nextMs: nowMs + state.renewMs,
      phase: { kind: 'open', session, version, writing: true },
    },
    effects: [{ kind: 'write-lease', session, holding: true, version }],
  };
}

function onLeaseRead(
  state: LeaseSession,
  lease: LeaseFacts | 'absent' | 'failed',
  nowMs: number,
): LeaseSessionStep {
  const { phase } = state;
  if (phase.kind === 'reading') {
    if (lease === 'failed') return becomeWaiting(state, nowMs);
    const session = Math.max(state.floor, lease === 'absent' ? 0 : lease.session) + 1;
    const version = lease === 'absent' ? {} : { version: lease.version };
    return {
      state: { ...state, floor: session, phase: { kind: 'opening', session } },
      effects: [{ kind: 'write-lease', session, holding: true, ...version }],
    };
  }
  if (phase.kind !== 'rereading') return stay(state);
  // The peers keep the session alive meanwhile: the API server may be away for long.
  if (lease === 'failed') return stay({ ...state, nextMs: nowMs + RETRY_MS });
  const { session } = phase;
  // Restored from a snapshot: nobody but us may have a later number.
  if (lease !== 'absent' && lease.session < session)
    return renew(state, { session, version: lease.version }, nowMs);
  if (lease === 'absent' || !lease.holding || lease.session !== session) {
    const waiting = becomeWaiting(state, nowMs);
    return { ...waiting, effects: [{ kind: 'session-lost', session }] };
  }
  return stay(becomeOpen(state, { session, version: lease.version }, nowMs + state.renewMs));
}

function becomeOpen(
  state: LeaseSession,
  { session, version }: { readonly session: number; readonly version: string },
  nextMs: number,
): LeaseSession {
  return { ...state, nextMs, phase: { kind: 'open', session, version, writing: false } };
}

function onLeaseWritten(
  state: LeaseSession,
  written: { readonly session: number; readonly outcome: LeaseWriteOutcome },
  nowMs: number,
): LeaseSessionStep {
  const { phase } = state;
  const { outcome } = written;
  if (!('session' in phase) || phase.session !== written.session) return stay(state);
  if (phase.kind === 'closing') return stay({ ...state, phase: { kind: 'closed' } });
  if (phase.kind === 'opening') {
    if (outcome.kind !== 'accepted') return becomeWaiting(state, nowMs);
    const { session } = phase;
    return {
      state: becomeOpen(state, { session, version: outcome.version }, nowMs + state.renewMs),
      effects: [{ kind: 'session-opened', session }],
    };
  }
  if (phase.kind !== 'open' || !phase.writing) return stay(state);
  const { session, version } = phase;
  switch (outcome.kind) {
    case 'accepted':
      return stay(becomeOpen(state, { session, version: outcome.version }, state.nextMs));
    case 'stale':
      return readLease({ ...state, nextMs: nowMs + RETRY_MS, phase: { kind: 'rereading', session } });
    case 'failed':
      return stay(becomeOpen(state, { session, version }, nowMs + RETRY_MS));
    default:
      return outcome satisfies never;
  }
}

/** A renewal in flight is let through first: its answer brings the version that the closing write needs. */
function onClose(state: LeaseSession): LeaseSessionStep {
  const { phase } = state;
  if (phase.kind === 'closing' || (phase.kind === 'open' && phase.writing)) return stay(state);
  if (phase.kind !== 'open') return stay({ ...state, phase: { kind: 'closed' } });
  const { session, version } = phase;
  return {
    state: { ...state, phase: { kind: 'closing', session } },
    effects: [{ kind: 'write-lease', session, holding: false, version }],
  };
}

/** The runner calls `tick` then at the latest; undefined: an answer is awaited. */
export function leaseWakeMs({ phase, nextMs }: LeaseSession): number | undefined {
  switch (phase.kind) {
    case 'waiting':
      return phase.untilMs;
    case 'rereading':
      return nextMs;
    case 'open':
      return phase.writing ? undefined : nextMs;
    case 'flushing':
    case 'reading':
    case 'opening':
    case 'closing':
    case 'closed':
      return undefined;
    default:
      return phase satisfies never;
  }
}
