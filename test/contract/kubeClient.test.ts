/** Our REST client, reflector and Lease against a real kube-apiserver. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLeaseHeart } from '../../failover/io/leaseHeart.ts';
import { kubeconfigAccess } from '../../kube/clusterAccess.ts';
import { createEventRecorder } from '../../kube/eventRecorder.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { startLeaderElector } from '../../kube/leaderElector.ts';
import { formatMicroTime, leasePath, parseLease, renderLease } from '../../kube/lease.ts';
import { startReflector } from '../../kube/reflector.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { createLogger } from '../../runtime/logger.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { collectReflector } from './collectReflector.ts';
import { CONFIG_MAPS, configMap, describeKubeContract, expectOk, projectConfigMap } from './kubeContract.ts';

const logger = createLogger({ program: 'test', level: 'error' });
let server: ApiServer;
let client: KubeClient;

beforeAll(async () => {
  server = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(server.access);
}, 1_800_000);
afterAll(async () => {
  await client?.close();
  await server?.stop();
});

describeKubeContract('a real API server', () => server.access);

describe('requests', () => {
  test('JSON patch and server-side apply', async () => {
    const path = `${CONFIG_MAPS}/patched`;
    expectOk(await client.create(CONFIG_MAPS, configMap('patched', { v: '2', w: '3' })));
    const patched = await client.jsonPatch(path, [{ op: 'remove', path: '/data/w' }]);
    expect(expectOk(patched).data).toEqual({ v: '2' });
    const applied = await client.apply(path, configMap('patched', { x: '4' }), { fieldManager: 'contract' });
    expect(expectOk(applied).data).toEqual({ v: '2', x: '4' });
  });

  test('a wrong token and a kubeconfig', async () => {
    const stranger = createRestClient({ ...server.access, readToken: () => 'wrong' });
    expect(await stranger.get(CONFIG_MAPS)).toMatchObject({
      kind: 'refused',
      error: { code: 'unauthorized' },
    });
    await stranger.close();
    const fromFile = createRestClient(kubeconfigAccess(server.kubeconfigPath));
    expectOk(await fromFile.get('/api/v1/namespaces/default'));
    await fromFile.close();
  });
});

describe('a Lease', () => {
  test('with a time that is no MicroTime is refused', async () => {
    const record = {
      name: 'm',
      namespace: 'default',
      uid: '',
      resourceVersion: '',
      holder: 'gw-1/1',
      durationSeconds: 3,
      acquireTime: formatMicroTime(0),
      renewTime: new Date(0).toISOString(),
      transitions: 1,
    };
    expect(await client.create(leasePath('default'), renderLease(record))).toMatchObject({
      kind: 'refused',
      error: { code: 'invalid', status: 400 },
    });
  });

  test("a gateway's heartbeat is refused once somebody else wrote its Lease", async () => {
    let wallMs = Date.parse('2026-01-01T00:00:00Z');
    const heart = createLeaseHeart({
      client,
      namespace: 'default',
      node: 'gw-9',
      durationSeconds: 3,
      wallClock: () => wallMs,
    });
    expect(await heart.read()).toBe('absent');
    const opened = await heart.write({ session: 1, holding: true });
    if (opened.kind !== 'accepted') throw new Error(opened.kind);
    wallMs += 1000;
    const beat = await heart.write({ session: 1, holding: true, version: opened.version });
    if (beat.kind !== 'accepted') throw new Error(beat.kind);
    const renewed = expectOk(await client.get(leasePath('default', 'gateway-gw-9')));
    expect(parseLease(renewed)).toMatchObject({
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:00:01.000000Z',
    });
    const verdict = createLeaseHeart({
      client,
      namespace: 'default',
      node: 'gw-9',
      durationSeconds: 3,
      wallClock: Date.now,
    });
    expect(await verdict.write({ session: 1, holding: false, version: beat.version })).toMatchObject({
      kind: 'accepted',
    });
    expect(await heart.write({ session: 1, holding: true, version: beat.version })).toEqual({
      kind: 'stale',
    });
    expect(await heart.read()).toMatchObject({ session: 1, holding: false });
  });
});

test('one of two candidates leads, and the other takes over at once when it stops', async () => {
  const changes: string[] = [];
  const waiting = new Set<() => void>();
  const candidate = (identity: string) =>
    startLeaderElector({
      client,
      namespace: 'default',
      name: 'leader',
      identity,
      leaseDurationMs: 4000,
      renewDeadlineMs: 3000,
      retryPeriodMs: 200,
      logger,
      onChange(role, term) {
        changes.push(`${identity} ${role} ${term}`);
        for (const check of waiting) check();
      },
    });
  const until = (change: string): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (changes.includes(change)) resolve();
      };
      waiting.add(check);
      check();
    });
  const first = candidate('a');
  await until('a leader 1');
  expect(first.holdsUntilMs()).toBeGreaterThan(performance.now());
  const second = candidate('b');
  await first.stop();
  await until('b leader 2');
  expect(changes).toEqual(['a leader 1', 'a follower 1', 'b leader 2']);
  expect(first.holdsUntilMs()).toBe(Number.NEGATIVE_INFINITY);
  await second.stop();
});

test('an Event on a cluster-scoped object is accepted, and so is its count', async () => {
  const namespace = expectOk(await client.get('/api/v1/namespaces/default'));
  let nowMs = 0;
  const warnings: string[] = [];
  const recorder = createEventRecorder({
    client,
    component: 'sallyport-test',
    instance: 'pod-1',
    logger: createLogger({ program: 'test', level: 'warn', write: (line) => warnings.push(line) }),
    wallClock: () => nowMs,
  });
  const regarding = { apiVersion: 'v1', kind: 'Namespace', name: 'default', uid: namespace.metadata.uid };
  for (nowMs = 0; nowMs <= 60_000; nowMs += 60_000)
    recorder.record({ regarding, type: 'Warning', reason: 'Tested', message: 'once or twice' });
  await recorder.stop();
  expect(warnings).toEqual([]);
  const fieldSelector = `involvedObject.uid=${namespace.metadata.uid},reason=Tested`;
  expect(await client.get('/api/v1/namespaces/default/events', { fieldSelector })).toMatchObject({
    value: { items: [{ count: 2, message: 'once or twice', source: { component: 'sallyport-test' } }] },
  });
});

test('a reflector goes on after the API server was restarted, and says that it was cut off', async () => {
  const seen = collectReflector<string>();
  const reflector = startReflector({
    client,
    path: CONFIG_MAPS,
    project: projectConfigMap,
    onEvent: seen.onEvent,
    logger,
  });
  await seen.until(() => seen.count('synced') === 1);
  await server.restart();
  expectOk(await client.create(CONFIG_MAPS, configMap('after-restart', { v: '9' })));
  await seen.until(() => seen.items.get('after-restart') === '9');
  expect(seen.count('disconnected')).toBeGreaterThan(0);
  await reflector.stop();
});

test('a server that is not there: reads and unsent writes are refused, never unknown', async () => {
  const nowhere = createRestClient({ server: 'https://127.0.0.1:1' });
  expect(await nowhere.get('/readyz')).toMatchObject({
    kind: 'refused',
    error: { code: 'unreachable', transient: true },
  });
  expect(await nowhere.create('/x', {})).toMatchObject({ kind: 'refused' });
  await nowhere.close();
});
