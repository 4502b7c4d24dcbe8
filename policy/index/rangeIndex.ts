/**
 * Items by the addresses they span, and which of them overlap or enclose a range. Items may nest, repeat, or overlap in
 * part. Kept up to date one by one: a change moves at most one chunk, never the whole.
 *
 * Sorted by first address and cut into chunks; each place knows the highest last address of its chunk up to there, each
 * chunk that of all chunks up to it, so a look-up is two binary searches and a walk back over real overlaps.
 * It is edited, not replaced, because it holds 100,000 items and is changed and asked between two events.
 */
import type { AddressRange } from '../model.ts';

/** A change moves this many places at the most; 100,000 items make some 500 chunks. */
const CHUNK_ITEMS_MAX = 256;
/** A chunk that is built whole leaves room for additions. */
const CHUNK_ITEMS_BUILT = 192;

/** Parallel lists, so that a search reads neighbouring numbers and no objects. */
interface Chunk<T> {
  items: T[];
  firsts: bigint[];
  lasts: bigint[];
  /** `highest[i]` is the greatest of `lasts[0..i]`. */
  highest: bigint[];
}

interface Shelf<T> {
  readonly chunks: Chunk<T>[];
  /** `reach[i]` is the greatest last address in `chunks[0..i]`. */
  readonly reach: bigint[];
}

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

function split<T>(shelf: Shelf<T>, at: number): void {
  const chunk = shelf.chunks[at];
  if (chunk === undefined) return;
  const half = chunk.items.length >>> 1;
  const upper: Chunk<T> = {
    items: chunk.items.splice(half),
    firsts: chunk.firsts.splice(half),
    lasts: chunk.lasts.splice(half),
    highest: [],
  };
  chunk.highest.length = half;
  raiseHighest(upper, 0);
  shelf.chunks.splice(at + 1, 0, upper);
  // The lower half gets its own reach anew; all that come after keep theirs.
  shelf.reach.splice(at, 0, -1n);
}

/** From `place` on, as far as anything changes. */
function raiseHighest<T>({ lasts, highest }: Chunk<T>, place: number): void {
  const grown = lasts.length > highest.length;
  if (grown) highest.splice(place, 0, ...lasts.slice(place, place + lasts.length - highest.length));
  let before = highest[place - 1] ?? -1n;
  for (let index = place; index < lasts.length; index += 1) {
    const last = lasts[index] ?? -1n;
    const value = last > before ? last : before;
    if (index > place && !grown && highest[index] === value) return;
    highest[index] = value;
    before = value;
  }
}

/** From chunk `at` on, as far as anything changes. */
function raiseReach<T>({ chunks, reach }: Shelf<T>, at: number): void {
  let before = reach[at - 1] ?? -1n;
  for (let index = at; index < chunks.length; index += 1) {
    const own = chunks[index]?.highest.at(-1) ?? -1n;
    const value = own > before ? own : before;
    if (index > at && reach[index] === value) return;
    reach[index] = value;
    before = value;
  }
}

/** The place of an item among those with its first address. */
function placeOf<T>({ items, firsts }: Chunk<T>, item: T, first: bigint): number | undefined {
  for (let place = countUpTo(firsts, first) - 1; place >= 0 && firsts[place] === first; place -= 1)
    if (items[place] === item) return place;
  return undefined;
}

/** How many chunks begin at or before `value`. */
function chunksUpTo<T>({ chunks }: Shelf<T>, value: bigint): number {
  let [low, high] = [0, chunks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const first = chunks[middle]?.firsts[0];
    if (first !== undefined && first <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many of sorted numbers are at or below `value`. */
function countUpTo(sorted: readonly bigint[], value: bigint): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = sorted[middle];
    if (at !== undefined && at <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
