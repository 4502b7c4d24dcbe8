/**
 * Follows each move of an address from its reason to the new holder's word that it answers, so that status, event and
 * metric can say how long each part took. Kept here and in the EgressIP's status; a new leader goes on from the status.
 */
import { isGateway } from '../../../policy/gatewayRole.ts';
import { formatTimestampMillis } from '../../../policy/timestamp.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { ControllerEffect, Now } from './controllerEvents.ts';
import type { ControllerView, Failover } from './controllerView.ts';
import { type Answerer, answererOf, isAnnounced, wasCalledDead } from './proofs.ts';
import { isOver, leasedSession, sameSession } from './sessions.ts';
import { whyLeaves } from './standing.ts';

/** Closed: metrics carry it. */
export const MOVE_REASONS = [
  'died',
  'closed',
  'restarted',
  'silent',
  'not-ready',
  'unhealthy',
  'drained',
  'cordoned',
  'tainted',
  'not-allowed',
  'returned',
  'rebalanced',
] as const;
export type MoveReason = (typeof MOVE_REASONS)[number];

export interface Move {
  readonly from: string;
  readonly to: string;
  readonly reason: MoveReason;
  /** The epoch that the move brings. */
  readonly epoch: number;
  /** Monotonic: how long it has taken so far is asked of this clock alone. */
  readonly noticedMs: number;
  /** Wall clock, milliseconds since the epoch, as the next two: written down, and compared with nothing. */
  readonly detectedAtMs: number;
  readonly assignedAtMs: number | undefined;
  readonly announcedAtMs: number | undefined;
}

/** Why `from` does not hold the address any more. Asked only where it moved without anybody wishing so. */
export function whyMoved(
  from: SessionRef,
  to: SessionRef,
  { view, current }: { readonly view: ControllerView; readonly current: EgressIp },
): MoveReason {
  const leased = leasedSession(view.sessions, from.gateway) ?? 0;
  if (from.gateway === to.gateway || leased > from.session) return 'restarted';
  // While it hands over it says that it has no session any more; its Lease is closed last.
  const handsOver = view.gatewayNodes.get(from.gateway)?.session === 0;
  if (isOver(view.sessions, from) || handsOver) return 'closed';
  // A standby answers by the same assignment only if a majority of voters called everybody before it dead.
  if (wasCalledDead(view, from) || standbyThatTookOver(current, view) !== undefined) return 'died';
  const node = view.nodes.get(from.gateway);
  if (node === undefined || !isGateway(node)) return 'not-allowed';
  if (view.silent.has(from.gateway)) return 'silent';
  if (view.gatewayNodes.get(from.gateway)?.dataPlaneReady !== true) return 'not-ready';
  return whyLeaves(view, from.gateway) ?? 'not-allowed';
}

/** Who answers by the assignment that stands without being its first: its right says so. */
export function standbyThatTookOver(egressIp: EgressIp, view: ControllerView): Answerer | undefined {
  const answerer = answererOf(egressIp, view);
  if (answerer === undefined || answerer.right.epoch !== egressIp.epoch) return undefined;
  const { index } = answerer.right;
  return index > 0 && sameSession(egressIp.order[index], answerer) ? answerer : undefined;
}

/** The move as it stands, seen from the epoch that is assigned now; undefined once a later move replaced it. */
export function followMove(
  move: Move,
  seen: {
    readonly epoch: number;
    /** Somebody answers by the assignment that stands. */
    readonly announced: boolean;
    /** The gateway that answers without having been assigned first. */
    readonly tookOver: string | undefined;
    readonly wallMs: number;
  },
): Move | undefined {
  if (seen.epoch > move.epoch) return undefined;
  const assigned = seen.epoch === move.epoch;
  // Who took over is assigned what it has already: it answers before the write that says so is seen.
  const answered = assigned ? seen.announced : seen.tookOver === move.to;
  const assignedAtMs = move.assignedAtMs ?? (assigned ? seen.wallMs : undefined);
  const announcedAtMs = move.announcedAtMs ?? (answered ? seen.wallMs : undefined);
  if (assignedAtMs === move.assignedAtMs && announcedAtMs === move.announcedAtMs) return move;
  return { ...move, assignedAtMs, announcedAtMs };
}

export function failoverOf(move: Move): Failover {
  const time = (ms: number | undefined): string => (ms === undefined ? '' : formatTimestampMillis(ms));
  const { from, to, reason } = move;
  return {
    from,
    to,
    reason,
    detectedAt: time(move.detectedAtMs),
    assignedAt: time(move.assignedAtMs),
    announcedAt: time(move.announcedAtMs),
  };
}

/** Brings every move up to what the view shows; those completed now are told to people and counted, once. */
export function followMoves(
  moves: ReadonlyMap<string, Move>,
  context: { readonly view: ControllerView; readonly now: Now },
): { readonly moves: ReadonlyMap<string, Move>; readonly effects: readonly ControllerEffect[] } {
  const { view, now } = context;
  const next = new Map<string, Move>();
  const effects: ControllerEffect[] = [];
  for (const [name, move] of moves) {
    const egressIp = view.egressIps.get(name)?.egressIp;
    if (egressIp === undefined) continue;
    const tookOver = standbyThatTookOver(egressIp, view)?.gateway;
    const announced = isAnnounced(egressIp, view);
    const followed = followMove(move, { epoch: egressIp.epoch, announced, tookOver, wallMs: now.wallMs });
    if (followed === undefined) continue;
    next.set(name, followed);
    if (move.announcedAtMs === undefined && followed.announcedAtMs !== undefined)
      effects.push(
        ...tellMove(followed, { name, uid: egressIp.uid, view }, now.monotonicMs - followed.noticedMs),
      );
  }
  return { moves: next, effects };
}

/** @param tookMs left out where the move was noticed only by its end */
export function tellMove(
  { from, to, reason }: Move,
  about: { readonly name: string; readonly uid: string; readonly view: ControllerView },
  tookMs?: number,
): readonly ControllerEffect[] {
  const { name, uid, view } = about;
  const durationMs = tookMs === undefined ? undefined : Math.round(tookMs);
  const { healthMessage = '' } = view.gatewayNodes.get(from) ?? {};
  const why = reason === 'unhealthy' && healthMessage !== '' ? `${reason}: ${healthMessage}` : reason;
  const done = from === to ? `${to} answers again` : `moved from ${from} to ${to}`;
  const message =
    durationMs === undefined
      ? `${to} took over from ${from} (${why})`
      : `${done} (${why}) within ${durationMs} ms of its being noticed`;
  return [
    { kind: 'count-move', reason, ...(durationMs === undefined ? {} : { durationMs }) },
    {
      kind: 'record-event',
      regarding: { kind: 'EgressIP', name, uid },
      type: 'Normal',
      reason: 'Moved',
      message,
    },
  ];
}
