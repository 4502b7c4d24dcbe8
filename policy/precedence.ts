/**
 * Decides who wins: between policies that want the same addresses (acceptPolicies), and between policies that select
 * the same pod (flattenRoutes). Deterministic and independent of the order of its input: two controllers, and every
 * agent, come to the same answer.
 */
import { cidrRange, formatRange, rangesOverlap, sameRange } from './cidr.ts';
import type { OwnedEntry } from './conflictIndex.ts';
import { RangeIndex } from './index/rangeIndex.ts';
import type { AddressRange, Cidr, Family, Policy, PolicyRef, PoolEntry } from './model.ts';

export interface PolicyConflict {
  readonly winner: PolicyRef;
  readonly message: string;
}

export interface Acceptance {
  /** Oldest first. */
  readonly accepted: readonly Policy[];
  /** Loser's uid → who won and why. */
  readonly conflicts: ReadonlyMap<string, PolicyConflict>;
}

/** Older first, then the smaller uid. */
export function comparePolicies(a: Policy, b: Policy): number {
  return (
    a.ref.createdAtMs - b.ref.createdAtMs || (a.ref.uid < b.ref.uid ? -1 : a.ref.uid > b.ref.uid ? 1 : 0)
  );
}

/**
 * Each policy is accepted unless an entry of it overlaps an entry of an accepted one that comes before it. Entries are
 * met through an index: the controller runs this over the whole cluster at every change. A range that thousands share
 * stands in it once, for the oldest of them.
 */
export function acceptPolicies(policies: readonly Policy[]): Acceptance {
  const accepted: Policy[] = [];
  const conflicts = new Map<string, PolicyConflict>();
  const taken = new RangeIndex<OwnedEntry>(({ entry }) => entry.range);
  const shared = new Set<string>();
  for (const owner of policies.toSorted(comparePolicies)) {
    const conflict = oldestConflict(owner, taken);
    if (conflict !== undefined) {
      conflicts.set(owner.ref.uid, conflict);
      continue;
    }
    accepted.push(owner);
    for (const entry of owner.pools) {
      const { family, first, last } = entry.range;
      const key = `${family}/${first}-${last}`;
      if (entry.shared && shared.has(key)) continue;
      if (entry.shared) shared.add(key);
      taken.add({ owner, entry });
    }
  }
  return { accepted, conflicts };
}

function oldestConflict(policy: Policy, taken: RangeIndex<OwnedEntry>): PolicyConflict | undefined {
  const clashes = policy.pools.flatMap((ours) =>
    taken
      .overlapping(ours.range)
      .filter(({ entry }) => entriesConflict(ours, entry))
      .map(({ owner, entry }) => ({ ours, owner, theirs: entry })),
  );
  const clash = clashes.toSorted((a, b) => comparePolicies(a.owner, b.owner))[0];
  if (clash === undefined) return undefined;
  const { ours, owner, theirs } = clash;
  const { kind, name } = owner.ref;
  return {
    winner: owner.ref,
    message: `${ours.path} ${ours.text} overlaps ${formatRange(theirs.range)} of ${kind} ${name}, which is older; use other addresses, or list the same entry in both with shared: true`,
  };
}

/** Overlapping entries may stand side by side only if they are the same range and both are shared. */
export function entriesConflict(a: PoolEntry, b: PoolEntry): boolean {
  return rangesOverlap(a.range, b.range) && !(a.shared && b.shared && sameRange(a.range, b.range));
}

/** One stretch of destinations and the policy that rules it; `direct`: as if no policy applied. */
export interface RuledRange {
  readonly range: AddressRange;
  readonly policy: Policy | 'direct';
}

/**
 * Destinations of a pod that all of `policies` select, as disjoint sorted ranges. Per address the longest destination
 * prefix wins, then the older policy, then the smaller uid; what the winner excludes is `direct`. Neighbouring ranges
 * of the same outcome are one.
 */
export function flattenRoutes(policies: readonly Policy[]): readonly RuledRange[] {
  return ([4, 6] as const).flatMap((family) => flattenFamily(family, policies));
}

