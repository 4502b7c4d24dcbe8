/**
 * Decides which gateways may hold an address, and which of them could hold it now. *Allowed* is what people said:
 * the node's label, the policies' selectors, the subnets. *Eligible* is allowed and healthy: a live session and a data
 * plane that reports ready. The difference matters where nobody is eligible: an unhealthy holder keeps the assignment,
 * one that is no longer allowed loses it. A holder whose data plane is not ready keeps its address for a moment: an
 * agent that restarts, or one failed command, is no reason to move.
 */
import { cidrRange, rangeContains } from '../../../policy/cidr.ts';
import { isGateway } from '../../../policy/gatewayRole.ts';
import type { Address, Cidr, Policy } from '../../../policy/model.ts';
import { matchesSelector } from '../../../policy/selector.ts';
import type { EgressIp } from '../egressIp.ts';
import type { ControllerView } from './controllerView.ts';
import { liveSession } from './proofs.ts';

export interface Eligibility {
  /** By label and selectors alone. */
  readonly chosen: ReadonlySet<string>;
  readonly allowed: ReadonlySet<string>;
  readonly eligible: readonly string[];
}

/** How long a holder that is alive may be not ready before it is moved away from. */
export const READY_GRACE_MS = 2000;

/** Gateway → since when its data plane is not ready, monotonic. */
export type UnreadySince = ReadonlyMap<string, number>;

export function followReadiness(before: UnreadySince, view: ControllerView, nowMs: number): UnreadySince {
  const unready = [...view.gatewayNodes.values()].filter(({ dataPlaneReady }) => !dataPlaneReady);
  return new Map(unready.map(({ name }) => [name, before.get(name) ?? nowMs]));
}

export function decideEligibility(
  wanted: {
    readonly address: Address;
    readonly owners: readonly Policy[];
    readonly current: EgressIp | undefined;
  },
  context: {
    readonly view: ControllerView;
    readonly routable: readonly Cidr[];
    readonly unreadySince: UnreadySince;
    readonly nowMs: number;
  },
): Eligibility {
  const { view, routable } = context;
  const routed = routable.some((cidr) => rangeContains(cidrRange(cidr), wanted.address));
  const chosen = [...view.nodes.values()]
    .filter(isGateway)
    .filter(({ labels }) =>
      wanted.owners.every(
        ({ gatewaySelector }) => gatewaySelector === undefined || matchesSelector(gatewaySelector, labels),
      ),
    )
    .map(({ name }) => name);
  const allowed = chosen.filter((name) => routed || isOnLink(view, name, wanted.address));
  const graceOf = (name: string): number => (name === wanted.current?.order[0]?.gateway ? READY_GRACE_MS : 0);
  const eligible = allowed.filter((name) => {
    const unready = context.unreadySince.get(name);
    return (
      liveSession(view, name) !== undefined &&
      (unready === undefined || context.nowMs - unready < graceOf(name))
    );
  });
  return { chosen: new Set(chosen), allowed: new Set(allowed), eligible };
}

function isOnLink(view: ControllerView, gateway: string, address: Address): boolean {
  const onLink = view.gatewayNodes.get(gateway)?.onLink ?? [];
  return onLink.some(({ cidr }) => rangeContains(cidrRange(cidr), address));
}
