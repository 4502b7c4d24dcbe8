/**
 * When to decide again. Whatever is asked for within one turn of the event loop is one decision. One that took long, because
 * there is much to decide on, is followed by as long a pause: by then its writes have been answered, all in all and not by twos
 * and threes, each with a decision of its own.
 */

/** Up to here a decision costs less than what could be gathered meanwhile. */
const QUICK_MS = 10;
/** What is new waits for so long at the most. */
const PAUSE_MAX_MS = 250;

export interface DecisionPace {
  ask(): void;
  /** Decides nothing any more. */
  stop(): void;
}

/** @param nowMs monotonic */
export function createDecisionPace(decide: () => void, nowMs: () => number): DecisionPace {
  let next: NodeJS.Immediate | NodeJS.Timeout | undefined;
  let restsUntilMs = Number.NEGATIVE_INFINITY;
  const run = (): void => {
    next = undefined;
    const beganMs = nowMs();
    decide();
    const endedMs = nowMs();
    const tookMs = endedMs - beganMs;
    restsUntilMs = tookMs <= QUICK_MS ? endedMs : endedMs + Math.min(tookMs, PAUSE_MAX_MS);
  };
  return {
    ask() {
      if (next !== undefined) return;
      const waitMs = restsUntilMs - nowMs();
      next = waitMs <= 0 ? setImmediate(run) : setTimeout(run, Math.ceil(waitMs));
    },
    stop() {
      // Each takes the other's handle for nothing of its own.
      clearImmediate(next as NodeJS.Immediate);
      clearTimeout(next as NodeJS.Timeout);
    },
  };
}
