import { expect, test } from 'vitest';
import type { RunResult } from './runTogether.ts';
import { summarizeRuns } from './summarizeRuns.ts';

function run(gapMs: number | null, more: Partial<RunResult> = {}): RunResult {
  const failure = gapMs === null ? { failure: 'not settled' } : {};
  const counted = { lostPackets: 2, opened: 40, alive: 39, answerers: [], answerersMax: 1, stallMs: 0 };
  return { gapMs, ...counted, ...failure, ...more };
}

test('counts are of all runs, and the gap is ranked', () => {
  expect(summarizeRuns([run(300), run(100), run(200, { answerersMax: 2 })])).toEqual({
    figures: {
      runs: 3,
      p50Ms: 200,
      p99Ms: null,
      maxMs: 300,
      lostPackets: 6,
      tcpOpened: 120,
      tcpAlive: 117,
      answerersMax: 2,
    },
    failed: 0,
  });
});

test('a hundred runs tell a p99', () => {
  const gaps = Array.from({ length: 100 }, (_, index) => run(index + 1));
  expect(summarizeRuns(gaps).figures).toMatchObject({ p50Ms: 50, p99Ms: 99, maxMs: 100 });
});

test('a failed run counts as a run, ranks behind every gap, and leaves no maximum', () => {
  const { figures, failed } = summarizeRuns([run(100), run(null), run(200), run(300)]);
  expect({ ...figures, failed }).toMatchObject({ runs: 4, p50Ms: 200, maxMs: null, failed: 1 });
});

test('where most runs failed there is no median', () => {
  expect(summarizeRuns([run(100), run(null), run(null)]).figures).toMatchObject({ runs: 3, p50Ms: null });
});

test('no runs say nothing', () => {
  expect(summarizeRuns([]).figures).toMatchObject({ runs: 0, p50Ms: null, maxMs: null, answerersMax: 0 });
});
