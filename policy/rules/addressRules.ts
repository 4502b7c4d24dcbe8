/** Rules on pools against addresses and networks that belong to somebody else: nodes, routers, pods, load balancers. */
import { addressBits } from '../address.ts';
import { formatCidr, formatRange, rangesOverlap } from '../cidr.ts';
import type { ClusterNetwork, LoadBalancerRange } from '../facts.ts';
import type { OwnedAddress, ReachedSubnet } from '../index/nodeIndex.ts';
import type { PoolEntry, Violation } from '../model.ts';
import { collectNames, deny, describeSome, nameSome, poolRule, type Rule } from './ruleContext.ts';

/** Exact addresses, never their subnets: a pool in the nodes' own subnet is the usual case. */
export const checkNodeAddress: Rule = poolRule((entry, { index }) => {
  const { names, count } = collectNames<OwnedAddress>(
    (range, visit) => index.nodes.addresses.visitOverlapping(range, visit),
    entry.range,
    oncePerAddress((text, owner) => `${text}, the address of ${owner}`),
  );
  if (count === 0) return [];
  const named = describeSome(names, count);
  return [deny('pool-node-address', entry, `${entry.text} contains ${named}; leave it out of the pool`)];
});

/** A node and its agent report the same address, and many nodes the same router: each address is named once. */
function oncePerAddress(
  name: (text: string, owner: string) => string,
): (item: OwnedAddress) => string | undefined {
  const seen = new Set<bigint>();
  return ({ range, owner }) => {
    if (seen.has(range.first)) return undefined;
    seen.add(range.first);
    return name(formatRange(range), owner);
  };
}

export const checkRouterAddress: Rule = poolRule((entry, { index }) => {
  const { names, count } = collectNames<OwnedAddress>(
    (range, visit) => index.nodes.nextHops.visitOverlapping(range, visit),
    entry.range,
    oncePerAddress((text, owner) => `${text}, the ${owner}`),
  );
  if (count === 0) return [];
  const named = describeSome(names, count);
  return [
    deny('pool-router-address', entry, `${entry.text} contains ${named}; leave the router out of the pool`),
  ];
});

export const checkClusterNetwork: Rule = poolRule((entry, { index }) => {
  const { names, count } = collectNames<ClusterNetwork>(
    (range, visit) => index.networks.visitOverlapping(range, visit),
    entry.range,
    describeNetwork,
  );
  if (count === 0) return [];
  return [
    deny(
      'pool-cluster-network',
      entry,
      `${entry.text} overlaps ${describeSome(names, count)}; use addresses outside the cluster's own networks`,
    ),
  ];
});

function describeNetwork({ cidr, use, source }: ClusterNetwork): string {
  return `${formatCidr(cidr)}, the ${use === 'pods' ? 'pod' : 'service'} network of ${source}`;
}

export const checkLoadBalancer: Rule = poolRule((entry, { index }) => {
  const { names, count } = collectNames<LoadBalancerRange>(
    (range, visit) => index.loadBalancers.visitOverlapping(range, visit),
    entry.range,
    ({ owner, text }) => `${text} of ${owner}`,
  );
  if (count === 0) return [];
  return [
    deny(
      'pool-load-balancer',
      entry,
      `${entry.text} overlaps ${nameSome(names, count)}; use addresses that no load balancer gives out`,
    ),
  ];
});

export const checkEdgeAddress: Rule = poolRule((entry, { gateways }) =>
  gateways.subnets.flatMap((subnet) => edgesIn(entry, subnet)),
);

/** Of a /31 both addresses are hosts' (RFC 3021); of a /127 too, and a longer one is a single address (RFC 6164). */
function edgesIn(entry: PoolEntry, { cidr, range, gateways }: ReachedSubnet): readonly Violation[] {
  if (cidr.prefix > addressBits(cidr.family) - 2 || !rangesOverlap(range, entry.range)) return [];
  const edges =
    cidr.family === 4
      ? [
          { at: range.first, what: 'network' },
          { at: range.last, what: 'broadcast' },
        ]
      : [{ at: range.first, what: 'subnet-router anycast' }];
  const contained = edges.filter(({ at }) => entry.range.first <= at && at <= entry.range.last);
  if (contained.length === 0) return [];
  const named = contained
    .map(
      ({ at, what }) => `${formatRange({ family: cidr.family, first: at, last: at })}, the ${what} address`,
    )
    .join(', and ');
  return [
    deny(
      'pool-edge-address',
      entry,
      `${entry.text} contains ${named} of ${formatCidr(cidr)} on the link of ${nameSome(gateways)}; leave it out of the pool`,
    ),
  ];
}
