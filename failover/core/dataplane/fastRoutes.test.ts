import { BlockList } from 'node:net';
import { describe, expect, test } from 'vitest';
import { formatAddress, makeAddress } from '../../../policy/address.ts';
import type { Family } from '../../../policy/model.ts';
import { decideFastRoutes, type FamilyFastRoutes, renderFastRoutes, type SeenRouting } from './fastRoutes.ts';
import type { ManagedName } from './kernelState.ts';

const OFF = { kind: 'off', reason: 'of no interest here' } as const;
const TUNNEL_ROUTES = [
  { table: '7777', dst: 'default', dev: 'egress0', flags: [] },
  { type: 'blackhole', table: '7778', dst: 'default', flags: [] },
];

interface Example {
  readonly name: string;
  readonly family: Family;
  readonly suffix: '' | '6';
  /** As the kernel has them, less our own. */
  readonly rules: readonly number[];
  readonly hop: string;
  readonly otherHop: string;
  readonly hopOfOtherFamily: string;
  readonly routes: SeenRouting['routes'];
  readonly outside: readonly string[];
  readonly detours: readonly (readonly [name: string, address: string])[];
  readonly everything: string;
  readonly firstOfMany: bigint;
}

const IPV4: Example = {
  name: 'IPv4',
  family: 4,
  suffix: '',
  rules: [0, 32_766, 32_767],
  hop: '203.0.113.1',
  otherHop: '203.0.113.2',
  hopOfOtherFamily: 'fe80::1',
  routes: [
    { dst: '203.0.113.0/24', dev: 'eth0', protocol: 'kernel', flags: [] },
    { dst: '10.244.22.0/24', gateway: '203.0.113.22', dev: 'eth0', flags: [] },
    { dst: '10.244.21.7', dev: 'cali1', flags: [] },
    { type: 'local', table: 'local', dst: '192.0.2.9', dev: 'lo', flags: [] },
  ],
  outside: ['198.51.100.10', '8.8.8.8', '203.0.114.0', '10.244.21.6', '223.255.255.255'],
  detours: [
    ['a host on the link', '203.0.113.77'],
    ['a pod of another node', '10.244.22.5'],
    ['a pod with a route of its own', '10.244.21.7'],
    ['an address of the node', '192.0.2.9'],
    ['the loopback network', '127.9.9.9'],
    ['a link-local address', '169.254.169.254'],
    ['a multicast group', '224.0.0.5'],
    ['the broadcast address', '255.255.255.255'],
  ],
  everything: '0.0.0.0-255.255.255.255',
  firstOfMany: 0x0b00_0000n,
};

/** The next hop as routers advertise it. */
const IPV6: Example = {
  name: 'IPv6',
  family: 6,
  suffix: '6',
  rules: [0, 32_766],
  hop: 'fe80::1',
  otherHop: 'fe80::2',
  hopOfOtherFamily: '203.0.113.1',
  routes: [
    { dst: '2001:db8::/64', dev: 'eth0', protocol: 'kernel', metric: 256, flags: [] },
    { dst: 'fd00:244:22::/64', gateway: '2001:db8::22', dev: 'eth0', metric: 1024, flags: [] },
    { dst: 'fd00:244:21::7', dev: 'cali1', metric: 1024, flags: [] },
    { dst: 'fe80::/64', dev: 'eth0', protocol: 'kernel', metric: 256, flags: [] },
    { type: 'local', table: 'local', dst: '::1', dev: 'lo', metric: 0, flags: [] },
    { type: 'local', table: 'local', dst: '2001:db8:9::9', dev: 'lo', metric: 0, flags: [] },
    { type: 'anycast', table: 'local', dst: '2001:db8::', dev: 'eth0', metric: 0, flags: [] },
    { type: 'multicast', table: 'local', dst: 'ff00::/8', dev: 'eth0', metric: 256, flags: [] },
  ],
  outside: ['2001:db8:51::10', '2001:db8:0:1::', '64:ff9b::808:808', 'fd00:244:21::6', 'fec0::1'],
  detours: [
    ['a host on the link', '2001:db8::77'],
    ['a pod of another node', 'fd00:244:22::5'],
    ['a pod with a route of its own', 'fd00:244:21::7'],
    ['an address of the node', '2001:db8:9::9'],
    ['the loopback address', '::1'],
    ['a link-local address', 'fe80:0:0:1::1'],
    ['a multicast group', 'ff0e::5'],
    ['an address of IPv4', '::ffff:7f00:1'],
  ],
  everything: '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
  firstOfMany: 0x2001_0db8_0100n << 80n,
};

