import { afterEach, expect, test, vi } from 'vitest';
import type { KubeClient, KubeOutcome, WatchFrame } from '../../kube/kubeClient.ts';
import { listed } from '../../policy/facts.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_POLICY,
  GATEWAY_NODE,
  type ServedKind,
} from '../../policy/names.ts';
import { createLogger } from '../../runtime/logger.ts';
import { type Facts, STALE_AFTER_MS, watchFacts } from './facts.ts';

const NODES = '/api/v1/nodes';
const GATEWAYS = collectionPath(GATEWAY_NODE);
const CILIUM = collectionPath(CILIUM_EGRESS_GATEWAY_POLICY);
const OWN = collectionPath(EGRESS_POLICY);

/** Collections that can be listed and watched; a path that is not in it answers 404, as an uninstalled kind does. */
function createWorld(collections: Readonly<Record<string, readonly unknown[]>>) {
  const watchers = new Map<string, (frame: WatchFrame) => void>();
  const client = {
    async get(path: string): Promise<KubeOutcome<unknown>> {
      const items = collections[path];
      return items === undefined
        ? {
            kind: 'refused',
            error: { code: 'not-found', transient: false, status: 404, message: 'not served' },
          }
        : { kind: 'ok', value: { metadata: { resourceVersion: '1' }, items } };
    },
    async *watch(path: string, _query: unknown, signal: AbortSignal): AsyncGenerator<WatchFrame> {
      while (!signal.aborted) {
        const next = Promise.withResolvers<WatchFrame | undefined>();
        watchers.set(path, next.resolve);
        const stop = (): void => next.resolve(undefined);
        signal.addEventListener('abort', stop, { once: true });
        const frame = await next.promise;
        signal.removeEventListener('abort', stop);
        if (frame !== undefined) yield frame;
      }
    },
  } as unknown as KubeClient; // reflectors use no other verb
  const tell = async (path: string, frame: WatchFrame): Promise<void> => {
    const watcher = await vi.waitUntil(() => watchers.get(path));
    watchers.delete(path);
    watcher(frame);
  };
  return { client, tell };
}

const running: Facts[] = [];
afterEach(async () => {
  for (const facts of running.splice(0)) await facts.stop();
});
function start(client: KubeClient) {
  const clock = { nowMs: 0 };
  const logger = createLogger({ program: 'test', level: 'error', write: () => {} });
  const facts = watchFacts({ client, routable: [], logger, now: () => clock.nowMs });
  running.push(facts);
  const synced = async () =>
    vi.waitUntil(() => {
      const state = facts.state();
      return state.kind === 'synced' ? state.snapshot : undefined;
    });
  return { facts, clock, synced };
}

function policy({ group, version, kind }: ServedKind, name: string, cidr: string) {
  return {
    apiVersion: `${group}/${version}`,
    kind,
    metadata: { name, uid: `uid-${name}`, resourceVersion: '2' },
    spec: {
      selectors: [{ matchLabels: { app: name } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr }] },
    },
  };
}
const node = {
  metadata: { name: 'gw-1', labels: { 'sallyport.dev/gateway': '' } },
  status: { addresses: [{ type: 'InternalIP', address: '203.0.113.11' }] },
};
const report = {
  metadata: { name: 'gw-1' },
  status: { onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }] },
};
const A = policy(CILIUM_EGRESS_GATEWAY_POLICY, 'a', '203.0.113.10/32');
const B = policy(EGRESS_POLICY, 'b', '203.0.113.12/32');

test('all four collections make one snapshot', async () => {
  const { client } = createWorld({ [NODES]: [node], [GATEWAYS]: [report], [CILIUM]: [A], [OWN]: [B] });
  const { facts, index } = await start(client).synced();
  expect(listed(facts.nodes).map(({ name }) => name)).toEqual(['gw-1']);
  expect(listed(facts.gateways).map(({ onLink }) => onLink.length)).toEqual([1]);
  expect(listed(facts.policies).map(({ ref }) => ref.name)).toEqual(['a', 'b']);
  expect(
    listed(facts.policies).flatMap(({ pools }) => pools.flatMap(({ range }) => index.overlapping(range))),
  ).toHaveLength(2);
});

test('where the Cilium kind is not installed there are none of it', async () => {
  const { client } = createWorld({ [NODES]: [node], [GATEWAYS]: [report], [OWN]: [B] });
  const { facts } = await start(client).synced();
  expect(listed(facts.policies).map(({ ref }) => ref.name)).toEqual(['b']);
});

test('a collection that must be there keeps it waiting, and is named', async () => {
  const { client } = createWorld({ [GATEWAYS]: [report], [CILIUM]: [], [OWN]: [] });
  const { facts } = start(client);
  await vi.waitUntil(() => facts.state().kind === 'waiting');
  expect(facts.state()).toEqual({ kind: 'waiting', reason: 'nodes are not synced yet' });
});

test('policies come and go, and one that does not parse is as if it were not there', async () => {
  const { client, tell } = createWorld({ [NODES]: [], [GATEWAYS]: [], [CILIUM]: [], [OWN]: [B] });
  const { facts, synced } = start(client);
  const before = await synced();
  expect(facts.state()).toEqual({ kind: 'synced', snapshot: before });
  const names = async () => listed((await synced()).facts.policies).map(({ ref }) => ref.name);
  await tell(CILIUM, { type: 'ADDED', object: A });
  await vi.waitUntil(async () => (await names()).length === 2);
  await tell(OWN, { type: 'MODIFIED', object: { ...B, spec: {} } });
  await vi.waitUntil(async () => (await names()).join() === 'a');
  await tell(CILIUM, { type: 'DELETED', object: A });
  await vi.waitUntil(async () => (await names()).length === 0);
});

test('a silent source is not believed any more, and a bookmark is enough to believe it again', async () => {
  const { client, tell } = createWorld({ [NODES]: [node], [GATEWAYS]: [], [CILIUM]: [], [OWN]: [] });
  const { facts, clock, synced } = start(client);
  await synced();
  clock.nowMs = STALE_AFTER_MS;
  expect(facts.state().kind).toBe('synced');
  clock.nowMs = STALE_AFTER_MS + 1;
  expect(facts.state()).toEqual({ kind: 'waiting', reason: 'nodes were last heard of 180 s ago' });
  const bookmark = { type: 'BOOKMARK', object: { metadata: { resourceVersion: '9' } } };
  for (const path of [NODES, GATEWAYS, CILIUM, OWN]) await tell(path, bookmark);
  await vi.waitUntil(() => facts.state().kind === 'synced');
});
