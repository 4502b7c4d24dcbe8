import { expect, test } from 'vitest';
import { EGRESS_FLAG, INDEX_MAX } from './marks.ts';
import { limitChain, parsePressed } from './portLimits.ts';

const range = (granules: number) => [{ first: 1024, last: 1023 + granules * 64 }];
const counted = (rules: readonly string[]): readonly number[] =>
  rules.flatMap((rule) => /ct count over (\d+)/.exec(rule)?.[1] ?? []).map(Number);

test.each([
  { name: 'one granule', granules: 1 },
  { name: 'what a node starts with', granules: 8 },
  { name: 'the most that is counted', granules: 128 },
])('of $name the kernel can say which address and how many ports it was', ({ granules }) => {
  const [, rules] = limitChain(4, range(granules)) ?? ['', []];
  const bits = Number(/set meta mark \| (\d+)/.exec(rules.join('\n'))?.[1]);
  for (const index of [1, INDEX_MAX]) {
    const mark = EGRESS_FLAG + index + bits;
    expect(parsePressed(mark)).toEqual({ index, ports: granules * 64 });
    // What the last rule leaves is the mark that came in.
    expect((BigInt(mark) & BigInt(EGRESS_FLAG | INDEX_MAX)) === BigInt(EGRESS_FLAG + index)).toBe(true);
  }
});

test('all ranges count together: more are asked for at three fifths, and none is given beyond the last', () => {
  const [, rules] = limitChain(6, [...range(8), { first: 4096, last: 4607 }]) ?? ['', []];
  expect(counted(rules)).toEqual([614, 1024]);
});

test('another number of ports is another chain, so that no element keeps an old limit', () => {
  const [few, more] = [8, 16].map((granules) => limitChain(4, range(granules)));
  expect(few?.[0]).not.toBe(more?.[0]);
  expect(few?.[1].join()).not.toContain(more?.[1][1]);
});

test('no ports, or more than are worth the walk, are not counted', () => {
  expect(limitChain(4, [])).toBeUndefined();
  expect(limitChain(4, range(129))).toBeUndefined();
});
