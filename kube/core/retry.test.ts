import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Attempt, decideRetry } from './retry.ts';

const failed: Attempt = { lastedMs: 0, events: 0, ending: 'failed' };

test.each<{
  readonly name: string;
  readonly before: number;
  readonly away?: boolean;
  readonly attempt: Attempt;
  readonly failures: number;
  readonly pauseMs: number;
}>([
  {
    name: 'a watch that the server ended in its time is opened again at once',
    before: 3,
    attempt: { lastedMs: 300_000, events: 0, ending: 'ended' },
    failures: 0,
    pauseMs: 0,
  },
  {
    name: 'a watch that ends as soon as it is opened backs off although nothing failed',
    before: 5,
    attempt: { lastedMs: 3, events: 0, ending: 'ended' },
    failures: 6,
    pauseMs: 3200,
  },
  {
    name: 'one that brought an event and ended soon waits for the first pause, so it cannot spin',
    before: 5,
    attempt: { lastedMs: 3, events: 1, ending: 'ended' },
    failures: 1,
    pauseMs: 100,
  },
  {
    name: 'a first failure waits for the first pause',
    before: 0,
    attempt: failed,
    failures: 1,
    pauseMs: 100,
  },
  { name: 'failures in a row double the pause', before: 3, attempt: failed, failures: 4, pauseMs: 800 },
  { name: 'the pause has a limit', before: 400, attempt: failed, failures: 401, pauseMs: 15_000 },
  {
    name: 'where nobody is, the pause stays short, and is no reason for a longer one afterwards',
    before: 400,
    attempt: { lastedMs: 0, events: 0, ending: 'unreachable' },
    failures: 4,
    pauseMs: 800,
  },
  {
    name: 'whoever refuses as soon as it is there again is asked again soon',
    before: 4,
    away: true,
    attempt: failed,
    failures: 1,
    pauseMs: 100,
  },
  {
    name: 'a failure after a long life starts from the first pause',
    before: 9,
    attempt: { lastedMs: 6000, events: 0, ending: 'failed' },
    failures: 1,
    pauseMs: 100,
  },
  {
    name: 'waiting long for an answer that never came is no life',
    before: 9,
    attempt: { lastedMs: 10_000, events: 0, ending: 'timeout' },
    failures: 10,
    pauseMs: 15_000,
  },
  {
    name: "the server's wish is honoured",
    before: 0,
    attempt: { ...failed, retryAfterMs: 7000 },
    failures: 1,
    pauseMs: 7000,
  },
  {
    name: 'but not beyond a limit',
    before: 0,
    attempt: { ...failed, retryAfterMs: 3_600_000 },
    failures: 1,
    pauseMs: 60_000,
  },
])('$name', ({ before, away = false, attempt, failures, pauseMs }) => {
  expect(decideRetry({ failures: before, away }, attempt, 0)).toMatchObject({ failures, pauseMs });
});

test('no attempt that got nowhere is repeated within 100 ms, whatever came before', () => {
  const attempt = fc.record({
    lastedMs: fc.integer({ min: 0, max: 4999 }),
    events: fc.nat(3),
    ending: fc.constantFrom('ended' as const, 'failed' as const, 'timeout' as const, 'unreachable' as const),
  });
  fc.assert(
    fc.property(
      fc.record({ failures: fc.nat(100), away: fc.boolean() }),
      attempt,
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (before, it, random) => {
        const { pauseMs } = decideRetry(before, it, random);
        expect(pauseMs).toBeGreaterThanOrEqual(100);
        expect(pauseMs).toBeLessThanOrEqual(30_000);
      },
    ),
  );
});
