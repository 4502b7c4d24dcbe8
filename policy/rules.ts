/**
 * Judges a parsed policy against the cluster: what is wrong with its pools that the object alone does not show. Pure;
 * the facts are the caller's, who must not ask while they are stale. Webhook and controller run these same rules.
 */
import { makeAddress } from './address.ts';
import { cidrRange, formatCidr, formatRange, rangeContains, rangesOverlap } from './cidr.ts';
import { type ConflictIndex, createConflictIndex } from './conflictIndex.ts';
import { listed } from './facts.ts';
import type {
  AddressRange,
  ClusterFacts,
  GatewayFacts,
  Policy,
  PoolEntry,
  Violation,
  ViolationCode,
} from './model.ts';
import { GATEWAY_LABEL } from './names.ts';
import { entriesConflict } from './precedence.ts';
import { matchesSelector } from './selector.ts';
import { findSpecialUse } from './specialUse.ts';

/** A message names this many gateways; the rest are counted. */
const GATEWAYS_SHOWN_MAX = 8;

/** All violations, in the order of the pool's entries. */
export function checkPolicy(
  policy: Policy,
  facts: ClusterFacts,
  index: ConflictIndex = createConflictIndex(listed(facts.policies)),
): readonly Violation[] {
  const gateways = eligibleGateways(policy, facts);
  return policy.pools.flatMap((entry, position) => [
    ...checkSpecialUse(entry),
    ...checkSelfOverlap(entry, policy.pools.slice(0, position)),
    ...checkOverlap(entry, policy, index),
    ...checkNodeAddress(entry, facts),
    ...checkRoutable(entry, gateways, facts),
  ]);
}

/** Nodes that carry the gateway label (and are not labelled "false") and match the policy's own selector. */
export function eligibleGateways(policy: Policy, facts: ClusterFacts): readonly GatewayFacts[] {
  const names = new Set(
    listed(facts.nodes)
      .filter(({ labels }) => Object.hasOwn(labels, GATEWAY_LABEL) && labels[GATEWAY_LABEL] !== 'false')
      .filter(
        ({ labels }) =>
          policy.gatewaySelector === undefined || matchesSelector(policy.gatewaySelector, labels),
      )
      .map(({ name }) => name),
  );
  return listed(facts.gateways).filter(({ node }) => names.has(node));
}

function deny(code: ViolationCode, entry: PoolEntry, message: string): Violation {
  return { code, verdict: 'deny', path: entry.path, message };
}

function checkSpecialUse(entry: PoolEntry): readonly Violation[] {
  const special = findSpecialUse(entry.range);
  if (special === undefined) return [];
  const { text, meaning } = special;
  return [
    deny(
      'special-use',
      entry,
      `${entry.text} lies in ${text}, ${meaning}; use addresses that the outside can answer to`,
    ),
  ];
}

function checkSelfOverlap(entry: PoolEntry, earlier: readonly PoolEntry[]): readonly Violation[] {
  return earlier
    .filter(({ range }) => rangesOverlap(range, entry.range))
    .map((other) =>
      deny(
        'pool-overlap-self',
        entry,
        `${entry.text} overlaps ${other.text} at ${other.path} of the same policy; list each address once`,
      ),
    );
}

function checkOverlap(entry: PoolEntry, policy: Policy, index: ConflictIndex): readonly Violation[] {
  return index
    .overlapping(entry.range)
    .filter(({ owner, entry: theirs }) => !isSame(owner, policy) && entriesConflict(entry, theirs))
    .map(({ owner, entry: theirs }) =>
      deny(
        'pool-overlap',
        entry,
        `${entry.text} overlaps ${theirs.text} of ${owner.ref.kind} ${owner.ref.name}; use other addresses, or list the same entry in both with shared: true`,
      ),
    );
}

/** A policy under review is the stored one with the same kind and name: the uid of a create is not known yet. */
function isSame(a: Policy, b: Policy): boolean {
  return a.ref.kind === b.ref.kind && a.ref.name === b.ref.name;
}

function checkNodeAddress(entry: PoolEntry, facts: ClusterFacts): readonly Violation[] {
  const reported = listed(facts.nodes).flatMap(({ name, addresses }) =>
    addresses.map((address) => ({ address, where: `node ${name}` })),
  );
  const observed = listed(facts.gateways).flatMap(({ node, addresses }) =>
    addresses.map(({ address, interfaceName }) => ({
      address,
      where: `interface ${interfaceName} of node ${node}`,
    })),
  );
  const seen = new Set<bigint>();
  return [...reported, ...observed].flatMap(({ address, where }) => {
    if (!rangeContains(entry.range, address) || seen.has(address.value)) return [];
    seen.add(address.value);
    const text = formatRange({ family: address.family, first: address.value, last: address.value });
    return [
      deny(
        'pool-node-address',
        entry,
        `${entry.text} contains ${text}, the address of ${where}; leave it out of the pool`,
      ),
    ];
  });
}

function checkRoutable(
  entry: PoolEntry,
  gateways: readonly GatewayFacts[],
  facts: ClusterFacts,
): readonly Violation[] {
  const reachable = [
    ...gateways.flatMap(({ onLink }) => onLink.map(({ cidr }) => cidr)),
    ...facts.routable,
  ].map(cidrRange);
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
}

/** The lowest address of `range` that lies in none of `covers`. */
function firstUncovered(range: AddressRange, covers: readonly AddressRange[]): bigint | undefined {
  let next = range.first;
  for (const cover of covers
    .filter((it) => rangesOverlap(it, range))
    .toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    if (cover.first > next) return next;
    if (cover.last >= next) next = cover.last + 1n;
  }
  return next > range.last ? undefined : makeAddress(range.family, next).value;
}

function describeGateways(gateways: readonly GatewayFacts[]): string {
  if (gateways.length === 0) return 'there is none';
  const shown = gateways.slice(0, GATEWAYS_SHOWN_MAX).map(({ node, onLink }) => {
    const subnets = onLink.map(({ cidr }) => formatCidr(cidr)).join(' ');
    return `${node}: ${subnets === '' ? 'no subnet' : subnets}`;
  });
  const rest = gateways.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}
