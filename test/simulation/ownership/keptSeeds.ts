/**
 * Runs that failed once, shrunk: the test plays them first. `main.ts` prints an entry for each that it finds. A change of
 * the world changes what a seed means, so what a run has shown becomes a directed scenario (scenarios.ts) in the end.
 */

export interface KeptSeed {
  readonly seed: number;
  /** Indices of the faults that are kept; absent: all. */
  readonly keep?: readonly number[];
  readonly story: string;
}

export const KEPT_SEEDS: readonly KeptSeed[] = [];
