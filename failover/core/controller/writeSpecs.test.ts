import { expect, test } from 'vitest';
import type { Move } from './moves.ts';
import { beginMove } from './writeSpecs.ts';

const begun: Move = {
  from: 'gw-1',
  to: 'gw-2',
  reason: 'died',
  epoch: 8,
  noticedMs: 10,
  detectedAtMs: 100,
  assignedAtMs: undefined,
  announcedAtMs: undefined,
};
const wished = { from: 'gw-1', to: 'gw-2', reason: 'died', epoch: 8 } as const;
const NOW = { monotonicMs: 20, wallMs: 200 };
const fresh = {
  ...wished,
  noticedMs: 20,
  detectedAtMs: 200,
  assignedAtMs: undefined,
  announcedAtMs: undefined,
};

test.each<{
  readonly name: string;
  readonly before: Move | undefined;
  readonly change?: Partial<Move>;
  readonly expected: Move;
}>([
  { name: 'a first move is noticed now', before: undefined, expected: fresh },
  { name: 'one that is asked for again goes on', before: begun, expected: begun },
  {
    name: 'one that is asked for again after a conflict was noticed when it was noticed first',
    before: begun,
    change: { epoch: 9, to: 'gw-3' },
    expected: { ...begun, epoch: 9, to: 'gw-3' },
  },
  {
    name: 'one for another reason is noticed now',
    before: { ...begun, reason: 'cordoned' },
    expected: fresh,
  },
  {
    name: 'the assignment that follows a takeover is that move, whatever else would be a reason',
    before: { ...begun, announcedAtMs: 150 },
    change: { reason: 'silent' },
    expected: { ...begun, announcedAtMs: 150 },
  },
  {
    name: 'an assignment to yet another one comes from whoever took over before',
    before: { ...begun, announcedAtMs: 150 },
    change: { to: 'gw-3' },
    expected: { ...fresh, from: 'gw-2', to: 'gw-3', detectedAtMs: 200 },
  },
  {
    name: 'a move that is over says nothing about the next',
    before: { ...begun, assignedAtMs: 120, announcedAtMs: 150 },
    change: { epoch: 9, to: 'gw-3' },
    expected: { ...fresh, epoch: 9, to: 'gw-3' },
  },
])('$name', ({ before, change, expected }) => {
  expect(beginMove(before, { ...wished, ...change }, NOW)).toEqual(expected);
});
