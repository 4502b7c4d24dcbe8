import { describe, expect, test } from 'vitest';
import { factCollections } from '../../kube/factSources.ts';
import { createInterner } from '../../kube/internLabels.ts';
import { FACT_COLLECTIONS } from './factCollections.ts';
import { type FactLists, readFactLists, renderFacts } from './factsDocument.ts';
import { factsOf } from './factsOf.ts';

const READERS = factCollections(createInterner());
const factsFrom = (lists: FactLists) => factsOf(lists, READERS, { routable: [], networks: [] });

const spec = {
  selectors: [{ matchLabels: { app: 'x' } }],
  destinationCIDRs: ['0.0.0.0/0'],
  egressGateway: { ippools: [{ cidr: '203.0.113.10/32' }], egressIP: '203.0.113.9' },
};
const { egressIP: _, ...egressGateway } = spec.egressGateway;
const ours = { ...spec, egressGateway };
const noise = {
  managedFields: [{ manager: 'kubectl' }],
  resourceVersion: '7',
  annotations: {
    'sallyport.dev/drain': 'true',
    'kubectl.kubernetes.io/last-applied-configuration': 'a secret',
  },
};
const stamped = { uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z', ...noise };

/** An object of each collection, as the API server has it. */
const OBJECTS: Readonly<Record<string, unknown>> = {
  '/api/v1/nodes': {
    metadata: { name: 'gw-1', labels: { 'sallyport.dev/gateway': '' }, ...noise },
    spec: { podCIDRs: ['10.244.1.0/24'], taints: [{ key: 'a', effect: 'NoSchedule' }], unschedulable: true },
    status: {
      addresses: [{ type: 'InternalIP', address: '203.0.113.11' }],
      conditions: [{ type: 'Ready', status: 'True' }],
      images: [{ names: ['a-private-registry/app'] }],
    },
  },
  '/apis/sallyport.dev/v1alpha1/gatewaynodes': {
    metadata: { name: 'gw-1', ...noise },
    status: {
      interfaces: [{ name: 'eth0', addresses: ['203.0.113.11/24'] }],
      onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }],
      nextHops: [{ address: '203.0.113.1', interfaceName: 'eth0' }],
      capacity: 9,
      demand: [{ address: '203.0.113.10', ports: 64 }],
    },
  },
  '/apis/sallyport.dev/v1alpha1/egresspolicies': { metadata: { name: 'p', ...stamped }, spec: ours },
  '/apis/cilium.io/v1alpha1/ciliumegressgatewaypolicies': { metadata: { name: 'q', ...stamped }, spec: ours },
  '/apis/sallyport.dev/v1alpha1/egressips': {
    metadata: { name: '203.0.113.10', ...noise },
    spec: { address: '203.0.113.10', policies: [{ uid: 'u' }], blocks: [{ node: 'worker-1' }] },
  },
  '/api/v1/namespaces': { metadata: { name: 'shop', labels: { team: 'x' }, ...noise } },
  '/api/v1/pods': {
    metadata: { namespace: 'shop', name: 'front', labels: { app: 'x' }, ...noise },
    spec: { nodeName: 'worker-1', containers: [{ env: [{ name: 'PASSWORD', value: 'a secret' }] }] },
    status: { phase: 'Running' },
  },
  '/apis/networking.k8s.io/v1/servicecidrs': {
    metadata: { name: 'kubernetes' },
    spec: { cidrs: ['10.96.0.0/16'] },
  },
  '/api/v1/services': {
    metadata: { namespace: 'shop', name: 'front', ...noise },
    spec: { type: 'LoadBalancer', loadBalancerIP: '203.0.113.231', externalIPs: ['203.0.113.232'] },
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.230' }] } },
  },
  '/apis/metallb.io/v1beta1/ipaddresspools': {
    metadata: { namespace: 'metallb', name: 'main', ...noise },
    spec: { addresses: ['203.0.113.240-203.0.113.249'] },
  },
  '/apis/cilium.io/v2/ciliumloadbalancerippools': {
    metadata: { name: 'new', ...noise },
    spec: { blocks: [{ start: '203.0.113.20', stop: '203.0.113.29' }] },
  },
  '/apis/cilium.io/v2alpha1/ciliumloadbalancerippools': {
    metadata: { name: 'old', ...noise },
    spec: { cidrs: [{ cidr: '203.0.113.32/28' }] },
  },
  '/apis/cilium.io/v2/ciliumegressgatewaypolicies': { metadata: { name: 'theirs', ...noise }, spec },
};
const LISTS: FactLists = new Map(Object.entries(OBJECTS).map(([path, raw]) => [path, [raw]]));