function flattenFamily(family: Family, policies: readonly Policy[]): readonly RuledRange[] {
  const exclusions = new Map(policies.map((policy) => [policy, exclusionsOf(family, policy)]));
  const merged: RuledRange[] = [];
  for (const stretch of innermostClaims(claimsOf(family, policies))) {
    for (const piece of carve(stretch, exclusions.get(stretch.policy) ?? [])) {
      const before = merged.at(-1);
      if (before?.policy === piece.policy && before.range.last + 1n === piece.range.first) {
        merged[merged.length - 1] = {
          policy: piece.policy,
          range: { ...before.range, last: piece.range.last },
        };
      } else merged.push(piece);
    }
  }
  return merged;
}

/** A stretch and the policy that wins it, exclusions not yet looked at. */
interface Claim {
  readonly range: AddressRange;
  readonly policy: Policy;
}

/** One claim per prefix, the best policy's; in order of address, the enclosing prefix before what it encloses. */
function claimsOf(family: Family, policies: readonly Policy[]): readonly Claim[] {
  const best = new Map<string, { readonly cidr: Cidr; readonly policy: Policy }>();
  for (const policy of policies.toSorted(comparePolicies)) {
    for (const cidr of policy.destinations) {
      const key = `${cidr.network}/${cidr.prefix}`;
      if (cidr.family === family && !best.has(key)) best.set(key, { cidr, policy });
    }
  }
  return [...best.values()]
    .toSorted((a, b) => compareBigints(a.cidr.network, b.cidr.network) || a.cidr.prefix - b.cidr.prefix)
    .map(({ cidr, policy }) => ({ range: cidrRange(cidr), policy }));
}

/**
 * Disjoint stretches in order, each with the longest prefix around it. Prefixes nest or are disjoint, so the open ones
 * form a stack and one walk is enough: an agent does this for its pods with thousands of destinations.
 */
function innermostClaims(claims: readonly Claim[]): readonly Claim[] {
  const stretches: Claim[] = [];
  const open: Claim[] = [];
  let next = 0n;
  const emitUpTo = (last: bigint, { range, policy }: Claim): void => {
    if (next <= last) stretches.push({ policy, range: { family: range.family, first: next, last } });
    next = last + 1n;
  };
  const closeBefore = (first: bigint | undefined): void => {
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      if (first !== undefined && top.range.last >= first) return emitUpTo(first - 1n, top);
      emitUpTo(top.range.last, top);
      open.pop();
    }
  };
  for (const claim of claims) {
    closeBefore(claim.range.first);
    next = claim.range.first;
    open.push(claim);
  }
  closeBefore(undefined);
  return stretches;
}

/** What a policy excludes, as disjoint ranges in order: of nested prefixes the enclosing one. */
function exclusionsOf(family: Family, policy: Policy): readonly AddressRange[] {
  const disjoint: AddressRange[] = [];
  const ranges = policy.excluded.filter((it) => it.family === family).map(cidrRange);
  for (const range of ranges.toSorted(
    (a, b) => compareBigints(a.first, b.first) || compareBigints(b.last, a.last),
  )) {
    const before = disjoint.at(-1);
    if (before === undefined || before.last < range.first) disjoint.push(range);
  }
  return disjoint;
}

/** Splits a stretch at its policy's exclusions. */
function carve({ range, policy }: Claim, exclusions: readonly AddressRange[]): readonly RuledRange[] {
  const pieces: RuledRange[] = [];
  let next = range.first;
  const emitUpTo = (last: bigint, outcome: Policy | 'direct'): void => {
    if (next > last) return;
    pieces.push({ policy: outcome, range: { family: range.family, first: next, last } });
    next = last + 1n;
  };
  for (let index = firstReaching(exclusions, range.first); index < exclusions.length; index += 1) {
    const excluded = exclusions[index];
    if (excluded === undefined || excluded.first > range.last) break;
    emitUpTo(excluded.first - 1n, policy);
    if (excluded.last >= range.last) {
      emitUpTo(range.last, 'direct');
      break;
    }
    emitUpTo(excluded.last, 'direct');
  }
  emitUpTo(range.last, policy);
  return pieces;
}

/** The place of the first of disjoint sorted ranges that ends at or after `value`. */
function firstReaching(ranges: readonly AddressRange[], value: bigint): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const last = ranges[middle]?.last;
    if (last !== undefined && last < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function compareBigints(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
