import { expect, test } from 'vitest';
import { UNKNOWN_FACTS } from '../../policy/facts.ts';
import { createFactIndex, type FactIndex } from '../../policy/index/factIndex.ts';
import type { Policy } from '../../policy/model.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { decideBySight, RIVALS_MAX, rivalsOf } from './rivals.ts';

const EVERYTHING = { family: 4, first: 0n, last: 2n ** 32n - 1n } as const;

function policy(
  name: string,
  entries: readonly object[],
  {
    app = name,
    ...metadata
  }: { readonly uid?: string; readonly generation?: number; readonly app?: string } = {},
): Policy {
  const parsed = parsePolicy(
    {
      metadata: { name, uid: `uid-${name}`, generation: 1, ...metadata },
      spec: {
        selectors: [{ matchLabels: { app } }],
        destinationCIDRs: ['0.0.0.0/0'],
        egressGateway: { ippools: entries },
      },
    },
    'EgressPolicy',
  );
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
}
const cidr = (text: string, shared = false) => ({ cidr: text, ...(shared ? { shared } : {}) });
const indexOf = (...policies: readonly Policy[]): FactIndex =>
  createFactIndex({ ...UNKNOWN_FACTS, policies });
const mine = policy('mine', [cidr('203.0.113.8/30'), cidr('203.0.113.16/32', true)]);

test('rivals conflict by an entry or have the same selectors, each once; not oneself, not who shares', () => {
  const both = policy('both', [cidr('203.0.113.8/32'), cidr('203.0.113.9/32')]);
  const shares = policy('shares', [cidr('203.0.113.16/32', true)]);
  const far = policy('far', [cidr('203.0.113.12/32')]);
  const alike = policy('alike', [cidr('203.0.113.13/32')], { app: 'mine' });
  const found = rivalsOf(mine, indexOf(both, shares, far, alike, mine));
  expect(found.map(({ ref }) => ref.name).toSorted()).toEqual(['alike', 'both']);
});

test('with more rivals than can be looked at none is', () => {
  const wide = policy('wide', [cidr('203.0.113.0/24')]);
  const many = (count: number) =>
    indexOf(...Array.from({ length: count }, (_, i) => policy(`p-${i}`, [cidr(`203.0.113.${i}/32`)])));
  expect(rivalsOf(wide, many(RIVALS_MAX))).toHaveLength(RIVALS_MAX);
  expect(rivalsOf(wide, many(RIVALS_MAX + 1))).toEqual([]);
});

const poolsIn = (index: FactIndex): readonly string[] =>
  index.policies.pools.overlapping(EVERYTHING).map(({ entry }) => entry.text);

test.each([
  { name: 'was not seen', found: undefined, during: undefined },
  { name: 'is as it was', found: policy('theirs', [cidr('203.0.113.8/32')]), during: undefined },
  { name: 'is gone', found: 'gone', during: ['203.0.113.12/32'] },
  {
    name: 'was changed',
    found: policy('theirs', [cidr('203.0.113.20/32')], { generation: 2 }),
    during: ['203.0.113.12/32', '203.0.113.20/32'],
  },
  {
    name: 'was deleted and made anew',
    found: policy('theirs', [cidr('203.0.113.21/32')], { uid: 'another' }),
    during: ['203.0.113.12/32', '203.0.113.21/32'],
  },
] as const)('a rival that $name: what the index has while it is judged', ({ found, during }) => {
  const theirs = policy('theirs', [cidr('203.0.113.8/32')]);
  const index = indexOf(theirs, policy('other', [cidr('203.0.113.12/32')]));
  const before = poolsIn(index);
  const sightings = new Map(found === undefined ? [] : [[theirs.ref, found]]);
  expect(decideBySight(index, { rivals: [theirs], sightings }, () => poolsIn(index))).toEqual(during);
  expect(poolsIn(index)).toEqual(before);
});

test('a rival that the index lost by itself meanwhile is not brought back', () => {
  const theirs = policy('theirs', [cidr('203.0.113.8/32')]);
  const index = indexOf(theirs);
  index.remove('policies', theirs);
  const sightings = new Map([[theirs.ref, 'gone' as const]]);
  expect(decideBySight(index, { rivals: [theirs], sightings }, () => 'judged')).toBeUndefined();
  expect(poolsIn(index)).toEqual([]);
});

test('the index is as it was even where judging throws', () => {
  const theirs = policy('theirs', [cidr('203.0.113.8/32')]);
  const index = indexOf(theirs);
  const sightings = new Map([[theirs.ref, 'gone' as const]]);
  const fail = (): never => {
    throw new Error('a broken rule');
  };
  expect(() => decideBySight(index, { rivals: [theirs], sightings }, fail)).toThrow('a broken rule');
  expect(poolsIn(index)).toEqual(['203.0.113.8/32']);
});
