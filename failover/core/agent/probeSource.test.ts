import { expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../../policy/address.ts';
import type { Address } from '../../../policy/model.ts';
import { chooseProbeSource, chooseSolicitationSource, isLinkLocal, type OwnAddress } from './probeSource.ts';

const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};
/** `2001:db8::1/64`, or with ` dynamic`. */
const own = (text: string): OwnAddress => {
  const [, bare = '', prefix, dynamic] = /^([^/]+)\/(\d+)( dynamic)?$/.exec(text) ?? [];
  return { address: address(bare), prefix: Number(prefix), dynamic: dynamic !== undefined };
};
const NODE4 = '203.0.113.11';
const NODE6 = '2001:db8::11';

test.each([
  { name: 'no address of its family: none', target: '2001:db8::1', owned: ['203.0.113.11/24', 'fe80::1/64'] },
  { name: 'no address at all: none', target: '203.0.113.1', owned: [] },
  {
    name: 'of IPv4, what the node is known by',
    target: '10.0.0.1',
    owned: ['10.0.0.5/8', '203.0.113.11/24'],
    from: NODE4,
  },
  {
    name: 'of IPv6 where the network says nothing, what the node is known by',
    target: '2001:db8:51::1',
    owned: ['2001:db8::5/64', '2001:db8::11/64'],
    node: NODE6,
    from: NODE6,
  },
  {
    name: 'a global target from a global address, whatever the node is known by',
    target: '2001:db8:51::1',
    owned: ['fd00::11/64', '2001:db8:ffff::11/64'],
    node: 'fd00::11',
    from: '2001:db8:ffff::11',
  },
  {
    name: 'a unique local target from a unique local address',
    target: 'fd00:1::1',
    owned: ['2001:db8::11/64', 'fdff::11/64'],
    node: NODE6,
    from: 'fdff::11',
  },
  {
    name: 'of two networks the one that has more in common with the target',
    target: '2001:db8:51::1',
    owned: ['2001:db8:8000::11/64', '2001:db8:50::11/64'],
    from: '2001:db8:50::11',
  },
  {
    name: 'an address of a network before one that stands alone, however near that is',
    target: '2001:db8::1',
    owned: ['2001:db8::2/128', '2001:db8::ff:11/64 dynamic'],
    from: '2001:db8::ff:11',
  },
  {
    name: 'a configured address before a dynamic one',
    target: '2001:db8:51::1',
    owned: ['2001:db8::5/64 dynamic', '2001:db8::9/64'],
    from: '2001:db8::9',
  },
  {
    name: 'the lowest, in whichever order they are listed',
    target: '2001:db8:51::1',
    owned: ['2001:db8::9/64', '2001:db8::5/64'],
    from: '2001:db8::5',
  },
])('$name', ({ target, owned, node = NODE4, from }) => {
  for (const list of [owned, owned.toReversed()]) {
    const chosen = chooseProbeSource(address(target), list.map(own), address(node));
    expect(chosen === undefined ? undefined : formatAddress(chosen)).toBe(from);
  }
});

test('neighbours are asked from a link-local address and no other', () => {
  const sources = ['2001:db8::11/64', '169.254.0.1/16', 'fe80::9/64', 'fe80::5/64'].map(own);
  expect(chooseSolicitationSource(sources, address(NODE6))).toEqual(address('fe80::5'));
  expect(chooseSolicitationSource(sources.slice(0, 2), address(NODE6))).toBeUndefined();
});

test('link-local is fe80::/10 and nothing else', () => {
  const found = ['fe7f::1', 'fe80::', 'febf:ffff::1', 'fec0::1', '169.254.0.1'].filter((text) =>
    isLinkLocal(address(text)),
  );
  expect(found).toEqual(['fe80::', 'febf:ffff::1']);
});
