/**
 * Decides when a list and watch is tried again after an attempt ended, and how often it has failed in a row.
 *
 * Relies on the caller to measure the attempt on a monotonic clock, from the opening of the watch: a long list is no
 * sign that watching works. Leaves to others what a failure means for the copy that was kept.
 */

/** How one attempt went. */
export interface Attempt {
  /** How long the watch lived; 0 where it was never opened. */
  readonly lastedMs: number;
  /** Changes that it brought; bookmarks are none. */
  readonly events: number;
  /** `timeout`: nobody answered, so its length says nothing. `unreachable`: nobody was there. `absent`: no such kind. */
  readonly ending: 'ended' | 'failed' | 'timeout' | 'unreachable' | 'absent';
  /** The server's own wish, where it had one. */
  readonly retryAfterMs?: number;
}

/** What is known of the attempts before. */
export interface Failures {
  /** Attempts in a row that got nowhere; 0 after a watch that lived and was ended by the server. */
  readonly failures: number;
  /** At the last one nobody was there. */
  readonly away: boolean;
}

export interface Retry extends Failures {
  readonly pauseMs: number;
}

export const NO_FAILURES: Failures = { failures: 0, away: false };

const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 30_000;
/** A watch that lived this long, or brought an event, was a working one. Anything shorter might be a loop. */
const HEALTHY_MS = 5000;
/** A kind may be installed at any time, and is to be known within seconds; asking costs the server next to nothing. */
const ABSENT_MS = 4000;
/** A server that asks for more is asked again after this: nobody wants a gateway that is deaf for an hour. */
const RETRY_AFTER_MAX_MS = 60_000;
/** 2¹⁶ × the first pause is far beyond the longest. */
const DOUBLINGS_MAX = 16;

/**
 * Where no server is, nobody is spared by long pauses, and whoever then waits for its end when there is one again acts
 * on a view as old as the outage: a gateway that does not know its rank in the newest order. Two seconds at the most. The
 * server that is there again refuses at first, as long as it does not know the rights of its clients: that is a first
 * failure, and none more after those of the outage.
 */
const UNREACHABLE_FAILURES_MAX = 4;

/** @param random a number in [0, 1): the pause is jittered over the upper half of its range. */
export function decideRetry(before: Failures, attempt: Attempt, random: number): Retry {
  const away = attempt.ending === 'unreachable';
  if (attempt.ending === 'absent') return { failures: 0, away, pauseMs: (ABSENT_MS / 2) * (1 + random) };
  const lived = attempt.ending !== 'timeout' && attempt.lastedMs >= HEALTHY_MS;
  if (attempt.ending === 'ended' && lived) return { failures: 0, away, pauseMs: 0 };
  const failures = lived || attempt.events > 0 ? 1 : nextFailure(before, away);
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(failures - 1, DOUBLINGS_MAX));
  const asked = Math.min(attempt.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS);
  return { failures, away, pauseMs: Math.max(asked, (ceiling / 2) * (1 + random)) };
}

function nextFailure(before: Failures, away: boolean): number {
  if (away) return Math.min(before.failures + 1, UNREACHABLE_FAILURES_MAX);
  return before.away ? 1 : before.failures + 1;
}
