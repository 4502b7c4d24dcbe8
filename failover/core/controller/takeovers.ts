/**
 * Notices takeovers. A standby takes over among the agents, without the controller, and the controller only follows: it
 * assigns the address to whoever has it. The takeover is a move all the same, shown and counted from the moment that it
 * is seen, whether or not the assignment that follows can be written.
 */
import type { EgressIp } from '../egressIp.ts';
import type { ControllerEffect, Now } from './controllerEvents.ts';
import type { ControllerView } from './controllerView.ts';
import { type Move, standbyThatTookOver, tellMove, whyMoved } from './moves.ts';

export function noticeTakeovers(
  moves: ReadonlyMap<string, Move>,
  { view, now }: { readonly view: ControllerView; readonly now: Now },
): { readonly moves: ReadonlyMap<string, Move>; readonly effects: readonly ControllerEffect[] } {
  const next = new Map(moves);
  const effects: ControllerEffect[] = [];
  for (const [name, { egressIp }] of view.egressIps) {
    const takeover = takeoverOf(egressIp, { view, now, known: moves.get(name) });
    if (takeover === undefined) continue;
    next.set(name, takeover);
    effects.push(...tellMove(takeover, { name, uid: egressIp.uid, view }));
  }
  return { moves: next, effects };
}

/** Undefined where nobody took over, or it is known. */
function takeoverOf(
  egressIp: EgressIp,
  context: { readonly view: ControllerView; readonly now: Now; readonly known: Move | undefined },
): Move | undefined {
  const { view, now, known } = context;
  const { order } = egressIp;
  const standby = standbyThatTookOver(egressIp, view);
  const [first] = order;
  if (standby === undefined || first === undefined) return undefined;
  // The assignment that follows it.
  const epoch = egressIp.epoch + 1;
  if (known?.epoch === epoch && known.to === standby.gateway) return undefined;
  // One standby after the other may have taken over by the same assignment.
  const isChain = known?.epoch === epoch && known.announcedAtMs !== undefined;
  const from = isChain ? (order.find(({ gateway }) => gateway === known.to) ?? first) : first;
  const reason = whyMoved(from, standby, { view, current: egressIp });
  return {
    from: from.gateway,
    to: standby.gateway,
    reason,
    epoch,
    noticedMs: now.monotonicMs,
    detectedAtMs: now.wallMs,
    assignedAtMs: undefined,
    announcedAtMs: now.wallMs,
  };
}
