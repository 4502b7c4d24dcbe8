import { expect, test } from 'vitest';
import { makeCidr } from '../../../policy/cidr.ts';
import type { AddressRange } from '../../../policy/model.ts';
import { renderUnknown } from './renderUnknown.ts';

const networks = [makeCidr(4, 0x0af41500n, 24), makeCidr(6, 0xfd00n << 112n, 64)];
const everything: AddressRange = { family: 4, first: 0n, last: 0xffff_ffffn };
const some: AddressRange = { family: 4, first: 0x01000000n, last: 0x01ffffffn };
const rules = (...args: Parameters<typeof renderUnknown>): readonly string[] | undefined =>
  renderUnknown(...args).chains[0]?.[1];
const FIRST = ['ct status confirmed goto unruled', 'ip saddr != { 10.244.21.0-10.244.21.255 } goto unruled'];

test.each([
  { name: 'nothing is closed', unknown: { networks, awaited: [], closed: [] } },
  {
    name: 'the node has no pod network',
    unknown: { networks: [], awaited: [everything], closed: [everything] },
  },
  { name: 'nothing is said', unknown: undefined },
])('where $name nothing is held', ({ unknown }) => {
  expect(renderUnknown(unknown)).toEqual({ elements: [], chains: [] });
});

test('what some pod could be ruled by is held while nobody attends', () => {
  expect(rules({ networks, awaited: [], closed: [some] })).toEqual([
    ...FIRST,
    'meta nfproto @attended goto unruled',
    'ip daddr { 1.0.0.0-1.255.255.255 } goto hold',
    'goto unruled',
  ]);
});

test('where a pod is awaited it is held whoever attends', () => {
  expect(rules({ networks, awaited: [some], closed: [everything] })).toEqual([
    ...FIRST,
    'ip daddr { 1.0.0.0-1.255.255.255 } goto hold',
    'meta nfproto @attended goto unruled',
    'goto hold',
    'goto unruled',
  ]);
});

test('each family is found by an address of its own that nobody sends from', () => {
  const six: AddressRange = { family: 6, first: 0n, last: 7n };
  const { elements } = renderUnknown({ networks, awaited: [], closed: [everything, six] });
  expect(elements.map(([name, key]) => [name, key])).toEqual([
    ['inet pods', '0.0.0.0'],
    ['inet pods6', '::'],
  ]);
});
