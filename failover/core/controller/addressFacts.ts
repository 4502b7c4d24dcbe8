/** What planning knows of each address before it decides anything about it. */
import type { Cidr } from '../../../policy/model.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { Claim } from './claims.ts';
import type { ControllerView } from './controllerView.ts';
import { decideEligibility, type Eligibility, type UnreadySince } from './eligibility.ts';
import type { Load } from './gatewayRank.ts';
import { type Answerer, answererOf, liveSession } from './proofs.ts';
import { sameSession } from './sessions.ts';

export interface AddressFacts extends Eligibility {
  readonly claim: Claim;
  /** Who holds it as things stand; undefined: nobody was ever assigned. */
  readonly holder: string | undefined;
  /** The first of its assignment answers, and nothing of an older one is left. */
  readonly settled: boolean;
}

export function addressFacts(
  claim: Claim,
  context: {
    readonly view: ControllerView;
    readonly routable: readonly Cidr[];
    readonly unreadySince: UnreadySince;
    readonly nowMs: number;
  },
): AddressFacts {
  const { view } = context;
  const { current } = claim;
  const answerer = current === undefined ? undefined : answererOf(current, view);
  return {
    claim,
    ...decideEligibility(claim, context),
    holder: current === undefined ? undefined : holderOf(current, answerer, view),
    settled: current !== undefined && isSettled(current, answerer),
  };
}

/**
 * Who answers by the assignment that stands: its first, or a standby that took over without being asked; or by a later one
 * that was lost, because an older copy of the object was put in its place. Else the first that lives: an older right that
 * is still used is on its way there.
 */
function holderOf(
  current: EgressIp,
  answerer: Answerer | undefined,
  view: ControllerView,
): string | undefined {
  const lives = (it: SessionRef): boolean => liveSession(view, it.gateway) === it.session;
  if (answerer !== undefined && lives(answerer)) {
    const { epoch } = answerer.right;
    const named = epoch === current.epoch && current.order.some((it) => sameSession(it, answerer));
    if (named || epoch > current.epoch) return answerer.gateway;
  }
  return (current.order.find(lives) ?? current.order[0])?.gateway;
}

function isSettled({ order, fence, epoch }: EgressIp, answerer: Answerer | undefined): boolean {
  return fence.length === 0 && answerer?.right.epoch === epoch && sameSession(order[0], answerer);
}

export function loadOf(addresses: readonly AddressFacts[]): Load {
  const load = new Map<string, number>();
  for (const { holder } of addresses) if (holder !== undefined) load.set(holder, (load.get(holder) ?? 0) + 1);
  return load;
}
