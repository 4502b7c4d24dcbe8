import { afterEach, describe, expect, test, vi } from 'vitest';
import { cidrRange, parseCidr } from '../policy/cidr.ts';
import type { FactIndex } from '../policy/index/factIndex.ts';
import type { AddressRange } from '../policy/model.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
  type ServedKind,
} from '../policy/names.ts';
import { createLogger } from '../runtime/logger.ts';
import { type ClusterFactsWatch, STALE_AFTER_MS, watchClusterFacts } from './clusterFacts.ts';
import { type KubeClient, KubeFailure, type KubeOutcome, type WatchFrame } from './kubeClient.ts';

const NODES = '/api/v1/nodes';
const GATEWAYS = collectionPath(GATEWAY_NODE);
const CILIUM = collectionPath(CILIUM_EGRESS_GATEWAY_POLICY);
const CILIUM_V2 = collectionPath({ ...CILIUM_EGRESS_GATEWAY_POLICY, version: 'v2' });
const OWN = collectionPath(EGRESS_POLICY);
const EGRESS_IPS = collectionPath(EGRESS_IP);
const PODS = '/api/v1/pods';
const NAMESPACES = '/api/v1/namespaces';
const SERVICES = '/api/v1/services';
const SERVICE_CIDRS = '/apis/networking.k8s.io/v1/servicecidrs';
const METALLB = '/apis/metallb.io/v1beta1/ipaddresspools';
const CILIUM_POOLS = '/apis/cilium.io/v2/ciliumloadbalancerippools';
const ALWAYS = [NODES, GATEWAYS, OWN, EGRESS_IPS, PODS, NAMESPACES, SERVICES];
/** Longer than a kind that was not served is asked for again. */
const WAIT = { timeout: 10_000, interval: 20 };

type Collections = Record<string, readonly unknown[] | undefined>;

/** Collections that can be listed and watched; a path that is not in it answers 404, as an uninstalled kind does. */
function createWorld(given: Collections) {
  const collections: Collections = { ...Object.fromEntries(ALWAYS.map((path) => [path, []])), ...given };
  const watchers = new Map<string, (frame: WatchFrame | 'gone') => void>();
  const absent = { code: 'not-found', transient: false, status: 404, message: 'not served' } as const;
  const client = {
    async get(path: string): Promise<KubeOutcome<unknown>> {
      const items = collections[path];
      if (items === undefined) return { kind: 'refused', error: absent };
      return { kind: 'ok', value: { metadata: { resourceVersion: '1' }, items } };
    },
    async *watch(path: string, _query: unknown, signal: AbortSignal): AsyncGenerator<WatchFrame> {
      while (!signal.aborted) {
        const next = Promise.withResolvers<WatchFrame | 'gone' | undefined>();
        watchers.set(path, next.resolve);
        const stop = (): void => next.resolve(undefined);
        signal.addEventListener('abort', stop, { once: true });
        const frame = await next.promise;
        signal.removeEventListener('abort', stop);
        if (frame === 'gone') throw new KubeFailure(absent);
        if (frame !== undefined) yield frame;
      }
    },
  } as unknown as KubeClient; // reflectors use no other verb
  const tell = async (path: string, frame: WatchFrame | 'gone'): Promise<void> => {
    const watcher = await vi.waitUntil(() => watchers.get(path), WAIT);
    watchers.delete(path);
    watcher(frame);
  };
  return { client, tell, collections };
}

const running: ClusterFactsWatch[] = [];
afterEach(async () => {
  for (const watch of running.splice(0)) await watch.stop();
});
function start(client: KubeClient, networks: readonly string[] = []) {
  const clock = { nowMs: 0 };
  const logger = createLogger({ program: 'test', level: 'error', write: () => {} });
  const watch = watchClusterFacts({
    client,
    routable: [],
    networks: networks.map((text) => ({ cidr: cidr(text), use: 'services', source: 'the settings' })),
    logger,
    now: () => clock.nowMs,
  });
  running.push(watch);
  const synced = async (): Promise<FactIndex> =>
    vi.waitUntil(() => {
      const state = watch.state();
      return state.kind === 'synced' ? state.index : undefined;
    }, WAIT);
  return { watch, clock, synced };
}

