/**
 * Decides what one candidate for a Lease does next, by the rules of client-go's leaderelection: only what is observed
 * here counts (the wait begins when the record changes as seen from here; times inside it are never compared with a
 * clock), the holder's published duration counts, and a leader stops by itself before that has run out.
 *
 * Relies on compare-and-swap writes, on one event at a time, on `nowMs` from one monotonic clock, and on an identity that
 * no other process ever uses. Leaves to the runner: requests, timers, and noticing that the machine was suspended.
 *
 * Differs from client-go in one thing: each time it becomes leader the transitions grow, also when the holder before
 * was itself. So a term is never used twice and can fence what was written in the one before.
 */
import type {
  ElectionEffect,
  ElectionEvent,
  ElectionRules,
  ElectionState,
  ElectionStep,
  LeaseWrite,
  ObservedLease,
} from './electionState.ts';
import { RETRY_JITTER } from './electionState.ts';

/** What a released Lease publishes; the API server wants at least a second. */
const RELEASED_DURATION_MS = 1000;

/** When the runner has to bring the next tick, if nothing else happens before; +∞: not at all. */
export function nextTickMs(state: ElectionState): number {
  const acting = state.role === 'follower' || state.role === 'leader';
  const wakeAtMs = acting && state.pending === 'none' ? state.wakeAtMs : Number.POSITIVE_INFINITY;
  return state.role === 'leader' ? Math.min(wakeAtMs, state.holdsUntilMs) : wakeAtMs;
}

export function step(before: ElectionState, event: ElectionEvent, rules: ElectionRules): ElectionStep {
  const expired = before.role === 'leader' && (event.kind === 'jumped' || event.nowMs >= before.holdsUntilMs);
  const { state, effects } = expired ? lose(before, event.nowMs) : { state: before, effects: [] };
  const next = decide(state, event, rules);
  return { state: next.state, effects: [...effects, ...next.effects] };
}

function decide(state: ElectionState, event: ElectionEvent, rules: ElectionRules): ElectionStep {
  switch (event.kind) {
    case 'tick':
      return event.nowMs >= nextTickMs(state) ? act(state, rules) : stay(state);
    case 'read':
      return afterRead({ ...state, pending: 'none' }, event, rules);
    case 'wrote':
      return afterWrite({ ...state, pending: 'none' }, event, rules);
    case 'jumped':
      return stay(state);
    case 'stop':
      return stop(state, rules);
    default:
      return event satisfies never;
  }
}

/** A leader renews over what it wrote last; everyone else looks first. */
function act(state: ElectionState, rules: ElectionRules): ElectionStep {
  return state.role === 'leader' && state.fresh ? claim(state, rules) : read(state);
}

type ReadEvent = Extract<ElectionEvent, { readonly kind: 'read' }>;

function afterRead(before: ElectionState, event: ReadEvent, rules: ElectionRules): ElectionStep {
  const { found, nowMs } = event;
  if (found === 'failed') return before.role === 'stopping' ? end(before) : stay(later(before, event, rules));
  const state = observe(before, found === 'absent' ? undefined : found, nowMs);
  const holder = state.observed?.holder ?? '';
  if (state.role === 'stopping') return release(state, rules);
  if (state.role === 'leader') {
    if (holder === rules.identity) return stay(later(state, event, rules));
    const lost = lose(state, nowMs);
    return { state: { ...lost.state, wakeAtMs: later(state, event, rules).wakeAtMs }, effects: lost.effects };
  }
  if (state.role !== 'follower') return stay(state);
  const heldUntilMs = state.changedAtMs + (state.observed?.durationMs ?? 0);
  const free = holder === '' || holder === rules.identity || nowMs >= heldUntilMs;
  return free ? claim(state, rules) : stay(later(state, event, rules));
}

type WroteEvent = Extract<ElectionEvent, { readonly kind: 'wrote' }>;

