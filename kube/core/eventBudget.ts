/**
 * Decides what becomes of an occurrence that is worth an Event: a new Event, a higher count on the one before, or nothing
 * for now. A flapping gateway or a broken policy must not fill etcd with the same sentence.
 *
 * Relies on the caller to keep one entry for each object, type and reason. Leaves writing, and names, to others.
 */

export interface EventBudget {
  /** Of the Event written last. */
  readonly message: string;
  readonly eventName: string;
  readonly count: number;
  readonly writtenAtMs: number;
  /** New Events that may still be created; grows back with time. */
  readonly tokens: number;
  readonly refilledAtMs: number;
}

/** `hold`: counted, and told with the next. `drop`: too many different sentences for one reason. */
export type EventDecision = 'create' | 'count' | 'hold' | 'drop';

/** Different sentences in a row for one object and reason. */
const BURST = 5;
const REFILL_MS = 60_000;
/** A count is brought up to date this often. */
const COUNT_INTERVAL_MS = 30_000;

export function spendEvent(
  before: EventBudget | undefined,
  occurrence: { readonly message: string; readonly eventName: string; readonly nowMs: number },
): { readonly decision: EventDecision; readonly budget: EventBudget } {
  const { message, eventName, nowMs } = occurrence;
  if (before?.message === message) {
    const due = elapsed(before.writtenAtMs, nowMs) >= COUNT_INTERVAL_MS;
    const counted = { ...before, count: before.count + 1 };
    return due
      ? { decision: 'count', budget: { ...counted, writtenAtMs: nowMs } }
      : { decision: 'hold', budget: counted };
  }
  const grown =
    before === undefined ? BURST : before.tokens + elapsed(before.refilledAtMs, nowMs) / REFILL_MS;
  const tokens = Math.min(BURST, grown);
  if (before !== undefined && tokens < 1)
    return { decision: 'drop', budget: { ...before, tokens, refilledAtMs: nowMs } };
  return {
    decision: 'create',
    budget: { message, eventName, count: 1, writtenAtMs: nowMs, tokens: tokens - 1, refilledAtMs: nowMs },
  };
}

/** Times are of the wall clock, for they are written down. One that was set back makes nobody wait until it is as late again. */
function elapsed(sinceMs: number, nowMs: number): number {
  return nowMs >= sinceMs ? nowMs - sinceMs : REFILL_MS;
}
