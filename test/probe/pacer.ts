/** A process that was stopped for longer does not make up for it in one burst that would overflow queues. */
const CATCH_UP_MS = 20;
/** Node's shortest timer. */
const TICK_MS = 1;

/**
 * Calls `send` `ratePerSecond` times a second by the monotonic clock: a late timer is caught up with, a long stop is not.
 * Returns what stops it.
 */
export function startPacer(ratePerSecond: number, send: () => void): () => void {
  if (ratePerSecond <= 0) return () => undefined;
  const periodMs = 1000 / ratePerSecond;
  let dueMs = performance.now();
  const timer = setInterval(
    () => {
      const nowMs = performance.now();
      dueMs = Math.max(dueMs, nowMs - Math.max(CATCH_UP_MS, periodMs));
      for (; dueMs <= nowMs; dueMs += periodMs) send();
    },
    Math.max(TICK_MS, Math.floor(periodMs / 2)),
  );
  return () => clearInterval(timer);
}
