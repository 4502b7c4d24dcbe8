import { expect, test } from 'vitest';
import { makeAddress, parseAddress } from '../../../policy/address.ts';
import { parseCidr } from '../../../policy/cidr.ts';
import type { Address } from '../../../policy/model.ts';
import { soleUplink } from '../uplinks.ts';
import { type CheckedNode, type HealthProbe, planChecks } from './healthChecks.ts';

const probe: HealthProbe = {
  name: 'web',
  method: { kind: 'http', port: 8080, path: '/live' },
  target: makeAddress(4, 0xc633640an),
  intervalMs: 5000,
  timeoutMs: 2000,
  failures: 3,
  successes: 2,
  nodes: { requirements: [] },
};
const fast: HealthProbe = {
  ...probe,
  name: 'fast',
  method: { kind: 'icmp' },
  nodes: { requirements: [{ key: 'class', operator: 'In', values: ['fast'] }] },
};
const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};
const hops = (...texts: readonly string[]) =>
  texts.map((text) => {
    const [hop = '', interfaceName = ''] = text.split(' ');
    return { address: hop, interfaceName };
  });
const own = (...texts: readonly string[]) =>
  texts.map((text) => {
    const [address = '', interfaceName = 'eth0'] = text.split(' ');
    return { address, prefix: 64, dynamic: false, interfaceName };
  });
const V4 = '203.0.113.11';
const V6 = '2001:db8::11';
const LINK_LOCAL = 'fe80::11';
const EGRESS4 = address('203.0.113.100');
const EGRESS6 = address('2001:db8::100');
const node: CheckedNode = {
  labels: {},
  uplink: 'eth0',
  address: address(V4),
  egressIps: [],
  observed: {
    nextHops: hops('203.0.113.1 eth0', 'fe80::1 eth0'),
    ownAddresses: own(V4, V6, LINK_LOCAL),
    uplinks: soleUplink('eth0'),
  },
};
const node6: CheckedNode = { ...node, address: address(V6) };
const withOwn = (...texts: readonly string[]): CheckedNode => ({
  ...node,
  observed: { ...node.observed, ownAddresses: own(...texts) },
});
const BARE = { probes: [], nextHopCheck: true };
const ids = (...args: Parameters<typeof planChecks>) => planChecks(...args).map(({ id }) => id);

test('carrier and next hop are checked without any setting', () => {
  expect(planChecks(BARE, node)).toMatchObject([
    { reason: 'NoCarrier', question: { kind: 'carrier', device: 'eth0' } },
    { reason: 'NextHopSilent', question: { kind: 'arp', address: '203.0.113.1', from: V4 } },
  ]);
});

test('the next hop is left alone where it is switched off, or where there is none', () => {
  expect(ids({ probes: [], nextHopCheck: false }, node)).toEqual(['carrier eth0']);
  expect(ids(BARE, { ...node, observed: { ...node.observed, nextHops: [] } })).toEqual(['carrier eth0']);
});

test('another next hop is another check', () => {
  const [, one] = ids(BARE, node);
  const nextHops = hops('203.0.113.2 eth0');
  const [, other] = ids(BARE, { ...node, observed: { ...node.observed, nextHops } });
  expect(one).not.toBe(other);
});

const NEXT4 = 'next-hop 203.0.113.1';
const NEXT6 = 'next-hop fe80::1';
test.each([
  { name: 'nothing is to be forwarded', egressIps: [], on4: [NEXT4], on6: [NEXT6] },
  { name: 'there is an egress IP of IPv4', egressIps: [EGRESS4], on4: [NEXT4], on6: [NEXT4, NEXT6] },
  { name: 'there is an egress IP of IPv6', egressIps: [EGRESS6], on4: [NEXT4, NEXT6], on6: [NEXT6] },
  { name: 'there are both', egressIps: [EGRESS4, EGRESS6], on4: [NEXT4, NEXT6], on6: [NEXT4, NEXT6] },
])('a next hop is asked where its family is needed: $name', ({ egressIps, on4, on6 }) => {
  expect(ids(BARE, { ...node, egressIps })).toEqual(['carrier eth0', ...on4]);
  expect(ids(BARE, { ...node6, egressIps })).toEqual(['carrier eth0', ...on6]);
});

test.each([
  {
    name: 'the first on the uplink',
    nextHops: hops('203.0.113.1 eth0', '203.0.113.2 eth0', 'fe80::2 eth0', 'fe80::1 eth0'),
    asked: [NEXT4, 'next-hop fe80::2'],
  },
  {
    name: 'none on another device',
    nextHops: hops('198.51.100.1 eth1', 'fe80::2 eth1', 'fe80::1 eth0', '203.0.113.1 eth0'),
    asked: [NEXT4, NEXT6],
  },
  { name: 'none of a family that has none', nextHops: hops('203.0.113.1 eth0'), asked: [NEXT4] },
])('of each family it is $name', ({ nextHops, asked }) => {
  const observed = { ...node.observed, nextHops };
  expect(ids(BARE, { ...node, egressIps: [EGRESS6], observed }).slice(1)).toEqual(asked);
});

