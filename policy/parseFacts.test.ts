import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatAddress } from './address.ts';
import { formatCidr } from './cidr.ts';
import { parseGatewayNodeFacts, parseNode } from './parseFacts.ts';

test('a Node as the API server shows it', () => {
  const node = parseNode({
    metadata: { name: 'gw-1', labels: { 'sallyport.dev/gateway': 'true' } },
    spec: {
      podCIDRs: ['10.244.1.0/24', 'nonsense'],
      unschedulable: true,
      taints: [
        { key: 'dedicated', value: 'egress', effect: 'NoExecute' },
        { effect: 'NoSchedule' },
        'nonsense',
      ],
    },
    status: {
      addresses: [
        { type: 'InternalIP', address: '203.0.113.11' },
        { type: 'Hostname', address: 'gw-1' },
      ],
    },
  });
  expect(node).toMatchObject({
    name: 'gw-1',
    labels: { 'sallyport.dev/gateway': 'true' },
    unschedulable: true,
    drained: false,
    taints: [{ key: 'dedicated', effect: 'NoExecute' }],
  });
  expect(node?.addresses.map(formatAddress)).toEqual(['203.0.113.11']);
  expect(node?.podCidrs.map(formatCidr)).toEqual(['10.244.1.0/24']);
});

test.each([
  { name: 'true', annotations: { 'sallyport.dev/drain': 'true' }, drained: true },
  { name: 'false', annotations: { 'sallyport.dev/drain': 'false' }, drained: false },
  { name: 'nothing', annotations: { 'sallyport.dev/other': 'true' }, drained: false },
])('a Node whose drain annotation says $name', ({ annotations, drained }) => {
  expect(parseNode({ metadata: { name: 'gw-1', annotations } })?.drained).toBe(drained);
});

test('a GatewayNode as its agent writes it', () => {
  const facts = parseGatewayNodeFacts({
    metadata: { name: 'gw-1' },
    status: {
      interfaces: [{ name: 'eth0', addresses: ['203.0.113.11/24', 'fe80::1/64'] }],
      onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }],
    },
  });
  expect(facts?.addresses.map((it) => `${formatAddress(it.address)}@${it.interfaceName}`)).toEqual([
    '203.0.113.11@eth0',
    'fe80::1@eth0',
  ]);
  expect(facts?.onLink.map(({ cidr }) => formatCidr(cidr))).toEqual(['203.0.113.0/24']);
});

test('an egress IP that the agent holds is no address of the node', () => {
  const facts = parseGatewayNodeFacts({
    metadata: { name: 'gw-1' },
    status: {
      interfaces: [{ name: 'eth0', addresses: ['203.0.113.11/24', '203.0.113.10/32'] }],
      addresses: [{ address: '203.0.113.10', state: 'Answering', epoch: 1, session: 1, blocksVersion: 0 }],
    },
  });
  expect(facts?.addresses.map(({ address }) => formatAddress(address))).toEqual(['203.0.113.11']);
});

test('no object makes the readers throw, and one without a name is none', () => {
  expect(parseNode({ metadata: {} })).toBeUndefined();
  fc.assert(
    fc.property(fc.anything(), fc.anything(), (a, b) => {
      parseNode({ metadata: { name: 'n', labels: a, annotations: b }, spec: { taints: a }, status: a });
      parseGatewayNodeFacts({ metadata: { name: 'n' }, status: { interfaces: a, onLink: b } });
    }),
  );
});
