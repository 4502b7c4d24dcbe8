import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import { hostCidr, makeCidr } from '../../../policy/cidr.ts';
import type { AddressRange } from '../../../policy/model.ts';
import { renderBootRuleset } from './bootRuleset.ts';

const networks = [makeCidr(4, 0x0af41500n, 24), makeCidr(6, 0xfd00n << 112n, 64)];
const direct = [makeCidr(4, 0x0af40000n, 16), hostCidr(makeAddress(4, 0xcb007115n))];
const closed: readonly AddressRange[] = [
  { family: 4, first: 0n, last: 0x7fff_ffffn },
  { family: 6, first: 0n, last: 15n },
];

test('new connections of the node’s own pods are held where policies ruled, but for what is never touched', () => {
  const text = renderBootRuleset({ direct, unknownPods: { networks, closed, awaited: [] } });
  expect(text.split('\n').filter((line) => line.endsWith('counter drop'))).toEqual([
    '    ip saddr { 10.244.21.0-10.244.21.255 } ip daddr != { 10.244.0.0-10.244.255.255, 203.0.113.21 } ip daddr { 0.0.0.0-127.255.255.255 } counter drop',
    '    ip6 saddr { fd00::-fd00::ffff:ffff:ffff:ffff } ip6 daddr { ::-::f } counter drop',
  ]);
  expect(text).toContain('ct status confirmed return');
});

test.each([
  { name: 'nothing is closed', unknownPods: { networks, closed: [], awaited: closed } },
  { name: 'the node has no pod network', unknownPods: { networks: [], closed, awaited: [] } },
])('where $name there is nothing to load', ({ unknownPods }) => {
  expect(renderBootRuleset({ direct, unknownPods })).toBe('');
});