describe.each([IPV4, IPV6])('$name', (example) => {
  const { family, suffix, hop, otherHop, outside, detours, everything } = example;
  const DEFAULT = { dst: 'default', gateway: hop, dev: 'eth0', metric: 100, flags: [] };
  const ROUTES = [DEFAULT, ...example.routes, ...TUNNEL_ROUTES];
  const RULES = [...example.rules, 76, 77].map((priority) => ({ priority }));
  const decide = (change: Partial<SeenRouting>): FamilyFastRoutes => {
    const seen = { family, routes: ROUTES, rules: RULES, uplink: 'eth0', uplinkMtu: 1500, familyMtu: 1500 };
    return decideFastRoutes({ ...seen, ...change });
  };
  const render = (fast: FamilyFastRoutes) =>
    new Map(renderFastRoutes(family === 4 ? { 4: fast, 6: OFF } : { 4: OFF, 6: fast }));
  const DETOURS: ManagedName = `inet detours${suffix}`;
  const NEXT_HOPS: ManagedName = `netdev next_hops${suffix}`;
  const isDetour = (fast: FamilyFastRoutes, address: string): boolean => {
    const list = new BlockList();
    for (const range of (render(fast).get(DETOURS) ?? new Map<string, string>()).keys()) {
      const [first = '', last = first] = range.split('-');
      list.addRange(first, last, `ipv${family}`);
    }
    return list.check(address, `ipv${family}`);
  };

  test('with one default route through the uplink its next hop takes all that no other route takes', () => {
    const fast = decide({});
    expect(fast).toMatchObject({ kind: 'on', nextHop: hop });
    expect(render(fast).get(NEXT_HOPS)).toEqual(new Map([['0', hop]]));
    for (const address of outside) expect(isDetour(fast, address), address).toBe(false);
  });

  test.each(detours)('%s is a detour', (_name, address) => {
    expect(isDetour(decide({}), address)).toBe(true);
  });

  test.each([
    { name: 'there is no default route', change: { routes: ROUTES.slice(1) } },
    { name: 'it leads through another device', change: { routes: [{ ...DEFAULT, dev: 'eth1' }] } },
    { name: 'it has no next hop', change: { routes: [{ dst: 'default', dev: 'eth0', flags: [] }] } },
    {
      name: 'it has several next hops',
      change: { routes: [{ dst: 'default', flags: [], nexthops: [{ gateway: hop, dev: 'eth0' }] }] },
    },
    {
      name: 'its next hop is of the other family',
      change: { routes: [{ ...DEFAULT, gateway: example.hopOfOtherFamily }] },
    },
    { name: 'it has an MTU of its own', change: { routes: [{ ...DEFAULT, metrics: [{ mtu: 1400 }] }] } },
    { name: 'the uplink carries less of the family', change: { familyMtu: 1400 } },
    { name: 'what the uplink carries of the family is not known', change: { familyMtu: Number.NaN } },
    { name: 'its link is down', change: { routes: [{ ...DEFAULT, flags: ['linkdown'] }] } },
    { name: 'another one is as good', change: { routes: [DEFAULT, { ...DEFAULT, gateway: otherHop }] } },
    {
      name: 'a route is for some sources only',
      change: { routes: [DEFAULT, { ...DEFAULT, metric: 200, from: hop }] },
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
            dst: formatAddress(makeAddress(family, example.firstOfMany + BigInt(index))),
          })),
        ],
      },
    },
  ])('nothing goes the fast way where $name', ({ change }) => {
    const fast = decide(change);
    expect(fast.kind).toBe('off');
    expect(render(fast).get(NEXT_HOPS)).toEqual(new Map());
    expect(isDetour(fast, outside[0] ?? '')).toBe(true);
  });

  test('of default routes the one of the least metric counts', () => {
    const worse = { ...DEFAULT, gateway: otherHop, metric: 200, dev: 'eth1' };
    expect(decide({ routes: [worse, DEFAULT] })).toMatchObject({ kind: 'on', nextHop: hop });
  });

  test('what is spelled for the kernel is the whole family where it is off', () => {
    expect(render(decide({ rules: [] })).get(DETOURS)).toEqual(new Map([[everything, '']]));
  });

  test('the other family being off takes nothing from it', () => {
    const both = render(decide({}));
    expect(both.get(NEXT_HOPS)?.size).toBe(1);
    expect(both.get(family === 4 ? 'netdev next_hops6' : 'netdev next_hops')).toEqual(new Map());
  });
});
