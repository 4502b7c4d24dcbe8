/** Rules on who could hold the addresses: gateways by label and selector, their subnets, their room. */
import { formatCidr, formatRange, rangeSize, rangesOverlap } from '../cidr.ts';
import type { GatewayChoice } from '../index/nodeIndex.ts';
import type { AddressRange, PoolEntry, Violation } from '../model.ts';
import { GATEWAY_LABEL } from '../names.ts';
import { matchesSelector } from '../selector.ts';
import { deny, NAMED_MAX, nameSome, type Rule, warn } from './ruleContext.ts';

const POOLS = { path: 'spec.egressGateway.ippools' };
const SELECTOR = { path: 'spec.egressGateway.nodeSelector' };

/** Whether the subnets that a policy could use are known at all. Before, nothing is unroutable. */
function haveReported({ nodes, reports }: GatewayChoice): boolean {
  return nodes.length > 0 && reports.length > 0;
}

export const checkAnyGateway: Rule = (policy, { gateways, index, occasion }) => {
  if (haveReported(gateways)) return [];
  const selector = policy.gatewaySelector;
  if (gateways.nodes.length > 0) {
    const names = gateways.nodes.map(({ name }) => name);
    const message = `no agent of ${nameSome(names)} has reported its subnets yet; see that the agents run`;
    return [warn('no-gateway', POOLS, message)];
  }
  if (selector !== undefined) {
    const matched = [...index.nodes.nodes.values()].find(({ labels }) => matchesSelector(selector, labels));
    const verdict = occasion.kind === 'create' ? deny : warn;
    if (matched === undefined)
      return [
        verdict(
          'no-gateway',
          SELECTOR,
          `no node of ${index.nodes.nodes.size} matches this nodeSelector; use labels that a gateway has`,
        ),
      ];
    if (index.nodes.gatewayCount > 0)
      return [
        verdict(
          'no-gateway',
          SELECTOR,
          `no gateway matches, only nodes like ${matched.name}; label them as gateways`,
        ),
      ];
  }
  return [
    warn(
      'no-gateway',
      POOLS,
      `no node is labelled ${GATEWAY_LABEL} yet, so nothing leaves with it; label one`,
    ),
  ];
};

/** Judged only where some eligible gateway has reported: without one nothing is known, and no-gateway warns. */
export const checkRoutable: Rule = (policy, { gateways, index }) => {
  if (!haveReported(gateways)) return [];
  const reachable = [...gateways.subnets.map(({ range }) => range), ...index.routableRanges];
  return policy.pools.flatMap((entry) => {
    const gap = firstUncovered(entry.range, reachable);
    if (gap === undefined) return [];
    const address = formatRange({ family: entry.range.family, first: gap, last: gap });
    const what = entry.range.first === entry.range.last ? address : `${address} of ${entry.text}`;
    return [
      deny(
        'pool-unroutable',
        entry,
        `${what} is on-link at no gateway of this policy (${describeGateways(gateways)}) and in no configured routable network; use an address of one of these subnets, or have the network routed to the gateways and configure it as routable`,
      ),
    ];
  });
};

/** The lowest address of `range` that lies in none of `covers`. */
function firstUncovered(range: AddressRange, covers: readonly AddressRange[]): bigint | undefined {
  let next = range.first;
  for (const cover of covers
    .filter((it) => rangesOverlap(it, range))
    .toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    if (cover.first > next) return next;
    if (cover.last >= next) next = cover.last + 1n;
    if (next > range.last) return undefined;
  }
  return next;
}

function describeGateways({ reports }: GatewayChoice): string {
  const shown = reports.slice(0, NAMED_MAX).map(({ node, onLink }) => {
    const subnets = onLink.map(({ cidr }) => formatCidr(cidr)).join(' ');
    return `${node}: ${subnets === '' ? 'no subnet' : subnets}`;
  });
  const rest = reports.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}

export const checkSingleGateway: Rule = (policy, context) => {
  const { gateways } = context;
  if (!haveReported(gateways)) return [];
  return policy.pools.flatMap((entry) => loneHolder(entry, gateways, context.index.routableRanges));
};

/** Where subnets begin or end the set of possible holders changes; between two such places it does not. */
function loneHolder(
  entry: PoolEntry,
  { nodes, subnets }: GatewayChoice,
  routable: readonly AddressRange[],
): readonly Violation[] {
  const { family, first, last } = entry.range;
  const near = subnets.filter(({ range }) => rangesOverlap(range, entry.range));
  const routed = routable.filter((range) => rangesOverlap(range, entry.range));
  const places = [
    first,
    ...[...near.map(({ range }) => range), ...routed].flatMap((it) => [it.first, it.last + 1n]),
  ];
  for (const place of places) {
    if (place < first || place > last) continue;
    const holds = (range: AddressRange): boolean => range.first <= place && place <= range.last;
    const holders = routed.some(holds)
      ? nodes.map(({ name }) => name)
      : [...new Set(near.filter(({ range }) => holds(range)).flatMap(({ gateways }) => gateways))];
    const [only, second] = holders;
    if (only === undefined || second !== undefined) continue;
    const address = formatRange({ family, first: place, last: place });
    const what = first === last ? address : `${address} of ${entry.text}`;
    const message = `only ${only} reaches ${what}: no failover; add a gateway`;
    return [warn('pool-single-gateway', entry, message)];
  }
  return [];
}

/** More addresses than all gateways together can hold. */
export const checkGatewayCapacity: Rule = ({ pools }, { gateways }) => {
  if (!haveReported(gateways) || gateways.capacity === 0) return [];
  const addresses = pools.reduce((sum, { range }) => sum + rangeSize(range), 0n);
  if (addresses <= BigInt(gateways.capacity)) return [];
  const names = gateways.reports.map(({ node }) => node);
  return [
    warn(
      'pool-capacity',
      POOLS,
      `${addresses} addresses, but its gateways hold ${gateways.capacity} (${nameSome(names)}); use fewer, or more gateways`,
    ),
  ];
};
