/** Sorted items of one family, cut into chunks: the workings of RangeIndex. */

/** A change moves this many places at the most; 100,000 items make some 500 chunks. */
export const CHUNK_ITEMS_MAX = 256;

/** Parallel lists, so that a search reads neighbouring numbers and no objects. */
export interface Chunk<T> {
  items: T[];
  firsts: bigint[];
  lasts: bigint[];
  /** `highest[i]` is the greatest of `lasts[0..i]`. */
  highest: bigint[];
}

export interface Shelf<T> {
  readonly chunks: Chunk<T>[];
  /** `reach[i]` is the greatest last address in `chunks[0..i]`. */
  readonly reach: bigint[];
}

export function split<T>(shelf: Shelf<T>, at: number): void {
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
export function raiseHighest<T>({ lasts, highest }: Chunk<T>, place: number): void {
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
export function raiseReach<T>({ chunks, reach }: Shelf<T>, at: number): void {
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
export function placeOf<T>({ items, firsts }: Chunk<T>, item: T, first: bigint): number | undefined {
  for (let place = countUpTo(firsts, first) - 1; place >= 0 && firsts[place] === first; place -= 1)
    if (items[place] === item) return place;
  return undefined;
}

/** How many chunks begin at or before `value`. */
export function chunksUpTo<T>({ chunks }: Shelf<T>, value: bigint): number {
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
export function countUpTo(sorted: readonly bigint[], value: bigint): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = sorted[middle];
    if (at !== undefined && at <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
