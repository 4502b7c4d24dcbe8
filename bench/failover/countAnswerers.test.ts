import { expect, test } from 'vitest';
import type { Answer } from '../../test/chaos/answerWatch.ts';
import { countAnswerers } from './countAnswerers.ts';

/** `1a 6a 11b`: milliseconds and who answered. */
function answersOf(text: string): readonly Answer[] {
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => ({ atMs: Number.parseFloat(word), node: word.replace(/[\d.]/g, '') }));
}

/** For each moment between two answers: who answered before it and goes on within 150 ms. */
function countSlowly(answers: readonly Answer[]): number {
  const nodes = [...new Set(answers.map(({ node }) => node))];
  const activeAt = (at: number, node: string): boolean => {
    if (answers[at]?.node === node) return true;
    const before = answers.slice(0, at).findLast((answer) => answer.node === node);
    const after = answers.slice(at).find((answer) => answer.node === node);
    return before !== undefined && after !== undefined && after.atMs - before.atMs < 150;
  };
  return Math.max(0, ...answers.map((_, at) => nodes.filter((node) => activeAt(at, node)).length));
}

const ROWS = [
  { name: 'nobody', text: '', most: 0 },
  { name: 'one owner', text: '0a 5a 10a', most: 1 },
  { name: 'a clean move', text: '0a 5a 300b 305b', most: 1 },
  { name: 'a move without a pause', text: '0a 5a 5b 10b', most: 1 },
  { name: 'the old owner answers once more', text: '0a 5a 6b 10a 11b', most: 2 },
  { name: 'a single announcement in between', text: '0a 5b 10a', most: 2 },
  { name: 'one that comes back after a silence', text: '0a 5a 100b 160a 165a', most: 1 },
  { name: 'three at once', text: '0a 5b 6c 10a 11b', most: 3 },
  { name: 'two, and then two others', text: '0a 5b 6a 300c 301d 302c', most: 2 },
] as const;

test.each(ROWS)('$name: $most at once', ({ text, most }) => {
  expect(countAnswerers(answersOf(text))).toBe(most);
});

test('counts as a slow count does, whatever the order', () => {
  let state = 7;
  const next = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
  for (let round = 0; round < 300; round += 1) {
    let atMs = 0;
    const answers = Array.from({ length: next(25) }, () => {
      atMs += next(90);
      return { atMs, node: ['a', 'b', 'c'][next(3)] ?? 'a' };
    });
    expect(countAnswerers(answers), JSON.stringify(answers)).toBe(countSlowly(answers));
  }
});
