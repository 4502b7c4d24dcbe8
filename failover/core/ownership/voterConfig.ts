/** Which agents vote, and what a majority of them is. During a change two sets count at once: a majority of both. */

export interface VoterConfig {
  /** Grows with every change; nobody acts on an older one than it knows. */
  readonly version: number;
  /** One set when stable, the old and the new one while joint. */
  readonly sets: readonly (readonly string[])[];
}

export function isVoter({ sets }: VoterConfig, node: string): boolean {
  return sets.some((set) => set.includes(node));
}

/** Every node of every set, once. */
export function votersOf({ sets }: VoterConfig): readonly string[] {
  const [only = [], ...more] = sets;
  return more.length === 0 ? only : [...new Set(sets.flat())];
}

export function majorityOf(set: readonly string[]): number {
  return Math.floor(set.length / 2) + 1;
}

/** In every set a majority satisfies it. No set, no majority. */
export function hasMajority({ sets }: VoterConfig, holds: (voter: string) => boolean): boolean {
  return sets.length > 0 && sets.every((set) => set.filter(holds).length >= majorityOf(set));
}

/**
 * The greatest value that a majority of every set has reached; undefined where some set has no majority with a value.
 * @param reachedBy what a voter has reached, undefined for nothing
 */
export function majorityValue(
  { sets }: VoterConfig,
  reachedBy: (voter: string) => number | undefined,
): number | undefined {
  let least: number | undefined;
  for (const set of sets) {
    const values: number[] = [];
    for (const voter of set) {
      const value = reachedBy(voter);
      if (value !== undefined) values.push(value);
    }
    const majority = majorityOf(set);
    if (values.length < majority) return undefined;
    const reached = values.sort((a, b) => b - a)[majority - 1] ?? 0;
    least = least === undefined ? reached : Math.min(least, reached);
  }
  return least;
}