test('every collection that the webhook watches is written, has an object here, and is read into its source', () => {
  const paths = READERS.map(({ path }) => path).toSorted();
  expect(FACT_COLLECTIONS.map(({ path }) => path).toSorted()).toEqual(paths);
  expect(Object.keys(OBJECTS).toSorted()).toEqual(paths);
  for (const { path, read } of READERS) expect([path, read(OBJECTS[path]).length > 0]).toEqual([path, true]);
});

describe('what `facts` writes', () => {
  const written = renderFacts(LISTS);

  test('makes the same facts as the objects themselves', () => {
    expect(factsFrom(readFactLists([JSON.parse(written)]))).toEqual(factsFrom(LISTS));
    expect(Object.values(factsFrom(LISTS))).not.toContain('unknown');
  });

  test('has nothing that no rule asks for', () => {
    for (const word of ['a secret', 'a-private-registry', 'managedFields', 'last-applied'])
      expect(written).not.toContain(word);
  });

  test('tells nothing of where and when it was written, so that it can be compared', () => {
    expect(renderFacts(readFactLists([JSON.parse(written)]))).toBe(written);
  });
});

test.each([
  { name: 'an empty collection is known to be empty', path: '/api/v1/nodes', objects: [], nodes: [] },
  { name: 'one that nobody looked at is unknown', path: undefined, objects: [], nodes: 'unknown' },
])('$name', ({ path, objects, nodes }) => {
  const lists: FactLists = new Map(path === undefined ? [] : [[path, objects]]);
  expect(factsFrom(readFactLists([JSON.parse(renderFacts(lists))])).nodes).toEqual(nodes);
});

test.each([
  {
    name: 'policies without ours',
    source: 'policies',
    left: '/apis/sallyport.dev/v1alpha1/egresspolicies',
    known: false,
  },
  {
    name: "policies without Cilium's kind",
    source: 'policies',
    left: '/apis/cilium.io/v1alpha1/ciliumegressgatewaypolicies',
    known: true,
  },
  {
    name: 'load balancers without Services',
    source: 'loadBalancers',
    left: '/api/v1/services',
    known: false,
  },
  {
    name: 'load balancers without MetalLB',
    source: 'loadBalancers',
    left: '/apis/metallb.io/v1beta1/ipaddresspools',
    known: true,
  },
] as const)('$name are known: $known', ({ source, left, known }) => {
  const facts = factsFrom(new Map([...LISTS].filter(([path]) => path !== left)));
  expect(facts[source] !== 'unknown').toBe(known);
});

test('networks that the webhook is configured with stand beside those that the cluster shows', () => {
  const [network] = [...listedNetworks(LISTS)];
  if (network === undefined) throw new Error('no network');
  const configured = { ...network, source: '--pod-cidr' };
  const withThem = (lists: FactLists) =>
    factsOf(lists, READERS, { routable: [network.cidr], networks: [configured] });
  expect(withThem(LISTS)).toMatchObject({ networks: [network, configured], routable: [network.cidr] });
  expect(withThem(new Map()).networks).toEqual([configured]);
});

function listedNetworks(lists: FactLists) {
  const { networks } = factsFrom(lists);
  return networks === 'unknown' ? [] : networks;
}

test('what kubectl prints of several kinds is read too', () => {
  const items = FACT_COLLECTIONS.map(({ path, apiVersion, kind }) => ({
    apiVersion,
    kind,
    ...(OBJECTS[path] as object),
  }));
  expect(factsFrom(readFactLists([{ apiVersion: 'v1', kind: 'List', items }]))).toEqual(factsFrom(LISTS));
});

test('objects of other kinds are no facts', () => {
  expect(
    readFactLists([{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' } }, 'text', null]).size,
  ).toBe(0);
  expect(readFactLists([{ apiVersion: 'example.org/v1', kind: 'Node' }]).size).toBe(0);
});
