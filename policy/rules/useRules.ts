/** Rules on addresses that pods use now, and on ports for the nodes that want some. */
import { formatAddress } from '../address.ts';
import { rangeContains } from '../cidr.ts';
import type { EgressIpFacts } from '../facts.ts';
import type { FactIndex } from '../index/factIndex.ts';
import type { Policy, PoolEntry, Violation } from '../model.ts';
import { FORCE_RELEASE_ANNOTATION } from '../names.ts';
import { collectNames, deny, describeSome, nameSome, type Rule, warn } from './ruleContext.ts';

const POOLS = { path: 'spec.egressGateway.ippools' };
/** The ports of one address that nodes can hold, 1024 to 65535, and how few of them may go to one node. */
const ADDRESS_PORTS = 64_512;
const GRANULE_PORTS = 64;
/** Groups of pods, and their nodes: about a millisecond. What is beyond is not looked at, since it would only be a warning. */
const COMPARISONS_MAX = 4000;

/** In use is an address of which a node holds ports while pods there leave with it, as far as that node says. */
export const checkInUse: Rule = (policy, { index, occasion }) => {
  if (occasion.kind !== 'update' || occasion.before === undefined || policy.forceRelease === true) return [];
  const { before } = occasion;
  return before.pools.flatMap((entry) => removedInUse(entry, { before, after: policy, index }));
};

function removedInUse(
  entry: PoolEntry,
  { before, after, index }: { readonly before: Policy; readonly after: Policy; readonly index: FactIndex },
): readonly Violation[] {
  const { names, count } = collectNames<EgressIpFacts>(
    (range, visit) => index.egressIps.visitOverlapping(range, visit),
    entry.range,
    ({ address, policyUids, nodes }) => {
      if (!policyUids.includes(before.ref.uid)) return undefined;
      if (after.pools.some(({ range }) => rangeContains(range, address))) return undefined;
      const users = nodes.filter((node) => index.nodes.uses(node, address));
      return users.length === 0
        ? undefined
        : `${formatAddress(address)}, which pods on ${nameSome(users)} use`;
    },
  );
  if (count === 0) return [];
  return [
    deny(
      'pool-in-use',
      POOLS,
      `${entry.text} is taken out with ${describeSome(names, count)}; keep it listed, or annotate the policy ${FORCE_RELEASE_ANNOTATION}: "true" to break their connections`,
    ),
  ];
}

/** Nodes share the ports of an address: with too many of them each starts with less than the setting. */
export const checkPorts: Rule = (policy, { index, settings }) => {
  const served = Math.floor(ADDRESS_PORTS / settings.initialPorts);
  const nodes = nodesWithSelectedPods(policy, index, ADDRESS_PORTS / GRANULE_PORTS);
  if (nodes <= served) return [];
  const many =
    nodes > ADDRESS_PORTS / GRANULE_PORTS ? `more than ${ADDRESS_PORTS / GRANULE_PORTS}` : String(nodes);
  return [
    warn(
      'pool-capacity',
      POOLS,
      `pods on ${many} nodes need ports, and ${served} nodes use up an address; use several policies`,
    ),
  ];
};

/** Counts to `max` and one more at the most. */
function nodesWithSelectedPods(policy: Policy, index: FactIndex, max: number): number {
  const nodes = new Set<string>();
  const budget = { left: COMPARISONS_MAX };
  index.pods.visitSelected(policy.selectors, budget, (group) => {
    budget.left -= group.nodes.size;
    for (const selector of policy.selectors) {
      if (!index.pods.matchesGroup(selector, group)) continue;
      for (const node of index.pods.nodesOf(selector, group)) nodes.add(node);
    }
    return nodes.size <= max;
  });
  return nodes.size;
}
