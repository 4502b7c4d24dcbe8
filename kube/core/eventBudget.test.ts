import { expect, test } from 'vitest';
import { type EventBudget, spendEvent } from './eventBudget.ts';

/** The decisions over a row of occurrences, as [message, at]. */
function decide(occurrences: readonly (readonly [message: string, atMs: number])[]) {
  let budget: EventBudget | undefined;
  return occurrences.map(([message, nowMs], index) => {
    const spent = spendEvent(budget, { message, eventName: `e${index}`, nowMs });
    budget = spent.budget;
    return [spent.decision, budget.eventName, budget.count];
  });
}

test('a repeated sentence is counted on its Event, and the count is written now and then', () => {
  expect(
    decide([
      ['a', 0],
      ['a', 1],
      ['a', 29_999],
      ['a', 30_000],
      ['a', 30_001],
    ]),
  ).toEqual([
    ['create', 'e0', 1],
    ['hold', 'e0', 2],
    ['hold', 'e0', 3],
    ['count', 'e0', 4],
    ['hold', 'e0', 5],
  ]);
});

test('different sentences for one reason are limited, and the limit grows back', () => {
  const messages = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((message) => [message, 0] as const);
  const decisions = decide([...messages, ['h', 59_999], ['i', 60_000], ['j', 60_001], ['k', 120_000]]);
  expect(decisions.map(([decision]) => decision)).toEqual([
    ...['create', 'create', 'create', 'create', 'create', 'drop', 'drop'],
    ...['drop', 'create', 'drop', 'create'],
  ]);
});

test('a clock that is set back an hour keeps nothing back', () => {
  const hour = 3_600_000;
  const spent = ['a', 'b', 'c', 'd', 'e', 'f'].map((message) => [message, hour] as const);
  const decisions = decide([...spent, ['g', 0], ['g', 1], ['g', 30_000]]);
  expect(decisions.slice(-4).map(([decision]) => decision)).toEqual(['drop', 'create', 'hold', 'count']);
  expect(
    decide([
      ['a', hour],
      ['a', 0],
    ]).map(([decision]) => decision),
  ).toEqual(['create', 'count']);
});
