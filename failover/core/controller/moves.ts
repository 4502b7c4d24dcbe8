/**
 * Follows each move of an address from its reason to the new holder's word that it answers, so that status, event and
 * metric can say how long each part took. Kept here and in the EgressIP's status; a new leader goes on from the status.
 */
import { formatTimestampMillis } from '../../../policy/timestamp.ts';
import type { SessionRef } from '../egressIp.ts';
import type { ControllerEffect } from './controllerEvents.ts';
import type { ControllerView, Failover } from './controllerView.ts';
import { isGateway } from './eligibility.ts';
import { isAnnounced, wasCalledDead } from './proofs.ts';
import { isOver, leasedSession } from './sessions.ts';

/** Closed: metrics carry it. */
export const MOVE_REASONS = [
  'died',
  'closed',
  'restarted',
  'silent',
  'cordoned',
  'not-ready',
  'not-allowed',
] as const;
export type MoveReason = (typeof MOVE_REASONS)[number];

export interface Move {
  readonly from: string;
  readonly to: string;
  readonly reason: MoveReason;
  /** The epoch that the move brings. */
  readonly epoch: number;
  /** Wall clock, milliseconds since the epoch. */
  readonly detectedAtMs: number;
  readonly assignedAtMs: number | undefined;
  readonly announcedAtMs: number | undefined;
}

/** Why `from` does not hold the address any more. Asked only where placement moved it. */
export function whyMoved(from: SessionRef, to: SessionRef, view: ControllerView): MoveReason {
  const leased = leasedSession(view.sessions, from.gateway) ?? 0;
  if (from.gateway === to.gateway || leased > from.session) return 'restarted';
  // While it hands over it says that it has no session any more; its Lease is closed last.
  const handsOver = view.gatewayNodes.get(from.gateway)?.session === 0;
  if (isOver(view.sessions, from) || handsOver) return 'closed';
  if (wasCalledDead(view, from)) return 'died';
  const node = view.nodes.get(from.gateway);
  if (node === undefined || !isGateway(node)) return 'not-allowed';
  if (view.silent.has(from.gateway)) return 'silent';
  if (view.gatewayNodes.get(from.gateway)?.dataPlaneReady !== true) return 'not-ready';
  return node.unschedulable ? 'cordoned' : 'not-allowed';
}

/** The move as it stands, seen from the epoch that is assigned now; undefined once a later move replaced it. */
export function followMove(
  move: Move,
  seen: { readonly epoch: number; readonly announced: boolean; readonly wallMs: number },
): Move | undefined {
  if (seen.epoch < move.epoch) return move;
  if (seen.epoch > move.epoch) return undefined;
  const assignedAtMs = move.assignedAtMs ?? seen.wallMs;
  const announcedAtMs = move.announcedAtMs ?? (seen.announced ? seen.wallMs : undefined);
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
  context: { readonly view: ControllerView; readonly wallMs: number },
): { readonly moves: ReadonlyMap<string, Move>; readonly effects: readonly ControllerEffect[] } {
  const next = new Map<string, Move>();
  const effects: ControllerEffect[] = [];
  for (const [name, move] of moves) {
    const egressIp = context.view.egressIps.get(name)?.egressIp;
    if (egressIp === undefined) continue;
    const announced = isAnnounced(egressIp, context.view);
    const followed = followMove(move, { epoch: egressIp.epoch, announced, wallMs: context.wallMs });
    if (followed === undefined) continue;
    next.set(name, followed);
    if (move.announcedAtMs !== undefined || followed.announcedAtMs === undefined) continue;
    const durationMs = Math.max(0, followed.announcedAtMs - followed.detectedAtMs);
    const { from, to, reason } = followed;
    effects.push({ kind: 'count-move', reason, durationMs });
    const message = from === to ? `${to} answers again` : `moved from ${from} to ${to}`;
    effects.push({
      kind: 'record-event',
      regarding: { kind: 'EgressIP', name, uid: egressIp.uid },
      type: 'Normal',
      reason: 'Moved',
      message: `${message} (${reason}) within ${durationMs} ms of its being noticed`,
    });
  }
  return { moves: next, effects };
}
