import { expect, test } from 'vitest';
import { readStatus, type StatusObjects } from './clusterStatus.ts';

const NOTHING: StatusObjects = {
  egressIps: [],
  gatewayNodes: [],
  nodes: [],
  policies: { EgressPolicy: [], CiliumEgressGatewayPolicy: [] },
};
const GATEWAY = { 'sallyport.dev/gateway': '' };
const node = (change: { readonly metadata?: object; readonly spec?: object } = {}) => ({
  metadata: { name: 'gw-1', labels: GATEWAY, ...change.metadata },
  spec: change.spec ?? {},
});
const report = (healthy = 'True', holding = 1) => ({
  metadata: { name: 'gw-1' },
  status: {
    holding,
    capacity: 32,
    conditions: [
      { type: 'DataPlaneReady', status: 'True', message: 'fine' },
      { type: 'Healthy', status: healthy, message: 'eth0: no carrier' },
    ],
  },
});

test.each([
  { name: 'one that stays', node: node(), report: report(), leaves: undefined },
  {
    name: 'a drained one',
    node: node({ metadata: { annotations: { 'sallyport.dev/drain': 'true' } } }),
    report: report(),
    leaves: 'drained',
  },
  {
    name: 'a cordoned one',
    node: node({ spec: { unschedulable: true } }),
    report: report(),
    leaves: 'cordoned',
  },
  {
    name: 'one that the autoscaler deletes',
    node: node({ spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] } }),
    report: report(),
    leaves: 'tainted',
  },
  {
    name: 'an unhealthy one',
    node: node({ spec: { unschedulable: true } }),
    report: report('False'),
    leaves: 'unhealthy',
  },
  {
    name: 'one that lost its label',
    node: node({ metadata: { labels: {} } }),
    report: report(),
    leaves: 'not-allowed',
  },
])('of gateways, $name leaves for: $leaves', ({ node, report, leaves }) => {
  const { gateways } = readStatus({ ...NOTHING, nodes: [node], gatewayNodes: [report] });
  expect(gateways.map((it) => it.leaves)).toEqual([leaves]);
});

test('a node that is no gateway and holds nothing is not listed', () => {
  const bare = node({ metadata: { labels: {} } });
  expect(readStatus({ ...NOTHING, nodes: [bare], gatewayNodes: [report('True', 0)] }).gateways).toEqual([]);
});

test('a gateway from which nothing is heard says so', () => {
  expect(readStatus({ ...NOTHING, nodes: [node()] }).gateways).toMatchObject([
    { node: 'gw-1', ready: false, healthy: true, message: 'no agent reports from here' },
  ]);
});

test.each([
  { name: 'a healthy gateway', gateway: 'gw-1', healthy: 'True', expected: 'yes' },
  { name: 'an unhealthy gateway', gateway: 'gw-1', healthy: 'False', expected: 'no' },
  { name: 'nobody', gateway: undefined, healthy: 'True', expected: 'unknown' },
  { name: 'a gateway that no longer reports', gateway: 'gw-9', healthy: 'True', expected: 'unknown' },
])('an address that is answered by $name is healthy: $expected', ({ gateway, healthy, expected }) => {
  const egressIp = {
    metadata: { name: '203.0.113.10' },
    spec: { address: '203.0.113.10' },
    status: { gateway },
  };
  const status = readStatus({
    ...NOTHING,
    egressIps: [egressIp],
    nodes: [node()],
    gatewayNodes: [report(healthy)],
  });
  expect(status.egressIps).toMatchObject([{ address: '203.0.113.10', healthy: expected }]);
});

test('a policy tells the first condition that does not hold', () => {
  const conditions = [
    { type: 'Accepted', status: 'True', message: 'its own' },
    { type: 'Programmed', status: 'False', message: 'not yet' },
    { type: 'Available', status: 'False', message: 'no gateway' },
  ];
  const policy = { metadata: { name: 'p' }, status: { conditions, selectedPods: 3 } };
  const { policies } = readStatus({
    ...NOTHING,
    policies: { EgressPolicy: [policy, {}], CiliumEgressGatewayPolicy: [] },
  });
  expect(policies).toMatchObject([
    { name: '', accepted: 'Unknown', message: 'no controller has looked at it yet' },
    { name: 'p', accepted: 'True', programmed: 'False', pods: 3, message: 'not yet' },
  ]);
});
