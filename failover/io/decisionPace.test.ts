import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createDecisionPace } from './decisionPace.ts';

/** When each decision began. */
let began: number[];
let tookMs: number;
let nowMs: number;
const decide = (): void => {
  began.push(nowMs);
  nowMs += tookMs;
};

beforeEach(() => {
  vi.useFakeTimers();
  began = [];
  nowMs = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

function wait(ms: number): void {
  nowMs += ms;
  vi.advanceTimersByTime(ms);
}

test('whatever is asked for in one turn is one decision, and quick ones follow at once', () => {
  tookMs = 2;
  const pace = createDecisionPace(decide, () => nowMs);
  pace.ask();
  pace.ask();
  expect(began).toEqual([]);
  wait(0);
  pace.ask();
  wait(0);
  expect(began).toEqual([0, 2]);
});

test.each([
  { took: 100, paused: 100 },
  { took: 4000, paused: 250 },
])('after one of $took ms nothing is decided for $paused ms', ({ took, paused }) => {
  tookMs = took;
  const pace = createDecisionPace(decide, () => nowMs);
  pace.ask();
  wait(0);
  pace.ask();
  wait(paused - 1);
  pace.ask();
  expect(began).toEqual([0]);
  wait(1);
  expect(began).toEqual([0, took + paused]);
  wait(10_000);
  expect(began).toHaveLength(2);
});

test('nothing is decided after the end', () => {
  tookMs = 100;
  const pace = createDecisionPace(decide, () => nowMs);
  pace.ask();
  pace.stop();
  wait(1000);
  expect(began).toEqual([]);
});
