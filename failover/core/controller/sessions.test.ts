import { describe, expect, test } from 'vitest';
import {
  type GatewayLease,
  isDead,
  liveSession,
  nextDeadlineMs,
  observeLease,
  overdue,
  promiseMs,
  restartClocks,
  type SessionsState,
} from './sessions.ts';

const lease: GatewayLease = { gateway: 'gw-1', session: 5, holding: true, durationMs: 3000, version: '1' };
const start: SessionsState = observeLease(new Map(), lease, 1000);

describe('sessions', () => {
  test('the promise outlasts the lifetime even if both clocks err in opposite directions', () => {
    const slowestHolderMs = (3000 + 4) / 0.99;
    expect(promiseMs(3000) / 1.01).toBeGreaterThanOrEqual(slowestHolderMs - 1e-9);
    expect(promiseMs(3000)).toBe(3065);
  });

  test('a record that stands still becomes overdue, but only after the promise', () => {
    expect(nextDeadlineMs(start)).toBe(1000 + 3065);
    expect(overdue(start, 4064)).toEqual([]);
    expect(overdue(start, 4065)).toEqual([lease]);
  });

  test('seeing the same record again does not start its clock anew, a changed one does', () => {
    expect(overdue(observeLease(start, lease, 4000), 4065)).toEqual([lease]);
    expect(overdue(observeLease(start, { ...lease, version: '2' }, 4000), 4065)).toEqual([]);
  });

  test('silence while the API server was away proves nothing', () => {
    expect(overdue(restartClocks(start, 60_000), 60_001)).toEqual([]);
    expect(overdue(restartClocks(start, 60_000), 63_065)).toEqual([lease]);
  });

  test.each([
    { name: 'held', now: lease, session: 5, dead: false },
    { name: 'closed', now: { ...lease, holding: false, version: '2' }, session: 5, dead: true },
    { name: 'followed by a later one', now: { ...lease, session: 6, version: '2' }, session: 5, dead: true },
    { name: 'yet to be opened', now: lease, session: 6, dead: false },
  ])('a session that is $name: dead $dead', ({ now, session, dead }) => {
    expect(isDead(observeLease(start, now, 2000), { gateway: 'gw-1', session })).toBe(dead);
  });

  test('a Lease that is not there proves nothing and holds nothing', () => {
    expect(isDead(new Map(), { gateway: 'gw-1', session: 5 })).toBe(false);
    expect(liveSession(new Map(), 'gw-1')).toBeUndefined();
    expect(liveSession(start, 'gw-1')).toBe(5);
  });

  test('a closed record is never overdue', () => {
    expect(overdue(observeLease(start, { ...lease, holding: false, version: '2' }, 2000), 99_999)).toEqual(
      [],
    );
  });
});
