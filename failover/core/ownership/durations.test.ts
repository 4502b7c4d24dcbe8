import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  CLOCK_RATE_ERROR,
  CLOCK_RATE_MARGIN,
  checkDurations,
  type DurationSettings,
  deriveDurations,
  HEARTBEATS_PER_SESSION_MIN,
  KERNEL_TIMER_MS,
  leastPromiseMs,
} from './durations.ts';

/** What a promise of exactly the least loses to rounding. */
const ROUNDING_MS = 1e-9;

/** Real milliseconds that pass while a clock that runs slow, or fast, shows `ms`. */
const slow = (ms: number): number => ms / (1 - CLOCK_RATE_ERROR);
const fast = (ms: number): number => ms / (1 + CLOCK_RATE_ERROR);

test('sessions of 200 ms with heartbeats of 25 ms need a promise of 212.2 ms', () => {
  expect(checkDurations({ heartbeatMs: 25, sessionMs: 200 })).toEqual([]);
  const durations = deriveDurations({ heartbeatMs: 25, sessionMs: 200 });
  expect(durations.promiseMs).toBeCloseTo(212.2, 2);
  expect(durations).toMatchObject({ heartbeatMs: 25, sessionMs: 200, statementMs: 200 });
  expect(durations.retractionMs).toBeCloseTo(204.04, 2);
  expect(durations.startSilenceMs).toBe(durations.promiseMs);
  expect(durations.settledMs).toBeCloseTo(220.87, 1);
});

test('however late a grant comes, the kernel answers no longer than the session lives, and an eighth less at the most', () => {
  for (const sessionMs of [100, 200, 201, 600]) {
    const { windows } = deriveDurations({ heartbeatMs: 25, sessionMs });
    for (const { withinMs, answerMs } of windows) expect(withinMs + answerMs).toBe(sessionMs);
    const edges = [0, ...windows.map(({ withinMs }) => withinMs), sessionMs];
    const widest = Math.max(...edges.slice(1).map((edge, index) => edge - (edges[index] ?? 0)));
    expect(widest).toBeLessThanOrEqual(sessionMs / 8 + 1);
    expect(edges).toEqual(edges.toSorted((a, b) => a - b));
  }
});

test('a statement of short sessions still lives 100 ms, and then the silence at the start waits for it', () => {
  const durations = deriveDurations({ heartbeatMs: 10, sessionMs: 40 });
  expect(durations.statementMs).toBe(100);
  expect(durations.startSilenceMs).toBeCloseTo(102.02, 2);
  expect(durations.startSilenceMs).toBe(durations.retractionMs);
});

test.each<{
  readonly name: string;
  readonly settings: DurationSettings;
  readonly problems: readonly string[];
}>([
  {
    name: 'the least promise, rounded up',
    settings: { heartbeatMs: 25, sessionMs: 200, promiseMs: 213 },
    problems: [],
  },
  {
    name: 'a promise just below the least',
    settings: { heartbeatMs: 25, sessionMs: 200, promiseMs: 212 },
    problems: ['needs at least 212.2 ms'],
  },
  {
    name: 'a promise without the grain of the kernel timer',
    settings: { heartbeatMs: 25, sessionMs: 200, promiseMs: 205 },
    problems: ['may call a gateway dead that still answers'],
  },
  { name: 'a session of four heartbeats', settings: { heartbeatMs: 50, sessionMs: 200 }, problems: [] },
  {
    name: 'a session of less than four heartbeats',
    settings: { heartbeatMs: 51, sessionMs: 200 },
    problems: ['less than 4 heartbeats of 51 ms'],
  },
  {
    name: 'both at once',
    settings: { heartbeatMs: 100, sessionMs: 200, promiseMs: 200 },
    problems: ['less than 4 heartbeats', 'needs at least'],
  },
])('$name is judged', ({ settings, problems }) => {
  expect(checkDurations(settings)).toEqual(problems.map((it) => expect.stringContaining(it)));
});

const settings = fc
  .record({
    heartbeatMs: fc.integer({ min: 1, max: 300 }),
    sessionMs: fc.integer({ min: 1, max: 2000 }),
    // Most around the bound, where it is decided.
    beyondMs: fc.option(
      fc.oneof(fc.integer({ min: -10, max: 60 }), fc.double({ min: -10, max: 60, noNaN: true })),
      { nil: undefined },
    ),
  })
  .map(
    ({ beyondMs, ...rest }): DurationSettings =>
      beyondMs === undefined ? rest : { ...rest, promiseMs: Math.max(1, rest.sessionMs + beyondMs) },
  );

test('settings are accepted exactly if no voter can speak before the kernel is silent, at any allowed error of both clocks', () => {
  fc.assert(
    fc.property(settings, (it) => {
      const { promiseMs } = deriveDurations(it);
      const voterSpeaksMs = fast(promiseMs);
      const kernelSilentMs = slow(it.sessionMs + 2 * KERNEL_TIMER_MS);
      const apart = voterSpeaksMs >= kernelSilentMs - ROUNDING_MS;
      const beats = it.sessionMs / it.heartbeatMs >= HEARTBEATS_PER_SESSION_MIN;
      expect(checkDurations(it).length === 0).toBe(apart && beats);
    }),
    { numRuns: 2000 },
  );
});

test('whatever is accepted: a statement has run out everywhere before its voter grants again or a new life of it speaks', () => {
  fc.assert(
    fc.property(settings, (it) => {
      fc.pre(checkDurations(it).length === 0);
      const { statementMs, retractionMs, startSilenceMs, settledMs, promiseMs, sessionMs } =
        deriveDurations(it);
      expect(statementMs).toBeGreaterThanOrEqual(sessionMs);
      const statementEndsMs = slow(statementMs) - ROUNDING_MS;
      expect(fast(retractionMs)).toBeGreaterThanOrEqual(statementEndsMs);
      expect(fast(startSilenceMs)).toBeGreaterThanOrEqual(statementEndsMs);
      expect(startSilenceMs).toBeGreaterThanOrEqual(promiseMs);
      expect(fast(settledMs)).toBeGreaterThanOrEqual(
        Math.max(slow(promiseMs), slow(statementMs)) - ROUNDING_MS,
      );
    }),
  );
});

test('the margin is the quotient of the fastest and the slowest clock', () => {
  expect(CLOCK_RATE_MARGIN).toBeCloseTo(1.0202, 4);
  expect(leastPromiseMs(200)).toBe((200 + 2 * KERNEL_TIMER_MS) * CLOCK_RATE_MARGIN);
});