function cidr(text: string) {
  const parsed = parseCidr(text);
  if (parsed.kind === 'refused') throw new Error(parsed.error.message);
  return parsed.value;
}
const range = (text: string): AddressRange => cidrRange(cidr(text));

function policy({ group, version, kind }: ServedKind, name: string, pool: string, resourceVersion = '2') {
  return {
    apiVersion: `${group}/${version}`,
    kind,
    metadata: { name, uid: `uid-${name}`, resourceVersion },
    spec: {
      selectors: [{ matchLabels: { app: name } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr: pool }] },
    },
  };
}
const node = {
  metadata: { name: 'gw-1', resourceVersion: '2', labels: { 'sallyport.dev/gateway': '' } },
  spec: { podCIDRs: ['10.244.1.0/24'] },
  status: { addresses: [{ type: 'InternalIP', address: '203.0.113.11' }] },
};
const report = {
  metadata: { name: 'gw-1' },
  status: {
    onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }],
    nextHops: [{ address: '203.0.113.1', interfaceName: 'eth0' }],
    capacity: 256,
    demand: [{ address: '203.0.113.10', ports: 64 }],
  },
};
const A = policy(CILIUM_EGRESS_GATEWAY_POLICY, 'a', '203.0.113.10/32');
const B = policy(EGRESS_POLICY, 'b', '203.0.113.12/32');
const pod = (name: string, labels: object, change: { phase?: string; resourceVersion?: string } = {}) => ({
  metadata: { namespace: 'shop', name, labels, resourceVersion: change.resourceVersion ?? name },
  spec: { nodeName: 'gw-1' },
  status: { phase: change.phase ?? 'Running' },
});

const owners = (index: FactIndex): readonly string[] =>
  index.policies.pools.overlapping(range('0.0.0.0/0')).map(({ owner }) => owner.ref.name);
const lent = (index: FactIndex): readonly string[] =>
  index.loadBalancers.overlapping(range('0.0.0.0/0')).map(({ owner }) => owner);
const app = (name: string) => [
  { pods: { requirements: [{ key: 'app', operator: 'In' as const, values: [name] }] } },
];
function selected(index: FactIndex, name: string): readonly string[] {
  const nodes: string[] = [];
  index.pods.visitSelected(app(name), { left: 1000 }, (group) => nodes.push(...group.nodes.keys()) > 0);
  return nodes;
}
const bookmark = { type: 'BOOKMARK', object: { metadata: { resourceVersion: '9' } } };

