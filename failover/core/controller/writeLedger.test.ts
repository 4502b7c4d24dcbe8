import { expect, test } from 'vitest';
import {
  becomeReading,
  becomeResting,
  becomeWriting,
  mayWrite,
  nextWakeMs,
  overtake,
  overtakeAll,
  REST_MS,
  settle,
  WRITES_MAX,
  type WriteLedger,
  wakeRested,
  wasOvertaken,
} from './writeLedger.ts';

const empty: WriteLedger = new Map();

test('one write an object at a time, and a bounded number in all', () => {
  const one = becomeWriting(empty, 'egressIps/a');
  expect(mayWrite(one, 'egressIps/a')).toBe(false);
  expect(mayWrite(one, 'egressIps/b')).toBe(true);
  expect(mayWrite(settle(one, 'egressIps/a'), 'egressIps/a')).toBe(true);
  expect(() => becomeWriting(one, 'egressIps/a')).toThrow();
  const full = Array.from({ length: WRITES_MAX }, (_, index) => `egressIps/${index}`).reduce(
    becomeWriting,
    empty,
  );
  expect(mayWrite(full, 'egressIps/other')).toBe(false);
});

test('what rests is left alone until its time is over, and counts for nothing else', () => {
  const resting = becomeResting(empty, 'egressIps/a', 100);
  expect(mayWrite(resting, 'egressIps/a')).toBe(false);
  expect(nextWakeMs(resting)).toBe(100 + REST_MS);
  expect(wakeRested(resting, 99 + REST_MS).ledger).toBe(resting);
  const woken = wakeRested(resting, 100 + REST_MS);
  expect([mayWrite(woken.ledger, 'egressIps/a'), woken.unread]).toEqual([true, []]);
  expect(nextWakeMs(empty)).toBeUndefined();
});

test('what vanishes while a request about it is under way is marked, whether alone or by a new list', () => {
  const writing = becomeWriting(becomeReading(empty, 'leases/a'), 'egressIps/a');
  expect(wasOvertaken(writing, 'egressIps/a')).toBe(false);
  expect(wasOvertaken(overtake(writing, 'egressIps/a'), 'egressIps/a')).toBe(true);
  const listed = overtakeAll(writing, 'leases');
  expect([wasOvertaken(listed, 'leases/a'), wasOvertaken(listed, 'egressIps/a')]).toEqual([true, false]);
  expect(overtake(empty, 'egressIps/a')).toBe(empty);
});

test('what could not be read is read again after its rest, before anything is written', () => {
  const resting = becomeResting(becomeReading(empty, 'egressIps/a'), 'egressIps/a', 0);
  const { ledger, unread } = wakeRested(resting, REST_MS);
  expect([mayWrite(ledger, 'egressIps/a'), unread]).toEqual([false, ['egressIps/a']]);
});