function afterWrite(before: ElectionState, event: WroteEvent, rules: ElectionRules): ElectionStep {
  const { outcome, nowMs, sentAtMs } = event;
  if (before.role === 'releasing') return end(before);
  const state =
    outcome.kind === 'accepted'
      ? observe(before, outcome.lease, nowMs)
      : { ...before, fresh: before.fresh && outcome.kind === 'failed' };
  if (state.role === 'stopping') return state.fresh ? release(state, rules) : read(state);
  if (state.role === 'stopped') return stay(state);
  if (outcome.kind !== 'accepted') {
    // A leader wants to know at once who wrote; a candidate has time.
    return state.role === 'leader' && !state.fresh ? read(state) : stay(later(state, event, rules));
  }
  const holdsUntilMs = sentAtMs + rules.renewDeadlineMs;
  const renewed = { ...state, holdsUntilMs, wakeAtMs: sentAtMs + rules.retryPeriodMs };
  if (state.role === 'leader') return stay(renewed);
  const term = outcome.lease.transitions;
  // An answer that came too late, or to a renewal of a term that is over: claim anew.
  if (nowMs >= holdsUntilMs || term <= state.term) return stay({ ...state, wakeAtMs: nowMs });
  return {
    state: { ...renewed, role: 'leader', term },
    effects: [{ kind: 'changed', role: 'leader', term }],
  };
}

function stop(state: ElectionState, rules: ElectionRules): ElectionStep {
  if (state.role !== 'leader' && state.role !== 'follower') return stay(state);
  const effects: readonly ElectionEffect[] =
    state.role === 'leader' ? [{ kind: 'changed', role: 'follower', term: state.term }] : [];
  const stopping: ElectionState = { ...state, role: 'stopping', holdsUntilMs: Number.NEGATIVE_INFINITY };
  if (stopping.pending !== 'none') return { state: stopping, effects };
  const next = !stopping.claimed ? end(stopping) : stopping.fresh ? release(stopping, rules) : read(stopping);
  return { state: next.state, effects: [...effects, ...next.effects] };
}

/** One try: where it fails, the Lease runs out by itself. */
function release(state: ElectionState, { identity }: ElectionRules): ElectionStep {
  const { observed } = state;
  if (observed === undefined || observed.holder !== identity) return end(state);
  const { version, transitions } = observed;
  const write: LeaseWrite = { version, holder: '', durationMs: RELEASED_DURATION_MS, transitions };
  return {
    state: { ...state, role: 'releasing', pending: 'write' },
    effects: [{ kind: 'write', write }],
  };
}

/** A leader's claim is its renewal. */
function claim(state: ElectionState, rules: ElectionRules): ElectionStep {
  const { observed, role, term } = state;
  const { identity: holder, leaseDurationMs: durationMs } = rules;
  const write: LeaseWrite =
    role === 'leader' && observed !== undefined
      ? {
          version: observed.version,
          holder,
          durationMs,
          transitions: term,
          acquireTime: observed.acquireTime,
        }
      : {
          ...(observed === undefined ? {} : { version: observed.version }),
          holder,
          durationMs,
          transitions: Math.max(observed?.transitions ?? 0, term) + 1,
        };
  return { state: { ...state, pending: 'write', claimed: true }, effects: [{ kind: 'write', write }] };
}

function lose(state: ElectionState, nowMs: number): ElectionStep {
  return {
    state: {
      ...state,
      role: 'follower',
      fresh: false,
      holdsUntilMs: Number.NEGATIVE_INFINITY,
      wakeAtMs: nowMs,
    },
    effects: [{ kind: 'changed', role: 'follower', term: state.term }],
  };
}

function observe(state: ElectionState, lease: ObservedLease | undefined, nowMs: number): ElectionState {
  const { observed } = state;
  const changed =
    observed?.holder !== lease?.holder ||
    observed?.durationMs !== lease?.durationMs ||
    observed?.transitions !== lease?.transitions ||
    observed?.acquireTime !== lease?.acquireTime ||
    observed?.renewTime !== lease?.renewTime;
  return { ...state, observed: lease, fresh: true, changedAtMs: changed ? nowMs : state.changedAtMs };
}

function later(
  state: ElectionState,
  { nowMs, random }: { readonly nowMs: number; readonly random: number },
  { retryPeriodMs }: ElectionRules,
): ElectionState {
  return { ...state, wakeAtMs: nowMs + retryPeriodMs * (1 + RETRY_JITTER * random) };
}

function read(state: ElectionState): ElectionStep {
  return { state: { ...state, pending: 'read' }, effects: [{ kind: 'read' }] };
}

function end(state: ElectionState): ElectionStep {
  return { state: { ...state, role: 'stopped', pending: 'none' }, effects: [{ kind: 'ended' }] };
}

function stay(state: ElectionState): ElectionStep {
  return { state, effects: [] };
}
