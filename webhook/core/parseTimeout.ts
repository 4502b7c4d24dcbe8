/** Reads how long an API server waits for an answer, as it says in the query: `?timeout=10s`. */

/** The longest that a webhook configuration may ask for. */
export const TIMEOUT_MAX_MS = 30_000;
/**
 * API servers round the time that is left up to whole seconds, and an answer has to travel: what is ready after this
 * share of the time is in time.
 */
const USABLE_SHARE = 0.8;

const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  ns: 1e-6,
};

/** @returns milliseconds from a request's arrival to the last moment for its answer; without a readable timeout, the longest. */
export function parseTimeout(timeout: unknown): number {
  const text = typeof timeout === 'string' ? timeout : '';
  const parts = [...text.matchAll(/(\d{1,9}(?:\.\d{1,9})?)(ms|us|ns|h|m|s)/g)];
  const whole = parts.map(([part]) => part).join('');
  const durationMs = parts.reduce(
    (sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0),
    0,
  );
  const askedMs = text === '' || whole !== text ? TIMEOUT_MAX_MS : durationMs;
  return Math.min(askedMs, TIMEOUT_MAX_MS) * USABLE_SHARE;
}
