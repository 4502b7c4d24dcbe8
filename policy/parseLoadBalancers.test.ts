import { expect, test } from 'vitest';
import { formatRange } from './cidr.ts';
import {
  parseCiliumLoadBalancerIpPool,
  parseIpAddressPool,
  parseServiceAddresses,
} from './parseLoadBalancers.ts';

const metalLb = (...addresses: readonly unknown[]) =>
  parseIpAddressPool({ metadata: { namespace: 'm', name: 'p' }, spec: { addresses } }).map(({ range }) =>
    formatRange(range),
  );

test.each([
  { name: 'a prefix', text: '192.0.2.0/24', range: '192.0.2.0-192.0.2.255' },
  {
    name: 'a prefix with host bits, as its owner reads it',
    text: '192.0.2.7/24',
    range: '192.0.2.0-192.0.2.255',
  },
  { name: 'a range', text: '192.0.2.1-192.0.2.9', range: '192.0.2.1-192.0.2.9' },
  { name: 'a range with spaces', text: '192.0.2.1 - 192.0.2.9', range: '192.0.2.1-192.0.2.9' },
  { name: 'IPv6 in capitals', text: '2001:DB8::/127', range: '2001:db8::-2001:db8::1' },
])('$name is read', ({ text, range }) => {
  expect(metalLb(text)).toEqual([range]);
});

test.each([
  '',
  'x',
  '192.0.2.0/33',
  '192.0.2.9-192.0.2.1',
  '192.0.2.1-2001:db8::1',
  '010.0.0.1/32',
  '1-2-3',
  7,
])('%j is left out', (text) => {
  expect(metalLb(text)).toEqual([]);
});

test("a pool of Cilium's is read in both forms, and one address is a block too", () => {
  const spec = {
    blocks: [{ cidr: '192.0.2.0/31' }, { start: '192.0.2.8', stop: '192.0.2.9' }, { start: '192.0.2.20' }],
  };
  const ranges = parseCiliumLoadBalancerIpPool({ metadata: { name: 'p' }, spec });
  expect(ranges.map(({ range }) => formatRange(range))).toEqual([
    '192.0.2.0-192.0.2.1',
    '192.0.2.8-192.0.2.9',
    '192.0.2.20',
  ]);
  expect(ranges[0]).toMatchObject({ owner: 'CiliumLoadBalancerIPPool p', text: '192.0.2.0/31' });
});

test('of Services only those with a load balancer count, with what they have and what they ask for', () => {
  const service = (type: string) => ({
    metadata: { namespace: 'shop', name: 'front' },
    spec: { type, loadBalancerIP: '192.0.2.1', externalIPs: ['192.0.2.2'] },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }, { hostname: 'x' }, { ip: '2001:db8::1' }] } },
  });
  expect(parseServiceAddresses(service('LoadBalancer')).map(({ text }) => text)).toEqual([
    '192.0.2.1',
    '2001:db8::1',
    '192.0.2.2',
  ]);
  expect(parseServiceAddresses(service('NodePort'))).toEqual([]);
});
