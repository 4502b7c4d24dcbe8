/** Asks for the EgressIPs to be written as planned, and begins to follow each move that this brings. */
import type { Now, WriteEffect } from './controllerEvents.ts';
import type { ControllerState } from './controllerState.ts';
import type { Move } from './moves.ts';
import type { AddressPlan } from './planAddresses.ts';
import type { Writes } from './writes.ts';

type Followed = Pick<ControllerState, 'moves' | 'asked'>;

export function writeSpecs(
  plans: readonly AddressPlan[],
  context: Followed & { readonly writes: Writes; readonly now: Now },
): Followed & { /** How many of them nobody needed. */ readonly voluntary: number } {
  const moves = new Map(context.moves);
  const asked = new Map(context.asked);
  let voluntary = 0;
  for (const plan of plans) {
    const { claim, next, action, move } = plan;
    if (action === 'none' || !context.writes.ask(specWrite(plan, action))) continue;
    asked.set(claim.name, next);
    if (move === undefined) continue;
    if (move.reason === 'returned' || move.reason === 'rebalanced') voluntary += 1;
    const begun = moves.get(claim.name);
    moves.set(claim.name, beginMove(begun, { ...move, epoch: next.epoch }, context.now));
  }
  return { moves, asked, voluntary };
}

/** The move that a write brings, seen beside the one that was followed until now. */
export function beginMove(
  begun: Move | undefined,
  move: Pick<Move, 'from' | 'to' | 'reason' | 'epoch'>,
  now: Now,
): Move {
  const tookOver = begun?.announcedAtMs !== undefined && begun.epoch === move.epoch;
  // The assignment that follows a takeover, or is asked for again, is the move that was begun.
  if (begun?.epoch === move.epoch && begun.to === move.to && (tookOver || begun.reason === move.reason))
    return begun;
  // Asked for again after a conflict: the reason was seen when it was seen first.
  const again =
    !tookOver &&
    begun?.assignedAtMs === undefined &&
    begun?.from === move.from &&
    begun.reason === move.reason;
  return {
    ...move,
    from: tookOver ? begun.to : move.from,
    noticedMs: again ? begun.noticedMs : now.monotonicMs,
    detectedAtMs: again ? begun.detectedAtMs : now.wallMs,
    assignedAtMs: undefined,
    announcedAtMs: undefined,
  };
}

function specWrite({ next, claim }: AddressPlan, action: 'create' | 'replace' | 'remove'): WriteEffect {
  switch (action) {
    case 'create':
      return { kind: 'create-egress-ip', egressIp: next };
    case 'replace':
      return { kind: 'replace-egress-ip', egressIp: next };
    case 'remove':
      return { kind: 'remove-egress-ip', egressIp: claim.current ?? next };
    default:
      return action satisfies never;
  }
}
