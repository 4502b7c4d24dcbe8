import { expect, test } from 'vitest';
import { parseTimeout, TIMEOUT_MAX_MS } from './parseTimeout.ts';

/** What is left of a time after the share for rounding and travel. */
const usable = (ms: number): number => ms * 0.8;

test.each([
  { timeout: '10s', ms: 10_000 },
  { timeout: '1s', ms: 1000 },
  { timeout: '500ms', ms: 500 },
  { timeout: '1.5s', ms: 1500 },
  { timeout: '0m12s', ms: 12_000 },
  { timeout: '0s', ms: 0 },
])('$timeout is a time to beat', ({ timeout, ms }) => {
  expect(parseTimeout(timeout)).toBeCloseTo(usable(ms));
});

test.each(['1m30s', '9999h', '', 'soon', '10', '10s!', '-5s', '1e9s', undefined, ['1s', '2s'], 7])(
  '%s gives the longest time that API servers wait, and no more',
  (timeout) => {
    expect(parseTimeout(timeout)).toBe(usable(TIMEOUT_MAX_MS));
  },
);
