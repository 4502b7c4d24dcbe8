/**
 * The life of one gateway's session: flush the kernel, open under a number never used before, heartbeat, close.
 *
 * A heartbeat here is a compare-and-swap of the gateway's Lease. The timed kernel element goes in before the write is
 * sent and the chain is pointed at it only when the write was accepted, so its lifetime runs from before the send
 * whatever stalls later. The controller declares a session dead by a compare-and-swap of the same Lease after it stood
 * still for longer than that lifetime: from then on every heartbeat of the session is refused with a conflict. Safety
 * so rests on the kernel's timer and on the order of writes, not on this process being scheduled in time.
 *
 * Relies on: monotonic milliseconds in every event. Leaves to others: which addresses hang on the session (answering.ts).
 */

export type SessionPhase =
  | { readonly kind: 'flushing' }
  | { readonly kind: 'reading' }
  | { readonly kind: 'opening'; readonly session: number }
  | { readonly kind: 'open'; readonly session: number; readonly version: string; readonly beat?: Beat }
  | { readonly kind: 'rereading'; readonly session: number }
  | { readonly kind: 'waiting'; readonly untilMs: number }
  | { readonly kind: 'closing'; readonly session: number }
  | { readonly kind: 'closed' };

interface Beat {
  readonly seq: number;
  readonly stage: 'inserting' | 'sending' | 'granting';
}

export interface SessionState {
  readonly heartbeatMs: number;
  readonly lifetimeMs: number;
  /** The highest session number of this gateway seen anywhere (Lease, GatewayNode, EgressIPs). */
  readonly floor: number;
  readonly seq: number;
  readonly nextBeatMs: number;
  /** When the session's newest granted heartbeat runs out, monotonic; 0 before its first. Fences nothing: the kernel does. */
  readonly validUntilMs: number;
  readonly insertedAtMs: number;
  readonly phase: SessionPhase;
}

/** What stands in the Lease: `holding` is false once it was closed, by ourselves or by the controller. */
export interface LeaseFacts {
  readonly version: string;
  readonly session: number;
  readonly holding: boolean;
}

export type SessionEvent =
  | { readonly kind: 'tick'; readonly nowMs: number }
  | { readonly kind: 'flushed'; readonly ok: boolean; readonly nowMs: number }
  | { readonly kind: 'lease-read'; readonly lease: LeaseFacts | 'absent' | 'failed'; readonly nowMs: number }
  | { readonly kind: 'lease-written'; readonly outcome: LeaseWriteOutcome; readonly nowMs: number }
  | { readonly kind: 'inserted'; readonly seq: number; readonly ok: boolean; readonly nowMs: number }
  | { readonly kind: 'granted'; readonly seq: number; readonly ok: boolean; readonly nowMs: number }
  | { readonly kind: 'close'; readonly nowMs: number };

/** `stale`: a conflict, or the answer was lost; what stands there must be read before the next write. */
export type LeaseWriteOutcome =
  | { readonly kind: 'accepted'; readonly version: string }
  | { readonly kind: 'stale' }
  | { readonly kind: 'failed' };

export type SessionEffect =
  | { readonly kind: 'flush-kernel' }
  | { readonly kind: 'read-lease' }
  | {
      readonly kind: 'write-lease';
      readonly session: number;
      readonly holding: boolean;
      /** Absent: create. */
      readonly version?: string;
    }
  | {
      readonly kind: 'insert-heartbeat';
      readonly session: number;
      readonly seq: number;
      readonly lifetimeMs: number;
    }
  | { readonly kind: 'grant-heartbeat'; readonly session: number; readonly seq: number }
  | { readonly kind: 'wake-at'; readonly atMs: number };

export interface SessionStep {
  readonly state: SessionState;
  readonly effects: readonly SessionEffect[];
}

/** How long to wait after a failed kernel command or API call before the same is tried again. */
const RETRY_MS = 250;

