import { expect, test } from 'vitest';
import { createInterner } from './internLabels.ts';

test('equal labels are one object, whatever the order they came in', () => {
  const interner = createInterner();
  const first = interner.labels({ app: 'a', tier: 'x' });
  expect(interner.labels({ tier: 'x', app: 'a' })).toBe(first);
  expect(first).toEqual({ app: 'a', tier: 'x' });
  expect(interner.labels({ app: 'b' })).not.toBe(first);
});

test('labels that are still in use stay the same over full lists, and others are forgotten after the next', () => {
  const interner = createInterner();
  const used = interner.labels({ app: 'used' });
  const unused = interner.labels({ app: 'unused' });
  interner.turn();
  expect(interner.labels({ app: 'used' })).toBe(used);
  interner.turn();
  expect(interner.labels({ app: 'used' })).toBe(used);
  expect(interner.labels({ app: 'unused' })).not.toBe(unused);
});