test.each(['fe80::1', '2001:db8::1'])('neighbour discovery asks %s from the link-local address', (hop) => {
  const observed = { ...node.observed, nextHops: hops(`${hop} eth0`) };
  expect(planChecks(BARE, { ...node6, observed })[1]?.question).toEqual({
    kind: 'nd',
    device: 'eth0',
    address: hop,
    from: LINK_LOCAL,
  });
});

test('a next hop that there is nothing to ask from is a check that cannot be made', () => {
  const on = { ...withOwn(V6), address: address(V6), egressIps: [EGRESS4] };
  expect(planChecks(BARE, on).map(({ question }) => question)).toMatchObject([
    { kind: 'carrier' },
    { kind: 'unaskable', why: 'this node has no IPv4 address of its own on eth0 to ask from' },
    { kind: 'unaskable', why: 'this node has no link-local address of its own on eth0 to ask from' },
  ]);
});

const network = (text: string) => {
  const found = parseCidr(text);
  if (found.kind !== 'ok') throw new Error(text);
  return found.value;
};
/** Its second card's networks are those of 192.0.2.0 and 2001:db8:2::. */
const twoCards: CheckedNode = {
  ...node,
  observed: {
    nextHops: hops('203.0.113.1 eth0', '192.0.2.1 eth1', 'fe80::2 eth1'),
    ownAddresses: own(V4, V6, LINK_LOCAL, '192.0.2.11 eth1', 'fe80::12 eth1'),
    uplinks: [
      { device: 'eth0', networks: [network('203.0.113.0/24')] },
      { device: 'eth1', networks: ['192.0.2.0/24', '2001:db8:2::/64'].map(network) },
    ],
  },
};

test.each([
  { name: 'nothing lies there', egressIps: ['203.0.113.100'], more: [] },
  {
    name: 'an IPv4 one does',
    egressIps: ['192.0.2.100'],
    more: ['carrier eth1', 'next-hop 192.0.2.1 on eth1'],
  },
  {
    name: 'one of each family does',
    egressIps: ['192.0.2.100', '2001:db8:2::100'],
    more: ['carrier eth1', 'next-hop 192.0.2.1 on eth1', 'next-hop fe80::2 on eth1'],
  },
])('a second card is checked while an egress IP lies there: $name', ({ egressIps, more }) => {
  const on = { ...twoCards, egressIps: egressIps.map(address) };
  expect(ids(BARE, on)).toEqual(['carrier eth0', NEXT4, ...more]);
});

test('the second next hop is asked on its own card, from an address there, and named with it', () => {
  const on = { ...twoCards, egressIps: ['192.0.2.100', '2001:db8:2::100'].map(address) };
  expect(planChecks(BARE, on).slice(2)).toMatchObject([
    { subject: 'the uplink eth1', question: { kind: 'carrier', device: 'eth1' } },
    {
      subject: 'the next hop 192.0.2.1 on eth1',
      question: { kind: 'arp', device: 'eth1', address: '192.0.2.1', from: '192.0.2.11' },
    },
    { question: { kind: 'nd', device: 'eth1', address: 'fe80::2', from: 'fe80::12' } },
  ]);
});

test('a probe is for the gateways whose labels it asks for', () => {
  const settings = { probes: [probe, fast], nextHopCheck: false };
  expect(ids(settings, node)).toEqual(['carrier eth0', 'probe web']);
  expect(ids(settings, { ...node, labels: { class: 'fast' } })).toEqual([
    'carrier eth0',
    'probe web',
    'probe fast',
  ]);
});

test('a probe is asked as it was written, at its own pace', () => {
  expect(planChecks({ probes: [probe], nextHopCheck: false }, node)[1]).toEqual({
    id: 'probe web',
    reason: 'ProbeFailed',
    subject: 'the probe web (http 198.51.100.10:8080)',
    question: { kind: 'http', address: '198.51.100.10', from: V4, port: 8080, path: '/live' },
    intervalMs: 5000,
    timeoutMs: 2000,
    failures: 3,
    successes: 2,
  });
});

const probe6: HealthProbe = { ...probe, target: address('2001:db8:51::10') };
const asked = (at: CheckedNode) => planChecks({ probes: [probe6], nextHopCheck: false }, at)[1];

test('a probe of IPv6 leaves from the address of its family, on nodes of either', () => {
  const expected = {
    subject: 'the probe web (http [2001:db8:51::10]:8080)',
    question: { address: '2001:db8:51::10', from: V6 },
  };
  for (const at of [node, node6]) expect(asked(at)).toMatchObject(expected);
});

test('a probe of a family that the node has no address of cannot be made, and stays the same check', () => {
  expect(asked(withOwn(V4, LINK_LOCAL))).toMatchObject({
    id: asked(node)?.id,
    question: { kind: 'unaskable', why: 'this node has no IPv6 address of its own on eth0 to ask from' },
  });
});

test('nothing is asked from an egress IP, also where somebody put it on the uplink', () => {
  const at = withOwn(V4, '2001:db8::100', '203.0.113.100');
  expect(asked({ ...at, egressIps: [EGRESS6] })?.question.kind).toBe('unaskable');
  expect(asked(at)?.question).toMatchObject({ from: '2001:db8::100' });
});
