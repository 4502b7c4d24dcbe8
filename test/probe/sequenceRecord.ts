/** Over an hour at 1,000 packets a second, in half a megabyte. */
export const SEQUENCES_MAX = 4_194_304;

/** Which sequence numbers came. Counts each once, in whatever order; packets beyond the limit are not counted. */
export class SequenceRecord {
  readonly #seen = new Uint8Array(SEQUENCES_MAX / 8);
  #received = 0;
  #duplicates = 0;
  #first = Number.POSITIVE_INFINITY;
  #last = -1;

  note(sequence: number): void {
    if (!Number.isInteger(sequence) || sequence < 0 || sequence >= SEQUENCES_MAX) return;
    const [index, bit] = [sequence >> 3, 1 << (sequence & 7)];
    const before = this.#seen[index] ?? 0;
    if ((before & bit) !== 0) {
      this.#duplicates += 1;
      return;
    }
    this.#seen[index] = before | bit;
    this.#received += 1;
    this.#first = Math.min(this.#first, sequence);
    this.#last = Math.max(this.#last, sequence);
  }

  get received(): number {
    return this.#received;
  }

  get duplicates(): number {
    return this.#duplicates;
  }

  /** Missing between the first and the last that came: what was lost at either end is not known here. */
  get missing(): number {
    return this.#received === 0 ? 0 : this.#last - this.#first + 1 - this.#received;
  }
}