export function initialSession(options: {
  readonly heartbeatMs: number;
  readonly lifetimeMs: number;
  readonly floor: number;
}): SessionStep {
  const state: SessionState = {
    ...options,
    seq: 0,
    nextBeatMs: 0,
    validUntilMs: 0,
    insertedAtMs: 0,
    phase: { kind: 'flushing' },
  };
  return { state, effects: [{ kind: 'flush-kernel' }] };
}

/** The session, once a first heartbeat of it was granted: before that the kernel would answer for nothing. */
export function openSession(state: SessionState): number | undefined {
  if (state.validUntilMs === 0) return undefined;
  return state.phase.kind === 'open' || state.phase.kind === 'rereading' ? state.phase.session : undefined;
}

export function stepSession(state: SessionState, event: SessionEvent): SessionStep {
  switch (event.kind) {
    case 'tick':
      return onTick(state, event.nowMs);
    case 'flushed':
      if (state.phase.kind !== 'flushing') return stay(state);
      return event.ok
        ? readLease({ ...state, phase: { kind: 'reading' } })
        : waitToRestart(state, event.nowMs);
    case 'lease-read':
      return onLeaseRead(state, event.lease, event.nowMs);
    case 'lease-written':
      return onLeaseWritten(state, event.outcome, event.nowMs);
    case 'inserted':
      return onInserted(state, event);
    case 'granted':
      return onGranted(state, event);
    case 'close':
      return onClose(state);
    default:
      return event satisfies never;
  }
}

function stay(state: SessionState): SessionStep {
  return { state, effects: [] };
}

function wakeAt(state: SessionState, atMs: number): SessionStep {
  return { state, effects: [{ kind: 'wake-at', atMs }] };
}

function readLease(state: SessionState): SessionStep {
  return { state, effects: [{ kind: 'read-lease' }] };
}

/** The session is over; whatever the kernel still holds of it goes before a new one is opened. */
function becomeFlushing(state: SessionState): SessionStep {
  return {
    state: { ...state, validUntilMs: 0, phase: { kind: 'flushing' } },
    effects: [{ kind: 'flush-kernel' }],
  };
}

function waitToRestart(state: SessionState, nowMs: number): SessionStep {
  const untilMs = nowMs + RETRY_MS;
  return {
    state: { ...state, phase: { kind: 'waiting', untilMs } },
    effects: [{ kind: 'wake-at', atMs: untilMs }],
  };
}

function onTick(state: SessionState, nowMs: number): SessionStep {
  const { phase } = state;
  if (phase.kind === 'waiting')
    return nowMs >= phase.untilMs ? becomeFlushing(state) : wakeAt(state, phase.untilMs);
  if (phase.kind === 'rereading') {
    if (nowMs < state.nextBeatMs) return wakeAt(state, state.nextBeatMs);
    return readLease({ ...state, nextBeatMs: nowMs + RETRY_MS });
  }
  if (phase.kind !== 'open' || phase.beat !== undefined) return stay(state);
  // Timers may fire a little early, and nothing else would wake us.
  if (nowMs < state.nextBeatMs) return wakeAt(state, state.nextBeatMs);
  const seq = state.seq + 1;
  return {
    state: { ...state, seq, insertedAtMs: nowMs, phase: { ...phase, beat: { seq, stage: 'inserting' } } },
    effects: [{ kind: 'insert-heartbeat', session: phase.session, seq, lifetimeMs: state.lifetimeMs }],
  };
}

function onLeaseRead(
  state: SessionState,
  lease: LeaseFacts | 'absent' | 'failed',
  nowMs: number,
): SessionStep {
  const { phase } = state;
  if (phase.kind === 'reading') {
    if (lease === 'failed') return waitToRestart(state, nowMs);
    const session = Math.max(state.floor, lease === 'absent' ? 0 : lease.session) + 1;
    const version = lease === 'absent' ? {} : { version: lease.version };
    return {
      state: { ...state, floor: session, phase: { kind: 'opening', session } },
      effects: [{ kind: 'write-lease', session, holding: true, ...version }],
    };
  }
  if (phase.kind !== 'rereading') return stay(state);
  if (lease === 'failed') return wakeLater(state, nowMs);
  const ours = lease !== 'absent' && lease.holding && lease.session === phase.session;
  if (!ours) return becomeFlushing(state);
  return becomeOpen(state, phase.session, lease.version, nowMs);
}

