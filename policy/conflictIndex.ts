/**
 * Which pool entries of which policies overlap a range. Entries may nest or repeat (shared ones). A controller builds it
 * from all policies at once; the webhook adds and removes policies as they come and go.
 */
import { RangeIndex, type Visitor } from './index/rangeIndex.ts';
import type { AddressRange, Policy, PoolEntry } from './model.ts';

export interface OwnedEntry {
  readonly owner: Policy;
  readonly entry: PoolEntry;
}

export interface ConflictIndex {
  /** In order of their first address. */
  overlapping(range: AddressRange): readonly OwnedEntry[];
  /** In no promised order; a visitor that returns false ends the walk. */
  visitOverlapping(range: AddressRange, visit: Visitor<OwnedEntry>): void;
}

/** One that follows changes. A policy is removed as the same value that was added. */
export interface ChangingConflictIndex extends ConflictIndex {
  add(policy: Policy): void;
  remove(policy: Policy): void;
}

export function createConflictIndex(policies: readonly Policy[]): ChangingConflictIndex {
  const ownedOf = new Map<Policy, readonly OwnedEntry[]>();
  for (const policy of policies) ownedOf.set(policy, entriesOf(policy));
  const ranges = new RangeIndex<OwnedEntry>(({ entry }) => entry.range, [...ownedOf.values()].flat());
  return {
    overlapping: (range) => ranges.overlapping(range),
    visitOverlapping: (range, visit) => ranges.visitOverlapping(range, visit),
    add: (policy) => {
      if (ownedOf.has(policy)) return;
      const owned = entriesOf(policy);
      ownedOf.set(policy, owned);
      for (const entry of owned) ranges.add(entry);
    },
    remove: (policy) => {
      for (const entry of ownedOf.get(policy) ?? []) ranges.remove(entry);
      ownedOf.delete(policy);
    },
  };
}

function entriesOf(owner: Policy): readonly OwnedEntry[] {
  return owner.pools.map((entry) => ({ owner, entry }));
}
