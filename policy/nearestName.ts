/** Finds the known name that an unknown one is probably a slip of. */

/** Edit distance up to which an unknown field is taken for a slip of a known one. */
const SLIP_DISTANCE_MAX = 3;

/** The known name that `field` is probably a slip of. */
export function nearestName(field: string, known: readonly string[]): string | undefined {
  // So much longer than all known names, it is no slip; comparing megabytes would take seconds.
  const longest = Math.max(0, ...known.map((name) => name.length));
  if (field.length > longest + SLIP_DISTANCE_MAX) return undefined;
  const ranked = known
    .map((name) => ({ name, distance: editDistance(field.toLowerCase(), name.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= SLIP_DISTANCE_MAX ? best.name : undefined;
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
