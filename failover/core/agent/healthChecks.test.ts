import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import { type HealthProbe, nextHopOf, planChecks } from './healthChecks.ts';

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
const node = { labels: {}, uplink: 'eth0', nextHop: '203.0.113.1' };
const ids = (...args: Parameters<typeof planChecks>) => planChecks(...args).map(({ id }) => id);

test('carrier and next hop are checked without any setting', () => {
  expect(planChecks({ probes: [], nextHopCheck: true }, node)).toMatchObject([
    { reason: 'NoCarrier', question: { kind: 'carrier', device: 'eth0' } },
    { reason: 'NextHopSilent', question: { kind: 'arp', address: '203.0.113.1' } },
  ]);
});

test('the next hop is left alone where it is switched off, or where there is none', () => {
  expect(ids({ probes: [], nextHopCheck: false }, node)).toEqual(['carrier eth0']);
  expect(ids({ probes: [], nextHopCheck: true }, { ...node, nextHop: undefined })).toEqual(['carrier eth0']);
});

test('another next hop is another check', () => {
  const [, one] = ids({ probes: [], nextHopCheck: true }, node);
  const [, other] = ids({ probes: [], nextHopCheck: true }, { ...node, nextHop: '203.0.113.2' });
  expect(one).not.toBe(other);
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
    question: { kind: 'http', address: '198.51.100.10', port: 8080, path: '/live' },
    intervalMs: 5000,
    timeoutMs: 2000,
    failures: 3,
    successes: 2,
  });
});

test.each([
  { name: 'the first on the uplink', hops: ['203.0.113.1 eth0', '203.0.113.2 eth0'], found: '203.0.113.1' },
  { name: 'none on another device', hops: ['198.51.100.1 eth1', '203.0.113.1 eth0'], found: '203.0.113.1' },
  { name: 'none of IPv6', hops: ['fe80::1 eth0'], found: undefined },
  { name: 'none where there is none', hops: [], found: undefined },
])('the next hop is $name', ({ hops, found }) => {
  const nextHops = hops.map((hop) => {
    const [address = '', interfaceName = ''] = hop.split(' ');
    return { address, interfaceName };
  });
  expect(nextHopOf({ nextHops }, 'eth0')).toBe(found);
});
