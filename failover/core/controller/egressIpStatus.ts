/**
 * Decides an EgressIP's status from what gateways state, not from what was assigned: who really answers, who is next,
 * and how the last move went.
 */
import { formatTimestamp, formatTimestampMillis } from '../../../policy/timestamp.ts';
import type { EgressIp } from '../egressIp.ts';
import type { ControllerView, EgressIpStatus, Failover, Phase } from './controllerView.ts';
import { failoverOf, type Move } from './moves.ts';
import { answererOf, isAnnounced, isDead } from './proofs.ts';

export function decideEgressIpStatus(
  known: {
    readonly egressIp: EgressIp;
    readonly before: EgressIpStatus | undefined;
    readonly reason: string;
    readonly move: Move | undefined;
  },
  view: ControllerView,
  wallMs: number,
): EgressIpStatus {
  const { egressIp, before, reason } = known;
  const announced = isAnnounced(egressIp, view);
  const gateway = answererOf(egressIp, view)?.gateway ?? '';
  const phase = phaseOf(egressIp, { announced, gateway });
  return {
    gateway,
    standbys: standbysOf(egressIp, gateway, view),
    phase,
    since: before !== undefined && before.gateway === gateway ? before.since : formatTimestamp(wallMs),
    message: describe(egressIp, phase, { gateway, reason }),
    lastFailover:
      known.move === undefined ? complete(before?.lastFailover, known, wallMs) : failoverOf(known.move),
  };

  function complete(
    last: Failover | undefined,
    { egressIp: { order } }: { readonly egressIp: EgressIp },
    nowMs: number,
  ): Failover | undefined {
    // Begun by a controller that led before us.
    if (last === undefined || last.announcedAt !== '' || !announced || order[0]?.gateway !== last.to)
      return last;
    return { ...last, announcedAt: formatTimestampMillis(nowMs) };
  }
}

function phaseOf(
  { order, fence }: EgressIp,
  { announced, gateway }: { readonly announced: boolean; readonly gateway: string },
): Phase {
  if (announced) return 'Announced';
  if (order.length === 0) return 'Unplaced';
  return fence.length > 0 || (gateway !== '' && gateway !== order[0]?.gateway) ? 'Moving' : 'Pending';
}

/** Who would take over, in order: those behind whoever answers now. */
function standbysOf({ order }: EgressIp, gateway: string, view: ControllerView): readonly string[] {
  return order
    .slice(1 + order.findIndex((it) => it.gateway === gateway))
    .filter((it) => !isDead(view, it))
    .map((it) => it.gateway);
}

function describe(
  { order, fence, policies }: EgressIp,
  phase: Phase,
  { gateway, reason }: { readonly gateway: string; readonly reason: string },
): string {
  const holder = order[0]?.gateway ?? '';
  switch (phase) {
    case 'Announced':
      return gateway === holder ? `${holder} answers: ${reason}` : `${gateway} took over from ${holder}`;
    case 'Moving': {
      const waiting = fence.map(({ gateway }) => gateway).join(', ');
      return waiting === '' ? `${holder} takes over` : `${holder} takes over once ${waiting} has let go`;
    }
    case 'Pending':
      return `${holder} is assigned and does not answer yet: ${reason}`;
    case 'Unplaced':
      return policies.length === 0 ? 'no policy wants it; it goes when its ports have rested' : reason;
    default:
      return phase satisfies never;
  }
}
