/**
 * The one source of chance of a run: a seed, and for each named purpose a stream of its own, so that dropping one fault
 * when a failing run is shrunk does not change what the others draw.
 */

/** One purpose's numbers, in order (mulberry32). */
export class Stream {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** In [0, bound). */
  integer(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.integer(items.length)];
    if (item === undefined) throw new Error('pick: nothing to pick from');
    return item;
  }

  shuffled<T>(items: readonly T[]): readonly T[] {
    return items
      .map((item) => ({ item, weight: this.next() }))
      .toSorted((a, b) => a.weight - b.weight)
      .map(({ item }) => item);
  }
}

export class Draws {
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** The same seed and purpose give the same numbers. */
  draw(purpose: string): Stream {
    let hash = 0x811c9dc5 ^ this.#seed;
    for (let index = 0; index < purpose.length; index += 1)
      hash = Math.imul(hash ^ purpose.charCodeAt(index), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    return new Stream(hash ^ (hash >>> 13) ^ Math.imul(this.#seed, 0x9e3779b1));
  }
}
