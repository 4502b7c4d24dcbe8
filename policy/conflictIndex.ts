/**
 * Which pool entries of which policies overlap a range. Built once from a snapshot and never changed: sorted by first
 * address, with the highest last address of everything up to each place, so a look-up is a binary search and a walk
 * back over real overlaps. Entries may nest or repeat (shared ones).
 */
import type { AddressRange, Family, Policy, PoolEntry } from './model.ts';

export interface OwnedEntry {
  readonly owner: Policy;
  readonly entry: PoolEntry;
}

export interface ConflictIndex {
  /** In order of their first address. */
  overlapping(range: AddressRange): readonly OwnedEntry[];
}

interface Shelf {
  readonly entries: readonly OwnedEntry[];
  /** `highest[i]` is the greatest last address of `entries[0..i]`. */
  readonly highest: readonly bigint[];
}

export function createConflictIndex(policies: readonly Policy[]): ConflictIndex {
  const owned = policies.flatMap((owner) => owner.pools.map((entry): OwnedEntry => ({ owner, entry })));
  const shelves = { 4: createShelf(owned, 4), 6: createShelf(owned, 6) } as const;
  return { overlapping: (range) => search(shelves[range.family], range) };
}

function createShelf(owned: readonly OwnedEntry[], family: Family): Shelf {
  const entries = owned
    .filter(({ entry }) => entry.range.family === family)
    .toSorted((a, b) =>
      a.entry.range.first < b.entry.range.first ? -1 : a.entry.range.first > b.entry.range.first ? 1 : 0,
    );
  const highest: bigint[] = [];
  let last = -1n;
  for (const { entry } of entries) {
    if (entry.range.last > last) last = entry.range.last;
    highest.push(last);
  }
  return { entries, highest };
}

function search({ entries, highest }: Shelf, range: AddressRange): readonly OwnedEntry[] {
  const found: OwnedEntry[] = [];
  for (let index = countUpTo(entries, range.last) - 1; index >= 0; index -= 1) {
    // Nothing at this place or before it reaches the range.
    if ((highest[index] ?? -1n) < range.first) break;
    const owned = entries[index];
    if (owned !== undefined && owned.entry.range.last >= range.first) found.push(owned);
  }
  return found.reverse();
}

/** How many entries begin at or before `value`. */
function countUpTo(entries: readonly OwnedEntry[], value: bigint): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const first = entries[middle]?.entry.range.first;
    if (first !== undefined && first <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
