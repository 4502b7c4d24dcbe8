/**
 * The time relations that the exclusion of two owners rests on, computed from the two durations that people set.
 *
 * A gateway's session lives L from before a heartbeat was sent. The kernel ends it by two timers, one after the other: how
 * long ago the heartbeat was sent when its grant comes, in eighths of L, and the rest of L from then on; each may be late
 * by its granularity g. A voter that granted the heartbeat waits P on its own clock before it calls the session dead. Both
 * clocks may be off by ρ in opposite directions, so P ≥ (L + 2g) · m with m = (1 + ρ) / (1 − ρ) keeps the verdict behind
 * the silence.
 */

export interface DurationSettings {
  /** H: time between heartbeats, milliseconds. */
  readonly heartbeatMs: number;
  /** L: how long a gateway may answer after the sending of its last granted heartbeat, milliseconds. */
  readonly sessionMs: number;
  /** P, if it was set by hand; default: the least that is safe. */
  readonly promiseMs?: number;
}

export interface Durations {
  readonly heartbeatMs: number;
  readonly sessionMs: number;
  /** How long the kernel answers after a grant, by how late it comes; the earliest first. */
  readonly windows: readonly AnswerWindow[];
  /** P: a voter's silence about a session after its last grant. */
  readonly promiseMs: number;
  /** D: life of a "dead" statement after the sending of the heartbeat that it echoes, on the receiver's clock. */
  readonly statementMs: number;
  /** A voter neither grants nor states this long after its start: statements of its former life have run out by then. */
  readonly startSilenceMs: number;
  /** A session that was called dead and is heard again is granted only this long after. */
  readonly retractionMs: number;
  /** Between the joint voter configuration's being known to a majority and the next one. */
  readonly settledMs: number;
}

/** A grant that comes within so long of its heartbeat's sending lets the kernel answer for so long: together they are L. */
export interface AnswerWindow {
  readonly withinMs: number;
  readonly answerMs: number;
}

/** Into so many parts L is cut: the kernel falls silent up to one of them early. */
const WINDOW_PARTS = 8;

function answerWindows(sessionMs: number): readonly AnswerWindow[] {
  return Array.from({ length: WINDOW_PARTS - 1 }, (_, index) => {
    const withinMs = Math.floor((sessionMs * (index + 1)) / WINDOW_PARTS);
    return { withinMs, answerMs: sessionMs - withinMs };
  });
}

/** ρ: the rate of a clock may be off by this; crystals are a hundred times better, virtual machines need the room. */
export const CLOCK_RATE_ERROR = 0.01;
/** m: what one clock may show of another's second, at the worst. */
export const CLOCK_RATE_MARGIN = (1 + CLOCK_RATE_ERROR) / (1 - CLOCK_RATE_ERROR);
/** g: timed elements of nftables expire by jiffies; 250 a second on the slowest kernels in use. */
export const KERNEL_TIMER_MS = 4;
/** A session must outlive this many heartbeats, or one lost packet and one late one silence a healthy gateway. */
export const HEARTBEATS_PER_SESSION_MIN = 4;
/** A statement must live long enough to meet those of other voters. */
const STATEMENT_MIN_MS = 100;

export function deriveDurations({ heartbeatMs, sessionMs, promiseMs }: DurationSettings): Durations {
  const promise = promiseMs ?? leastPromiseMs(sessionMs);
  const statementMs = Math.max(sessionMs, STATEMENT_MIN_MS);
  return {
    heartbeatMs,
    sessionMs,
    windows: answerWindows(sessionMs),
    promiseMs: promise,
    statementMs,
    startSilenceMs: Math.max(promise, statementMs * CLOCK_RATE_MARGIN),
    retractionMs: statementMs * CLOCK_RATE_MARGIN,
    settledMs: Math.max(promise, statementMs) * CLOCK_RATE_MARGIN * CLOCK_RATE_MARGIN,
  };
}

/** The exclusion bound: (L + 2g) · m. */
export function leastPromiseMs(sessionMs: number): number {
  return (sessionMs + 2 * KERNEL_TIMER_MS) * CLOCK_RATE_MARGIN;
}

/** Everything that is wrong with the settings; empty: no two gateways can answer for one address. */
export function checkDurations({ heartbeatMs, sessionMs, promiseMs }: DurationSettings): readonly string[] {
  const problems: string[] = [];
  if (sessionMs < HEARTBEATS_PER_SESSION_MIN * heartbeatMs)
    problems.push(
      `a session of ${sessionMs} ms is less than ${HEARTBEATS_PER_SESSION_MIN} heartbeats of ${heartbeatMs} ms: one lost and one late heartbeat would silence a healthy gateway`,
    );
  const least = leastPromiseMs(sessionMs);
  if (promiseMs !== undefined && promiseMs < least)
    problems.push(
      `voters that wait ${promiseMs} ms may call a gateway dead that still answers: a session of ${sessionMs} ms needs at least ${least.toFixed(1)} ms`,
    );
  return problems;
}