describe('facts of a cluster', () => {
  test('every collection has its part in them', async () => {
    const v2 = { metadata: { name: 'v2' }, spec: { selectors: [{ podSelector: {} }], egressGateway: {} } };
    const world = createWorld({
      [NODES]: [node],
      [GATEWAYS]: [report],
      [CILIUM]: [A],
      [OWN]: [B],
      [EGRESS_IPS]: [
        {
          metadata: { name: '203.0.113.10' },
          spec: { address: '203.0.113.10', policies: [{ uid: 'uid-a' }], blocks: [{ node: 'gw-1' }] },
        },
      ],
      [PODS]: [pod('p', { app: 'a' }), pod('done', { app: 'a2' }, { phase: 'Succeeded' })],
      [NAMESPACES]: [{ metadata: { name: 'shop', labels: { team: 'x' } } }],
      [SERVICE_CIDRS]: [{ metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.96.0.0/12'] } }],
      [SERVICES]: [
        {
          metadata: { namespace: 'shop', name: 'front' },
          spec: { type: 'LoadBalancer' },
          status: { loadBalancer: { ingress: [{ ip: '203.0.113.200' }] } },
        },
        {
          metadata: { namespace: 'shop', name: 'inner' },
          spec: { type: 'ClusterIP', loadBalancerIP: '203.0.113.9' },
        },
      ],
      [METALLB]: [
        {
          metadata: { namespace: 'metallb-system', name: 'main' },
          spec: { addresses: ['203.0.113.210-203.0.113.220', '198.51.100.7/24'] },
        },
      ],
      [CILIUM_POOLS]: [
        {
          metadata: { name: 'lb' },
          spec: { blocks: [{ cidr: '2001:DB8::/64' }, { start: '192.0.2.1', stop: '192.0.2.9' }] },
        },
      ],
      [CILIUM_V2]: [v2],
    });
    const index = await start(world.client, ['172.20.0.0/16']).synced();
    expect(index.nodes.choose(undefined)).toMatchObject({ capacity: 256, subnets: [{ gateways: ['gw-1'] }] });
    expect(index.nodes.nextHops.overlapping(range('203.0.113.0/24'))).toHaveLength(1);
    expect(owners(index).toSorted()).toEqual(['a', 'b']);
    expect(index.egressIps.overlapping(range('203.0.113.10/32'))).toMatchObject([
      { policyUids: ['uid-a'], nodes: ['gw-1'] },
    ]);
    expect(selected(index, 'a')).toEqual(['gw-1']);
    expect(selected(index, 'a2')).toEqual([]);
    expect(index.pods.namespaceLabels('shop')).toEqual({ team: 'x' });
    expect(index.networks.overlapping(range('10.0.0.0/8')).map(({ source }) => source)).toEqual([
      'ServiceCIDR kubernetes',
      'node gw-1',
    ]);
    expect(index.networks.enclosing(range('172.20.3.0/24'))?.source).toBe('the settings');
    expect(lent(index)).toEqual([
      'CiliumLoadBalancerIPPool lb',
      'IPAddressPool metallb-system/main',
      'Service shop/front',
      'IPAddressPool metallb-system/main',
    ]);
    expect(index.loadBalancers.overlaps(range('2001:db8::/128'))).toBe(true);
    expect(index.ciliumPolicies.withSelector({ pods: { requirements: [] } })).toMatchObject([{ name: 'v2' }]);
    expect(index.knows('pods', 'loadBalancers', 'ciliumPolicies')).toBe(true);
  });

  test('where optional kinds are not served there are none of them', async () => {
    const index = await start(createWorld({ [OWN]: [B] }).client).synced();
    expect(owners(index)).toEqual(['b']);
    expect(lent(index)).toEqual([]);
  });

  test.each(ALWAYS)('without %s there are no facts, and the reason names it', async (path) => {
    const { watch, synced } = start(createWorld({ [path]: undefined }).client);
    const label = path.slice(path.lastIndexOf('/') + 1);
    await vi.waitUntil(() => {
      const state = watch.state();
      return state.kind === 'waiting' && state.reason === `${label} are not synced yet`;
    }, WAIT);
    expect(await Promise.race([synced().then(() => 'synced'), nextTurns(20).then(() => 'waiting')])).toBe(
      'waiting',
    );
  });

  test('objects come and go, and one that does not parse is as if it were not there', async () => {
    const { client, tell } = createWorld({ [CILIUM]: [], [OWN]: [B] });
    const index = await start(client).synced();
    await tell(CILIUM, { type: 'ADDED', object: A });
    await vi.waitUntil(() => owners(index).length === 2, WAIT);
    await tell(OWN, { type: 'MODIFIED', object: { ...B, spec: {} } });
    await vi.waitUntil(() => owners(index).join() === 'a', WAIT);
    await tell(CILIUM, { type: 'DELETED', object: A });
    await vi.waitUntil(() => owners(index).length === 0, WAIT);
  });

  test("a policy that is being deleted is nobody's obstacle, from then on", async () => {
    const metadata = { ...A.metadata, resourceVersion: '9', deletionTimestamp: '2024-02-29T23:59:59Z' };
    const leaving = { ...A, metadata };
    const there = await start(createWorld({ [CILIUM]: [leaving], [OWN]: [B] }).client).synced();
    expect(owners(there)).toEqual(['b']);
    const world = createWorld({ [CILIUM]: [A], [OWN]: [B] });
    const index = await start(world.client).synced();
    expect(owners(index).toSorted()).toEqual(['a', 'b']);
    await world.tell(CILIUM, { type: 'MODIFIED', object: leaving });
    await vi.waitUntil(() => owners(index).join() === 'b', WAIT);
  });

  test('a version that comes twice leaves nothing behind when the object goes', async () => {
    const { client, tell } = createWorld({ [OWN]: [B] });
    const index = await start(client).synced();
    await tell(OWN, { type: 'MODIFIED', object: structuredClone(B) });
    await tell(OWN, { type: 'MODIFIED', object: policy(EGRESS_POLICY, 'b', '203.0.113.13/32', '3') });
    await vi.waitUntil(() => index.policies.pools.overlapping(range('203.0.113.13/32')).length === 1, WAIT);
    expect(owners(index)).toEqual(['b']);
    await tell(OWN, { type: 'DELETED', object: B });
    await vi.waitUntil(() => owners(index).length === 0, WAIT);
  });

  test('a node that stays keeps its place, and its new addresses and networks take the place of the old', async () => {
    const { client, tell } = createWorld({ [NODES]: [node] });
    const index = await start(client).synced();
    const moved = {
      metadata: { ...node.metadata, resourceVersion: '3' },
      spec: { podCIDRs: ['10.244.2.0/24'] },
      status: { addresses: [{ type: 'InternalIP', address: '203.0.113.12' }] },
    };
    await tell(NODES, { type: 'MODIFIED', object: moved });
    await vi.waitUntil(() => index.nodes.addresses.overlaps(range('203.0.113.12/32')), WAIT);
    expect(index.nodes.addresses.overlaps(range('203.0.113.11/32'))).toBe(false);
    expect(index.networks.overlaps(range('10.244.1.0/24'))).toBe(false);
    expect(index.networks.overlaps(range('10.244.2.0/24'))).toBe(true);
    expect(index.nodes.gatewayCount).toBe(1);
    await tell(NODES, { type: 'DELETED', object: moved });
    await vi.waitUntil(() => index.nodes.gatewayCount === 0, WAIT);
    expect(index.networks.overlaps(range('10.244.2.0/24'))).toBe(false);
  });

  test('pods of one workload are one group with one object of labels, and end one by one', async () => {
    const labels = { app: 'a', 'pod-template-hash': 'x' };
    const { client, tell } = createWorld({
      [PODS]: [pod('p1', { ...labels }), pod('p2', { ...labels }), pod('p3', { app: 'b' })],
    });
    const index = await start(client).synced();
    expect(index.pods.groupCount).toBe(2);
    await tell(PODS, { type: 'DELETED', object: pod('p1', { ...labels }) });
    await tell(PODS, { type: 'MODIFIED', object: pod('p2', { ...labels }, { phase: 'Failed' }) });
    await vi.waitUntil(() => index.pods.groupCount === 1, WAIT);
    expect(selected(index, 'a')).toEqual([]);
    expect(selected(index, 'b')).toEqual(['gw-1']);
  });

  test('a kind that is installed later is known within seconds, and none of it is left when it goes', async () => {
    const { client, tell, collections } = createWorld({});
    const index = await start(client).synced();
    const pool = { metadata: { namespace: 'm', name: 'p' }, spec: { addresses: ['203.0.113.64/26'] } };
    collections[METALLB] = [pool];
    await vi.waitUntil(() => lent(index).length === 1, WAIT);
    delete collections[METALLB];
    await tell(METALLB, 'gone');
    await vi.waitUntil(() => lent(index).length === 0, WAIT);
    collections[METALLB] = [
      pool,
      { metadata: { namespace: 'm', name: 'q' }, spec: { addresses: ['192.0.2.0/24'] } },
    ];
    await vi.waitUntil(() => lent(index).length === 2, WAIT);
  }, 40_000);

  test('a silent source is not believed any more, and a bookmark is enough to believe it again', async () => {
    const { client, tell } = createWorld({ [NODES]: [node], [CILIUM]: [] });
    const { watch, clock, synced } = start(client);
    await synced();
    for (const path of [...ALWAYS, CILIUM]) await tell(path, bookmark);
    clock.nowMs = STALE_AFTER_MS;
    expect(watch.state().kind).toBe('synced');
    clock.nowMs = STALE_AFTER_MS + 1;
    expect(watch.state()).toEqual({ kind: 'waiting', reason: 'nodes were last heard of 180 s ago' });
    for (const path of [...ALWAYS, CILIUM]) await tell(path, bookmark);
    // Kinds that are not served are asked for again by themselves.
    await vi.waitUntil(() => watch.state().kind === 'synced', WAIT);
  }, 20_000);
});

async function nextTurns(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}
