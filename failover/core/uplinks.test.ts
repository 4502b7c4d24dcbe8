import { expect, test } from 'vitest';
import { parseAddress } from '../../policy/address.ts';
import { formatCidr, parseCidr } from '../../policy/cidr.ts';
import type { Cidr } from '../../policy/model.ts';
import { chooseUplinks, deviceOf, sameUplinks, soleUplink, type Uplinks, uplinkOf } from './uplinks.ts';

const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};
const address = (text: string) => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};
/** `eth0 203.0.113.0/24 …`: a device and its subnets. */
const place = (text: string) => {
  const [device = '', ...networks] = text.split(' ');
  return { device, networks: networks.map(cidr) };
};
const hop = (text: string) => {
  const [device = '', family] = text.split(' ');
  return { device, family: family === '6' ? 6 : 4 } as const;
};
const shown = (uplinks: Uplinks): readonly string[] =>
  uplinks.map(({ device, networks }) => [device, ...networks.map(formatCidr)].join(' '));

test.each([
  {
    name: 'one card',
    hops: ['eth0 4'],
    places: ['eth0 203.0.113.0/24 2001:db8::/64'],
    uplinks: ['eth0 203.0.113.0/24 2001:db8::/64'],
  },
  {
    name: 'one card without any default route',
    hops: [],
    places: ['eth0 203.0.113.0/24'],
    uplinks: ['eth0 203.0.113.0/24'],
  },
  {
    name: 'the outside on the second card',
    hops: ['eth1 4'],
    places: ['eth0 10.0.0.0/24', 'eth1 192.0.2.0/24 2001:db8:2::/64'],
    uplinks: ['eth0 10.0.0.0/24', 'eth1 192.0.2.0/24'],
  },
  {
    name: 'a next hop of a family that the card has no subnet of',
    hops: ['eth0 4', 'eth1 6'],
    places: ['eth0 203.0.113.0/24', 'eth1 192.0.2.0/24'],
    uplinks: ['eth0 203.0.113.0/24'],
  },
  {
    name: 'a device that has a next hop and no neighbours',
    hops: ['eth0 4', 'tun0 4'],
    places: ['eth0 203.0.113.0/24', 'tun0'],
    uplinks: ['eth0 203.0.113.0/24'],
  },
  {
    name: 'more than there is room for: the first by name',
    hops: ['eth3 4', 'eth2 4', 'eth1 4'],
    places: ['eth3 10.3.0.0/24', 'eth2 10.2.0.0/24', 'eth1 10.1.0.0/24', 'eth0 10.0.0.0/24'],
    uplinks: ['eth0 10.0.0.0/24', 'eth1 10.1.0.0/24', 'eth2 10.2.0.0/24'],
  },
])('uplinks are devices that lead outside, the own first: $name', ({ hops, places, uplinks }) => {
  expect(shown(chooseUplinks('eth0', { hops: hops.map(hop), places: places.map(place) }))).toEqual(uplinks);
});

const TWO: Uplinks = [
  place('eth0 203.0.113.0/24 10.0.0.0/8 2001:db8::/64'),
  place('eth1 192.0.2.0/24 10.1.0.0/16 203.0.113.0/24 2001:db8:2::/64'),
];
test.each([
  { name: 'the subnet that holds it', of: '192.0.2.100', device: 'eth1' },
  { name: 'of IPv6 too', of: '2001:db8:2::100', device: 'eth1' },
  { name: 'no subnet holds it: the own', of: '198.51.100.1', device: 'eth0' },
  { name: 'the smaller of two', of: '10.1.2.3', device: 'eth1' },
  { name: 'the larger, where the smaller does not hold it', of: '10.2.2.3', device: 'eth0' },
  { name: 'the same subnet on both: the own', of: '203.0.113.9', device: 'eth0' },
])('an egress IP lies on one uplink: $name', ({ of, device }) => {
  expect(deviceOf(address(of), TWO)).toBe(device);
  expect(TWO[uplinkOf(address(of), TWO)]?.device).toBe(device);
});

test('with one uplink everything lies there', () => {
  expect(deviceOf(address('192.0.2.1'), soleUplink('bond0'))).toBe('bond0');
});

test('uplinks are the same where devices and subnets are, in their order', () => {
  const [own, other] = TWO;
  expect(sameUplinks(TWO, [{ ...own }, ...TWO.slice(1)])).toBe(true);
  expect(sameUplinks(TWO, [own])).toBe(false);
  expect(sameUplinks(TWO, [own, { ...own, ...other, networks: [] }])).toBe(false);
  expect(sameUplinks([own], [{ ...own, device: 'eth9' }])).toBe(false);
});
