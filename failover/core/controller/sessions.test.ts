import { describe, expect, test } from 'vitest';
import {
  forgetLease,
  type GatewayLease,
  isOver,
  leasedSession,
  nextDeadlineMs,
  observeLease,
  restartClocks,
  type SessionsState,
  silentGateways,
} from './sessions.ts';

const lease: GatewayLease = { gateway: 'gw-1', session: 5, holding: true, durationMs: 3000, version: '1' };
const start: SessionsState = observeLease(new Map(), lease, 1000);
const closed: GatewayLease = { ...lease, holding: false, version: '2' };
const silent = (state: SessionsState, nowMs: number) => [...silentGateways(state, nowMs)];

describe('Leases', () => {
  test('a record that stands still makes its gateway silent, after as long as it says itself', () => {
    expect(nextDeadlineMs(start, 1000)).toBe(1000 + 3000);
    expect(silent(start, 3999)).toEqual([]);
    expect(silent(start, 4000)).toEqual(['gw-1']);
    const longer = observeLease(start, { ...lease, durationMs: 9000, version: '2' }, 1000);
    expect([silent(longer, 9999), silent(longer, 10_000)]).toEqual([[], ['gw-1']]);
  });

  test('seeing the same record again does not start its clock anew, a changed one does', () => {
    expect(silent(observeLease(start, lease, 3900), 4000)).toEqual(['gw-1']);
    expect(silent(observeLease(start, { ...lease, version: '2' }, 3900), 4000)).toEqual([]);
  });

  test('silence while the API server was away proves nothing', () => {
    expect(silent(restartClocks(start, 60_000), 60_001)).toEqual([]);
    expect(silent(restartClocks(start, 60_000), 63_000)).toEqual(['gw-1']);
  });

  test('whoever is silent already is waited for no more', () => {
    const both = observeLease(start, { ...lease, gateway: 'gw-2' }, 2000);
    expect(nextDeadlineMs(both, 1000)).toBe(4000);
    expect(nextDeadlineMs(both, 4000)).toBe(5000);
    expect(nextDeadlineMs(both, 5000)).toBeUndefined();
  });

  test.each([
    { name: 'held', now: lease, session: 5, over: false },
    { name: 'held, and silent for long', now: lease, session: 5, over: false },
    { name: 'closed', now: closed, session: 5, over: true },
    { name: 'followed by a later one', now: { ...lease, session: 6, version: '2' }, session: 5, over: true },
    { name: 'followed by one that was closed', now: { ...closed, session: 6 }, session: 5, over: true },
    { name: 'yet to be opened', now: lease, session: 6, over: false },
    { name: 'yet to be opened after a closed one', now: closed, session: 6, over: false },
  ])('a session that is $name: over $over', ({ now, session, over }) => {
    expect(isOver(observeLease(start, now, 2000), { gateway: 'gw-1', session })).toBe(over);
  });

  test('a Lease that is not there, or not any more, proves nothing and holds nothing', () => {
    for (const none of [new Map(), forgetLease(start, 'gw-1')]) {
      expect(isOver(none, { gateway: 'gw-1', session: 5 })).toBe(false);
      expect(leasedSession(none, 'gw-1')).toBeUndefined();
      expect(silent(none, 99_999)).toEqual([]);
    }
    expect(leasedSession(start, 'gw-1')).toBe(5);
  });

  test('a closed record holds nothing, is never silent and is waited for by nobody', () => {
    const state = observeLease(start, closed, 2000);
    expect(leasedSession(state, 'gw-1')).toBeUndefined();
    expect(silent(state, 99_999)).toEqual([]);
    expect(nextDeadlineMs(state, 2000)).toBeUndefined();
  });
});
