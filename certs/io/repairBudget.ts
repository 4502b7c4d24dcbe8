/** How often what nobody planned is repaired: two that fight over a Secret make no storm of certificates. */

/** A start from nothing takes one; the rest is for a second replica and bad luck. */
const REPAIRS_MAX = 6;
const WINDOW_MS = 600_000;

/** The answer is yes at most so often in any ten minutes of the monotonic clock; a yes counts. */
export function createRepairBudget(): (nowMs: number) => boolean {
  let spent: readonly number[] = [];
  return (nowMs) => {
    spent = spent.filter((atMs) => nowMs - atMs < WINDOW_MS);
    if (spent.length >= REPAIRS_MAX) return false;
    spent = [...spent, nowMs];
    return true;
  };
}
