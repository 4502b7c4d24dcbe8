/**
 * Decides the sessions of an assignment, the holder first, from where placement wants the address. Where no gateway is
 * eligible the assignment stays as it is, unless its holder is not allowed to hold the address any more.
 */
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { ControllerView } from './controllerView.ts';
import { compareStanding, type Gateway } from './gatewayRank.ts';
import type { Placement } from './placement.ts';
import { liveSession } from './proofs.ts';
import { sameSession } from './sessions.ts';

interface Known {
  readonly view: ControllerView;
  readonly gateways: ReadonlyMap<string, Gateway>;
  /** Gateways that may be named for the address. */
  readonly allowed: ReadonlySet<string>;
  /** Undefined: no policy wants it. */
  readonly placement: Placement | undefined;
}

export function decideOrder(
  current: EgressIp,
  known: Known,
): { readonly order: readonly SessionRef[]; readonly reason: string } {
  const { view, allowed, placement } = known;
  if (placement === undefined) return { order: [], reason: 'no policy wants it' };
  if (placement.order.length > 0) {
    const wished = placement.order.flatMap((gateway) => {
      const session = liveSession(view, gateway);
      return session === undefined ? [] : [{ gateway, session }];
    });
    return { order: keepOrder(current.order, wished, known), reason: placement.reason };
  }
  const holder = current.order[0]?.gateway;
  if (holder !== undefined && allowed.has(holder))
    return { order: current.order, reason: `${holder} is not alive or not ready, and ${placement.reason}` };
  return { order: [], reason: placement.reason };
}

/**
 * While the holder is first and everybody after it may still take over, the willing before the unwilling, the order stays
 * and grows at its end: any other change of it is a new assignment, which every gateway of the old one has to hear of first.
 */
function keepOrder(
  current: readonly SessionRef[],
  wished: readonly SessionRef[],
  { view, gateways, allowed }: Known,
): readonly SessionRef[] {
  const missing = wished.filter((it) => !current.some((known) => sameSession(known, it)));
  const grown = [...current, ...missing];
  const stands =
    current.length > 0 &&
    sameSession(current[0], wished[0]) &&
    current.every((it) => liveSession(view, it.gateway) === it.session && allowed.has(it.gateway)) &&
    isWillingFirst(grown.slice(1), gateways);
  return stands ? grown.slice(0, Math.max(current.length, wished.length)) : wished;
}

function isWillingFirst(standbys: readonly SessionRef[], gateways: ReadonlyMap<string, Gateway>): boolean {
  const known = standbys.flatMap(({ gateway }) => gateways.get(gateway) ?? []);
  return known.every((gateway, at) => {
    const before = known[at - 1];
    return before === undefined || compareStanding(before, gateway) <= 0;
  });
}
