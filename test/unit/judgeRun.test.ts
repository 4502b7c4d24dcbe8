import { describe, expect, test } from 'vitest';
import { CHAOS_ROWS, type ChaosRow, judgeRun } from '../chaos/chaosRows.ts';
import type { FaultResult } from '../chaos/faultRun.ts';

const ADDRESS = '203.0.113.10';
const MOVED: FaultResult = {
  before: 'gw-1',
  gapMs: 20,
  lostPackets: 0,
  sentPackets: 4000,
  opened: 40,
  alive: 40,
  resets: 0,
  sources: [ADDRESS],
  answerers: ['gw-1', 'gw-2'],
  overlaps: [],
  stallMs: 3,
};
const PLANNED: ChaosRow = {
  key: 'drain',
  name: 'a drain',
  fault: { inject: () => undefined },
  moves: true,
  hits: 'nobody',
};
const SUDDEN: ChaosRow = { ...PLANNED, gapMaxMs: 2900, hits: 'holder' };
const HARMLESS: ChaosRow = { ...PLANNED, moves: false };

test('a planned move that lost nothing is in order', () => {
  expect(judgeRun(PLANNED, MOVED, ADDRESS)).toEqual([]);
});

test('after a death packets may be lost, for a while', () => {
  expect(judgeRun(SUDDEN, { ...MOVED, lostPackets: 90, gapMs: 450 }, ADDRESS)).toEqual([]);
});

test('what is harmless need not move anything', () => {
  expect(judgeRun(HARMLESS, { ...MOVED, answerers: ['gw-1'] }, ADDRESS)).toEqual([]);
});

describe('what does not hold is said', () => {
  test.each<{ readonly row?: ChaosRow; readonly change: Partial<FaultResult>; readonly says: string }>([
    { change: { overlaps: ['gw-2 at 4 ms'] }, says: 'two answered at once: gw-2 at 4 ms' },
    { change: { opened: 39, alive: 39 }, says: 'only 39 connections were opened' },
    { change: { alive: 39 }, says: '39 of 40 connections are alive, 0 were reset' },
    { change: { resets: 1 }, says: '40 of 40 connections are alive, 1 were reset' },
    {
      change: { sources: [ADDRESS, '203.0.113.21'] },
      says: `sources other than ${ADDRESS} were seen: ${ADDRESS}, 203.0.113.21`,
    },
    { change: { sources: [] }, says: `sources other than ${ADDRESS} were seen: ` },
    { change: { answerers: ['gw-2'] }, says: 'gw-1 did not answer at first' },
    { change: { answerers: ['gw-1', 'gw-2', 'gw-1'] }, says: 'gw-1 answers still' },
    { change: { lostPackets: 1 }, says: '1 packets were lost' },
    { row: HARMLESS, change: { lostPackets: 2 }, says: '2 packets were lost' },
    { row: SUDDEN, change: { gapMs: 2901 }, says: 'a gap of 2901 ms' },
  ])('$says', ({ row = PLANNED, change, says }) => {
    expect(judgeRun(row, { ...MOVED, ...change }, ADDRESS)).toEqual([says]);
  });
});

test('every class has a name of its own', () => {
  expect(new Set(CHAOS_ROWS.map(({ key }) => key)).size).toBe(CHAOS_ROWS.length);
});
