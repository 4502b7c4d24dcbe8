/** Which of two times comes first; undefined is never. */
export function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b;
  return b === undefined || a <= b ? a : b;
}

/** Of any number of times: `Math.min(...times)` ends the process where there are more than a call has room for. */
export function earliest(times: Iterable<number | undefined>): number | undefined {
  let first: number | undefined;
  for (const time of times) first = earlier(first, time);
  return first;
}
