/**
 * Items by the addresses they span, and which of them overlap or enclose a range. Items may nest, repeat, or overlap in
 * part. Kept up to date one by one: a change moves at most one chunk, never the whole.
 *
 * Sorted by first address and cut into chunks; each place knows the highest last address of its chunk up to there, each
 * chunk that of all chunks up to it, so a look-up is two binary searches and a walk back over real overlaps.
 * It is edited, not replaced, because it holds 100,000 items and is changed and asked between two events.
 */
import type { AddressRange } from '../model.ts';
import {
  CHUNK_ITEMS_MAX,
  type Chunk,
  chunksUpTo,
  countUpTo,
  placeOf,
  raiseHighest,
  raiseReach,
  type Shelf,
  split,
} from './shelf.ts';

/** A chunk that is built whole leaves room for additions. */
const CHUNK_ITEMS_BUILT = 192;

/** Return false to end the walk. */
export type Visitor<T> = (item: T) => boolean;

export class RangeIndex<T> {
  readonly #rangeOf: (item: T) => AddressRange;
  readonly #shelves: { readonly 4: Shelf<T>; readonly 6: Shelf<T> } = {
    4: { chunks: [], reach: [] },
    6: { chunks: [], reach: [] },
  };

  /** Many at once are sorted once. */
  constructor(rangeOf: (item: T) => AddressRange, items: readonly T[] = []) {
    this.#rangeOf = rangeOf;
    for (const family of [4, 6] as const) {
      const ranged = items
        .map((item) => ({ item, range: rangeOf(item) }))
        .filter(({ range }) => range.family === family);
      ranged.sort((a, b) => compare(a.range.first, b.range.first));
      const shelf = this.#shelves[family];
      for (let from = 0; from < ranged.length; from += CHUNK_ITEMS_BUILT) {
        const part = ranged.slice(from, from + CHUNK_ITEMS_BUILT);
        const chunk: Chunk<T> = {
          items: part.map(({ item }) => item),
          firsts: part.map(({ range }) => range.first),
          lasts: part.map(({ range }) => range.last),
          highest: [],
        };
        raiseHighest(chunk, 0);
        shelf.chunks.push(chunk);
      }
      raiseReach(shelf, 0);
    }
  }

  add(item: T): void {
    const { family, first, last } = this.#rangeOf(item);
    const shelf = this.#shelves[family];
    if (shelf.chunks.length === 0) shelf.chunks.push({ items: [], firsts: [], lasts: [], highest: [] });
    const at = Math.max(0, chunksUpTo(shelf, first) - 1);
    const chunk = shelf.chunks[at];
    if (chunk === undefined) throw new Error('RangeIndex.add: a shelf without a chunk');
    const place = countUpTo(chunk.firsts, first);
    chunk.items.splice(place, 0, item);
    chunk.firsts.splice(place, 0, first);
    chunk.lasts.splice(place, 0, last);
    raiseHighest(chunk, place);
    if (chunk.items.length > CHUNK_ITEMS_MAX) split(shelf, at);
    raiseReach(shelf, at);
  }

  /** The same item that was added, by identity. False: it is not here. */
  remove(item: T): boolean {
    const { family, first } = this.#rangeOf(item);
    const shelf = this.#shelves[family];
    for (let at = chunksUpTo(shelf, first) - 1; at >= 0; at -= 1) {
      const chunk = shelf.chunks[at];
      if (chunk === undefined || (chunk.firsts.at(-1) ?? first) < first) return false;
      const place = placeOf(chunk, item, first);
      if (place === undefined) continue;
      for (const list of [chunk.items, chunk.firsts, chunk.lasts, chunk.highest]) list.splice(place, 1);
      if (chunk.items.length === 0) {
        shelf.chunks.splice(at, 1);
        shelf.reach.splice(at, 1);
      } else raiseHighest(chunk, place);
      raiseReach(shelf, at);
      return true;
    }
    return false;
  }

  /** All that share an address with the range, the greatest first address first. */
  visitOverlapping(range: AddressRange, visit: Visitor<T>): void {
    this.#walk(range.family, { from: range.last, reaching: range.first }, visit);
  }

  /** All that contain the whole range, the innermost first where they nest. */
  visitEnclosing(range: AddressRange, visit: Visitor<T>): void {
    this.#walk(range.family, { from: range.first, reaching: range.last }, visit);
  }

  /** In order of the first address; at most `max`. */
  overlapping(range: AddressRange, max = Number.POSITIVE_INFINITY): readonly T[] {
    const found: T[] = [];
    this.visitOverlapping(range, (item) => found.push(item) < max);
    return found.reverse();
  }

  overlaps(range: AddressRange): boolean {
    return this.overlapping(range, 1).length > 0;
  }

  /** The innermost that contains the whole range. */
  enclosing(range: AddressRange): T | undefined {
    let found: T | undefined;
    this.visitEnclosing(range, (item) => {
      found = item;
      return false;
    });
    return found;
  }

  /** Items that begin at or before `from` and end at or after `reaching`. */
  #walk(
    family: 4 | 6,
    { from, reaching }: { readonly from: bigint; readonly reaching: bigint },
    visit: Visitor<T>,
  ): void {
    const shelf = this.#shelves[family];
    for (let at = chunksUpTo(shelf, from) - 1; at >= 0; at -= 1) {
      // Nothing in this chunk or before it reaches that far.
      if ((shelf.reach[at] ?? -1n) < reaching) return;
      const chunk = shelf.chunks[at];
      if (chunk === undefined) return;
      for (let place = countUpTo(chunk.firsts, from) - 1; place >= 0; place -= 1) {
        if ((chunk.highest[place] ?? -1n) < reaching) break;
        if ((chunk.lasts[place] ?? -1n) < reaching) continue;
        // A place that exists has an item; `undefined` may be one.
        if (!visit(chunk.items[place] as T)) return;
      }
    }
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
