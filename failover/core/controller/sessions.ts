/**
 * Decides which gateway sessions are alive, and which may be declared dead. Only what was observed here counts: a
 * Lease's clock starts when its record changes as seen here, on our monotonic clock; the times inside it are never
 * compared with anything. All clocks start anew when contact with the API server was lost, because silence then says
 * nothing about the gateway.
 *
 * `overdue` only names candidates. The verdict is a compare-and-swap of the very record that stood still, carried out by
 * the runner; a session is dead when that closed record is observed. See docs/decisions/0001.
 */
import type { SessionRef } from '../egressIp.ts';

/** A gateway's Lease as the API server holds it. */
export interface GatewayLease {
  readonly gateway: string;
  readonly session: number;
  /** False once it was closed: by the gateway when it handed over, or by a controller's verdict. */
  readonly holding: boolean;
  /** The lifetime that the holder published, milliseconds: its word counts, not our setting. */
  readonly durationMs: number;
  /** resourceVersion: what the verdict is swapped against. */
  readonly version: string;
}

interface WatchedLease {
  readonly lease: GatewayLease;
  /** Monotonic. */
  readonly unchangedSinceMs: number;
}

export type SessionsState = ReadonlyMap<string, WatchedLease>;

/** Rates of two clocks may differ by this in opposite directions. */
const CLOCK_RATE_ERROR = 0.01;
const CLOCK_RATE_MARGIN = (1 + CLOCK_RATE_ERROR) / (1 - CLOCK_RATE_ERROR);
/** The kernel expires timed elements with this granularity. */
const KERNEL_TIMER_MS = 4;

/** How long a record must stand still before its holder's kernel has certainly fallen silent, milliseconds. */
export function promiseMs(lifetimeMs: number): number {
  return Math.ceil((lifetimeMs + KERNEL_TIMER_MS) * CLOCK_RATE_MARGIN);
}

export function observeLease(state: SessionsState, lease: GatewayLease, nowMs: number): SessionsState {
  const known = state.get(lease.gateway);
  if (known?.lease.version === lease.version) return state;
  return new Map(state).set(lease.gateway, { lease, unchangedSinceMs: nowMs });
}

export function forgetLease(state: SessionsState, gateway: string): SessionsState {
  const next = new Map(state);
  next.delete(gateway);
  return next;
}

/** After contact was lost and found again, and when leadership begins. */
export function restartClocks(state: SessionsState, nowMs: number): SessionsState {
  return new Map([...state].map(([gateway, { lease }]) => [gateway, { lease, unchangedSinceMs: nowMs }]));
}

/** Sessions that may be declared dead now, by a compare-and-swap on `version`. */
export function overdue(state: SessionsState, nowMs: number): readonly GatewayLease[] {
  return [...state.values()]
    .filter((watched) => watched.lease.holding && nowMs >= deadlineMs(watched))
    .map(({ lease }) => lease);
}

/** When the next session would become overdue; undefined while none is held. */
export function nextDeadlineMs(state: SessionsState): number | undefined {
  const deadlines = [...state.values()].filter(({ lease }) => lease.holding).map(deadlineMs);
  return deadlines.length === 0 ? undefined : Math.min(...deadlines);
}

function deadlineMs({ lease, unchangedSinceMs }: WatchedLease): number {
  return unchangedSinceMs + promiseMs(lease.durationMs);
}

/** The session that a gateway holds now. */
export function liveSession(state: SessionsState, gateway: string): number | undefined {
  const lease = state.get(gateway)?.lease;
  return lease?.holding === true ? lease.session : undefined;
}

/** Proven: it was closed, or its gateway has opened a later one. A Lease that is not there proves nothing. */
export function isDead(state: SessionsState, { gateway, session }: SessionRef): boolean {
  const lease = state.get(gateway)?.lease;
  if (lease === undefined) return false;
  return lease.session > session || (lease.session === session && !lease.holding);
}
