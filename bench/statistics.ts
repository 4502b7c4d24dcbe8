/** Orders of samples. `undefined` is the answer where there are too few samples to tell. */

export function median(samples: readonly number[]): number | undefined {
  return ranked(samples, samples.length / 2);
}

/** By nearest rank: the smallest sample that `percent` of all do not exceed. Needs one sample beyond that rank. */
export function percentile(samples: readonly number[], percent: number): number | undefined {
  if (samples.length * (100 - percent) < 100) return undefined;
  return ranked(samples, (percent / 100) * samples.length);
}

function ranked(samples: readonly number[], rank: number): number | undefined {
  return samples.toSorted((a, b) => a - b)[Math.ceil(rank) - 1];
}
