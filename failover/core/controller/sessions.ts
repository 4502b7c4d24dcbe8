/**
 * Decides which gateways are heard of through their Leases. Only what was observed here counts: a Lease's clock starts
 * when its record changes as seen here, on our monotonic clock; the times inside it are never compared with anything.
 * All clocks start anew when contact with the API server was lost, because silence then says nothing about the gateway.
 *
 * A silent gateway is given no address. That proves nothing about who answers: whether a session is dead is for the
 * voters (core/ownership) and for the Lease itself, once it was closed or has a later session.
 */
import type { SessionRef } from '../egressIp.ts';
import { earliest } from '../ownership/earlier.ts';

/** A gateway's Lease as the API server holds it. */
export interface GatewayLease {
  readonly gateway: string;
  readonly session: number;
  /** False once the gateway closed it, after it had handed over. */
  readonly holding: boolean;
  /** The lifetime that the holder published, milliseconds: its word counts, not our setting. */
  readonly durationMs: number;
  /** resourceVersion: what tells one record from the next. */
  readonly version: string;
}

interface WatchedLease {
  readonly lease: GatewayLease;
  /** Monotonic. */
  readonly unchangedSinceMs: number;
}

export type SessionsState = ReadonlyMap<string, WatchedLease>;

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

export function sameSession(a: SessionRef | undefined, b: SessionRef | undefined): boolean {
  return a?.gateway === b?.gateway && a?.session === b?.session;
}

/** After contact was lost and found again, and when leadership begins. */
export function restartClocks(state: SessionsState, nowMs: number): SessionsState {
  return new Map([...state].map(([gateway, { lease }]) => [gateway, { lease, unchangedSinceMs: nowMs }]));
}

/** Gateways whose Lease is held and was not renewed for as long as it says. */
export function silentGateways(state: SessionsState, nowMs: number): ReadonlySet<string> {
  return new Set(
    [...state.values()]
      .filter((watched) => watched.lease.holding && nowMs >= deadlineMs(watched))
      .map(({ lease }) => lease.gateway),
  );
}

/** When the next gateway would become silent; undefined while none may. */
export function nextDeadlineMs(state: SessionsState, nowMs: number): number | undefined {
  const deadlines = [...state.values()]
    .filter(({ lease }) => lease.holding)
    .map(deadlineMs)
    .filter((deadline) => deadline > nowMs);
  return earliest(deadlines);
}

function deadlineMs({ lease, unchangedSinceMs }: WatchedLease): number {
  return unchangedSinceMs + lease.durationMs;
}

/** The session that a gateway's Lease is held for, heard of or not. */
export function leasedSession(state: SessionsState, gateway: string): number | undefined {
  const lease = state.get(gateway)?.lease;
  return lease?.holding === true ? lease.session : undefined;
}

/** It was closed, or its gateway has opened a later one. A Lease that is not there proves nothing. */
export function isOver(state: SessionsState, { gateway, session }: SessionRef): boolean {
  const lease = state.get(gateway)?.lease;
  if (lease === undefined) return false;
  return lease.session > session || (lease.session === session && !lease.holding);
}