function wakeLater(state: SessionState, nowMs: number): SessionStep {
  const atMs = nowMs + RETRY_MS;
  return { state: { ...state, nextBeatMs: atMs }, effects: [{ kind: 'wake-at', atMs }] };
}

function becomeOpen(state: SessionState, session: number, version: string, nowMs: number): SessionStep {
  return {
    state: { ...state, nextBeatMs: nowMs, phase: { kind: 'open', session, version } },
    effects: [{ kind: 'wake-at', atMs: nowMs }],
  };
}

function onLeaseWritten(state: SessionState, outcome: LeaseWriteOutcome, nowMs: number): SessionStep {
  const { phase } = state;
  if (phase.kind === 'closing') return stay({ ...state, phase: { kind: 'closed' } });
  if (phase.kind === 'opening') {
    if (outcome.kind === 'accepted') return becomeOpen(state, phase.session, outcome.version, nowMs);
    return waitToRestart(state, nowMs);
  }
  if (phase.kind !== 'open' || phase.beat?.stage !== 'sending') return stay(state);
  const { beat: _sent, ...idle } = phase;
  switch (outcome.kind) {
    case 'accepted':
      return {
        state: {
          ...state,
          phase: { ...idle, version: outcome.version, beat: { seq: state.seq, stage: 'granting' } },
        },
        effects: [{ kind: 'grant-heartbeat', session: phase.session, seq: state.seq }],
      };
    case 'stale':
      return readLease({
        ...state,
        nextBeatMs: nowMs + RETRY_MS,
        phase: { kind: 'rereading', session: phase.session },
      });
    case 'failed':
      return wakeLater({ ...state, phase: idle }, nowMs);
    default:
      return outcome satisfies never;
  }
}

function onInserted(
  state: SessionState,
  event: { readonly seq: number; readonly ok: boolean; readonly nowMs: number },
): SessionStep {
  const { phase } = state;
  if (phase.kind !== 'open' || phase.beat?.stage !== 'inserting' || phase.beat.seq !== event.seq)
    return stay(state);
  const { beat: _inserted, ...idle } = phase;
  if (!event.ok) return wakeLater({ ...state, phase: idle }, event.nowMs);
  return {
    state: { ...state, phase: { ...idle, beat: { seq: event.seq, stage: 'sending' } } },
    effects: [{ kind: 'write-lease', session: phase.session, holding: true, version: phase.version }],
  };
}

function onGranted(
  state: SessionState,
  event: { readonly seq: number; readonly ok: boolean; readonly nowMs: number },
): SessionStep {
  const { phase } = state;
  if (phase.kind !== 'open' || phase.beat?.stage !== 'granting' || phase.beat.seq !== event.seq)
    return stay(state);
  const { beat: _granted, ...idle } = phase;
  const nextBeatMs = Math.max(event.nowMs, state.insertedAtMs + state.heartbeatMs);
  const validUntilMs = event.ok ? state.insertedAtMs + state.lifetimeMs : state.validUntilMs;
  return {
    state: { ...state, nextBeatMs, validUntilMs, phase: idle },
    effects: [{ kind: 'wake-at', atMs: nextBeatMs }],
  };
}

/**
 * Comes after every address was disarmed: nothing hangs on the session any more. Asked for again until `closed`, so a
 * heartbeat in flight is let through first: its answer brings the version that the closing write needs.
 */
function onClose(state: SessionState): SessionStep {
  const { phase } = state;
  if (phase.kind === 'closing' || (phase.kind === 'open' && phase.beat !== undefined)) return stay(state);
  if (phase.kind === 'open') {
    return {
      state: { ...state, phase: { kind: 'closing', session: phase.session } },
      effects: [{ kind: 'write-lease', session: phase.session, holding: false, version: phase.version }],
    };
  }
  return stay({ ...state, phase: { kind: 'closed' } });
}
