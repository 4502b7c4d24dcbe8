import { expect, test } from 'vitest';
import { formatAddress, makeAddress } from '../../../policy/address.ts';
import { decideFastRoutes, renderFastRoutes } from './fastRoutes.ts';

const RULES = [0, 76, 77, 32_766, 32_767].map((priority) => ({ priority }));
const DEFAULT = { dst: 'default', gateway: '203.0.113.1', dev: 'eth0', metric: 100, flags: [] };
const ROUTES = [
  DEFAULT,
  { dst: '203.0.113.0/24', dev: 'eth0', protocol: 'kernel', flags: [] },
  { dst: '10.244.22.0/24', gateway: '203.0.113.22', dev: 'eth0', flags: [] },
  { dst: '10.244.21.7', dev: 'cali1', flags: [] },
  { type: 'local', table: 'local', dst: '192.0.2.9', dev: 'lo', flags: [] },
  { table: '7777', dst: 'default', dev: 'egress0', flags: [] },
  { type: 'blackhole', table: '7778', dst: 'default', flags: [] },
];

const decide = (change: Partial<Parameters<typeof decideFastRoutes>[0]>) =>
  decideFastRoutes({ routes: ROUTES, rules: RULES, uplink: 'eth0', uplinkMtu: 1500, ...change });
const isDetour = (fast: ReturnType<typeof decide>, address: string): boolean => {
  const detours = new Map(renderFastRoutes(fast)).get('inet detours') ?? new Map<string, string>();
  const value = BigInt(address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0));
  const number = (text: string): bigint =>
    BigInt(text.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0));
  return [...detours.keys()].some((range) => {
    const [first = '', last = first] = range.split('-');
    return number(first) <= value && value <= number(last);
  });
};

test('with one default route through the uplink its next hop takes all that no other route takes', () => {
  const fast = decide({});
  expect(fast).toMatchObject({ kind: 'on', nextHop: '203.0.113.1' });
  expect(new Map(renderFastRoutes(fast)).get('netdev next_hops')).toEqual(new Map([['0', '203.0.113.1']]));
  for (const outside of ['198.51.100.10', '8.8.8.8', '203.0.114.0', '10.244.21.6', '223.255.255.255'])
    expect(isDetour(fast, outside), outside).toBe(false);
});

test.each([
  { name: 'a host on the link', address: '203.0.113.77' },
  { name: 'a pod of another node', address: '10.244.22.5' },
  { name: 'a pod with a route of its own', address: '10.244.21.7' },
  { name: 'an address of the node', address: '192.0.2.9' },
  { name: 'the loopback network', address: '127.9.9.9' },
  { name: 'a link-local address', address: '169.254.169.254' },
  { name: 'a multicast group', address: '224.0.0.5' },
  { name: 'the broadcast address', address: '255.255.255.255' },
])('$name is a detour', ({ address }) => {
  expect(isDetour(decide({}), address)).toBe(true);
});

test.each([
  { name: 'there is no default route', change: { routes: ROUTES.slice(1) } },
  { name: 'it leads through another device', change: { routes: [{ ...DEFAULT, dev: 'eth1' }] } },
  { name: 'it has no next hop', change: { routes: [{ dst: 'default', dev: 'eth0', flags: [] }] } },
  {
    name: 'it has several next hops',
    change: { routes: [{ dst: 'default', flags: [], nexthops: [{ gateway: '203.0.113.1', dev: 'eth0' }] }] },
  },
  { name: 'its next hop is of IPv6', change: { routes: [{ ...DEFAULT, gateway: 'fe80::1' }] } },
  { name: 'it has an MTU of its own', change: { routes: [{ ...DEFAULT, metrics: [{ mtu: 1400 }] }] } },
  { name: 'its link is down', change: { routes: [{ ...DEFAULT, flags: ['linkdown'] }] } },
  {
    name: 'another one is as good',
    change: { routes: [DEFAULT, { ...DEFAULT, gateway: '203.0.113.2' }] },
  },
  { name: 'a rule of somebody else may choose', change: { rules: [...RULES, { priority: 100 }] } },
  { name: 'the rules cannot be read', change: { rules: [] } },
  { name: 'a route cannot be read', change: { routes: [DEFAULT, { dst: 'what', dev: 'eth0' }] } },
  {
    name: 'there are too many routes',
    change: {
      routes: [
        DEFAULT,
        ...Array.from({ length: 4097 }, (_, index) => ({
          dst: formatAddress(makeAddress(4, 0x0b00_0000n + BigInt(index))),
        })),
      ],
    },
  },
])('nothing goes the fast way where $name', ({ change }) => {
  const fast = decide(change);
  expect(fast.kind).toBe('off');
  expect(new Map(renderFastRoutes(fast)).get('netdev next_hops')).toEqual(new Map());
  expect(isDetour(fast, '198.51.100.10')).toBe(true);
});

test('of default routes the one of the least metric counts', () => {
  const worse = { ...DEFAULT, gateway: '203.0.113.2', metric: 200, dev: 'eth1' };
  expect(decide({ routes: [worse, DEFAULT] })).toMatchObject({ kind: 'on', nextHop: '203.0.113.1' });
});

test('what is spelled for the kernel is the whole of IPv4 where it is off', () => {
  expect(new Map(renderFastRoutes(decide({ rules: [] }))).get('inet detours')).toEqual(
    new Map([['0.0.0.0-255.255.255.255', '']]),
  );
});
