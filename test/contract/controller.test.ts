/** The controller's runner against a real kube-apiserver: its writes are accepted, swap by version, and read back the same. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { controllerSources } from '../../failover/io/controllerCaches.ts';
import { createControllerMetrics } from '../../failover/io/controllerMetrics.ts';
import { type ControllerRunner, startControllerRunner } from '../../failover/io/controllerRunner.ts';
import { createControllerWrites } from '../../failover/io/controllerWrites.ts';
import { createLeaseHeart } from '../../failover/io/leaseHeart.ts';
import { readVoterConfig } from '../../failover/io/ownershipSecrets.ts';
import { createEventRecorder } from '../../kube/eventRecorder.ts';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { leasePath, parseLease } from '../../kube/lease.ts';
import { createRestClient } from '../../kube/restClient.ts';
import {
  CONTROLLER_LEASE,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  FINALIZER,
  GATEWAY_NODE,
  VOTERS_CONFIG_MAP,
} from '../../policy/names.ts';
import { createLogger } from '../../runtime/logger.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { startControllerProgram } from './controllerProgram.ts';

const CRDS = path.resolve(import.meta.dirname, '../../charts/sallyport/files/crds');
const NAMESPACE = 'sallyport-system';
const IP = '203.0.113.10';
const EGRESS_IPS = collectionPath(EGRESS_IP);
const POLICIES = collectionPath(EGRESS_POLICY);
const logged: string[] = [];
const logger = createLogger({ program: 'test', level: 'warn', write: (line) => logged.push(line) });
let server: ApiServer;
let client: KubeClient;
let runner: ControllerRunner | undefined;

function kubectl(...args: readonly string[]): string {
  const all = [
    '--kubeconfig',
    server.kubeconfigPath,
    '--cache-dir',
    `${server.kubeconfigPath}-cache`,
    ...args,
  ];
  const result = spawnSync(path.join(server.binaries, 'kubectl'), all, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

beforeAll(async () => {
  server = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(server.access);
  kubectl('apply', '-f', CRDS);
  kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s');
  kubectl('create', 'namespace', NAMESPACE);
}, 1_800_000);
afterEach(async () => {
  await runner?.stop();
});
afterAll(async () => {
  await client?.close();
  await server?.stop();
});

function expectOk(outcome: KubeOutcome<unknown>): Wire {
  if (outcome.kind !== 'ok')
    throw new Error(`${outcome.kind}: ${outcome.error.code} ${outcome.error.message}`);
  return outcome.value as Wire;
}

/** As much of an object as is looked at here. */
interface Wire {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly finalizers?: readonly string[];
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: {
    readonly epoch: number;
    readonly order: readonly { readonly gateway: string; readonly session: number }[];
    readonly blocks: readonly { readonly node: string; readonly first: number; readonly last: number }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly gateway?: string;
    readonly egress?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
    }[];
    readonly lastFailover?: { readonly reason: string; readonly announcedAt?: string };
  };
}

async function read(objectPath: string): Promise<Wire | undefined> {
  const outcome = await client.get(objectPath);
  return outcome.kind === 'ok' ? (outcome.value as Wire) : undefined;
}

/** A gateway's agent as the API sees it: a Lease with a session, and a report. */
async function joinGateway(name: string): Promise<void> {
  const labels = { 'sallyport.dev/gateway': '' };
  expectOk(
    await client.create('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }),
  );
  expectOk(
    await client.create(collectionPath(GATEWAY_NODE), {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'GatewayNode',
      metadata: { name },
    }),
  );
  await report(name, [], name === 'gw-1' ? { demand: [{ address: IP, ports: 64 }] } : {});
  const heart = createLeaseHeart({
    client,
    namespace: NAMESPACE,
    node: name,
    durationSeconds: 3,
    wallClock: Date.now,
  });
  expect(await heart.write({ session: 1, holding: true })).toMatchObject({ kind: 'accepted' });
}

async function report(
  name: string,
  addresses: readonly unknown[],
  more: { readonly demand?: readonly unknown[]; readonly dead?: readonly unknown[] } = {},
): Promise<void> {
  const { demand = [], dead = [] } = more;
  const status = {
    session: 1,
    dead,
    capacity: 8,
    onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }],
    addresses,
    demand,
    conditions: [{ type: 'DataPlaneReady', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }],
  };
  expectOk(await client.mergePatch(`${collectionPath(GATEWAY_NODE)}/${name}/status`, { status }));
}

/** States what the EgressIP's holder would state. */
async function answer(dead: readonly unknown[] = []): Promise<string> {
  const object = await read(`${EGRESS_IPS}/${IP}`);
  const holder = object?.spec.order[0];
  if (object === undefined || holder === undefined) throw new Error('answer: nobody holds the address');
  const blocksVersion = (object.spec as { readonly blocksVersion?: number }).blocksVersion ?? 0;
  const { epoch } = object.spec;
  const statement = {
    address: IP,
    state: 'Answering',
    epoch,
    index: 0,
    session: holder.session,
    blocksVersion,
  };
  await report(holder.gateway, [statement], { dead });
  return holder.gateway;
}

function startRunner(): ControllerRunner {
  const metrics = createControllerMetrics({
    phases: () => started.phases(),
    portsTakenRatio: () => started.portsTakenRatio(),
  });
  const events = createEventRecorder({ client, component: 'test', instance: 'test', logger });
  const started = startControllerRunner({
    client,
    namespace: NAMESPACE,
    settings: { routable: [], initialPorts: 512, quarantineMs: 0, maxGatewaysLeaving: 1, voterSettleMs: 0 },
    events,
    metrics,
    logger,
    holdsUntilMs: () => Number.POSITIVE_INFINITY,
    now: () => ({ monotonicMs: performance.now(), wallMs: Date.now() }),
  });
  started.begin();
  return started;
}

const until = (what: string, holds: () => Promise<boolean>): Promise<unknown> =>
  waitUntil(what, async () => (await holds()) || undefined, { timeoutMs: 20_000 });

test('a policy is placed, announced, followed when a standby takes over, and let go when it is deleted', async () => {
  for (const name of ['gw-1', 'gw-2']) await joinGateway(name);
  runner = startRunner();
  expectOk(await client.create(POLICIES, egressPolicy('p', [{ cidr: `${IP}/32` }])));
  await until(
    'the address is assigned',
    async () => (await read(`${EGRESS_IPS}/${IP}`))?.spec.order.length === 2,
  );
  const first = await answer();
  await until(
    'its status says so',
    async () => (await read(`${EGRESS_IPS}/${IP}`))?.status?.phase === 'Announced',
  );
  await until('the policy is available', async () => {
    const status = (await read(`${POLICIES}/p`))?.status;
    return (
      status?.egress === `${IP}@${first}` && status.conditions?.every((it) => it.status === 'True') === true
    );
  });
  expect((await read(`${POLICIES}/p`))?.metadata.finalizers).toEqual([FINALIZER]);
  expect((await read(`${EGRESS_IPS}/${IP}`))?.spec.blocks).toMatchObject([
    { node: 'gw-1', first: 1024, last: 1535 },
  ]);

  // Somebody else's, of which the controller and the gateway know nothing.
  const foreign = { labels: { team: 'net' }, annotations: { 'argocd.argoproj.io/tracking-id': 'x' } };
  for (const it of [
    `${EGRESS_IPS}/${IP}`,
    ...['gw-1', 'gw-2'].map((name) => leasePath(NAMESPACE, `gateway-${name}`)),
  ])
    expectOk(await client.mergePatch(it, { metadata: foreign }));
  const finalizers = ['example.com/hold'];
  expectOk(await client.mergePatch(`${EGRESS_IPS}/${IP}`, { metadata: { finalizers } }));

  // Nobody renews: the holder falls silent, which moves nothing by itself. The other one's Lease outlives the test.
  const other = first === 'gw-1' ? 'gw-2' : 'gw-1';
  const lasting = { client, namespace: NAMESPACE, node: other, durationSeconds: 3600, wallClock: Date.now };
  const heart = createLeaseHeart(lasting);
  const lease = await heart.read();
  if (typeof lease === 'string') throw new Error(`the Lease of ${other} is ${lease}`);
  const { version } = lease;
  expect(await heart.write({ session: 1, holding: true, version })).toMatchObject({ kind: 'accepted' });
  // The voters call the holder dead, and the standby answers before anybody has assigned the address to it.
  const dead = [{ gateway: first, session: 1 }];
  const { spec } = (await read(`${EGRESS_IPS}/${IP}`)) ?? {};
  await report(
    other,
    [{ address: IP, state: 'Answering', epoch: spec?.epoch, index: 1, session: 1, blocksVersion: 1 }],
    { dead },
  );
  await until('it holds the address', async () => {
    const holder = (await read(`${EGRESS_IPS}/${IP}`))?.spec.order[0];
    return holder?.gateway === other && holder.session === 1;
  });
  await answer(dead);
  await until('the failover is told', async () => {
    const status = (await read(`${EGRESS_IPS}/${IP}`))?.status;
    return (
      status?.phase === 'Announced' &&
      status.gateway === other &&
      status.lastFailover?.announcedAt !== undefined
    );
  });
  expect((await read(`${EGRESS_IPS}/${IP}`))?.status?.lastFailover?.reason).toBe('died');
  expect(kubectl('get', 'egressips')).toContain('Announced');
  expect((await read(`${EGRESS_IPS}/${IP}`))?.metadata).toMatchObject({ ...foreign, finalizers });
  expect((await read(leasePath(NAMESPACE, `gateway-${other}`)))?.metadata).toMatchObject(foreign);

  expectOk(await client.remove(`${POLICIES}/p`));
  await until(
    'nobody is to answer',
    async () => ((await read(`${EGRESS_IPS}/${IP}`))?.spec.order.length ?? 0) === 0,
  );
  const released = await read(`${EGRESS_IPS}/${IP}`);
  await report(
    other,
    [{ address: IP, state: 'Released', epoch: released?.spec.epoch ?? 9, session: 1, blocksVersion: 9 }],
    { dead },
  );
  await until('the policy is gone', async () => (await read(`${POLICIES}/p`)) === undefined);
  await until('the address waits for somebody else', async () =>
    logged.some((line) => line.includes('finalizers') && line.includes(IP)),
  );
  expect((await read(`${EGRESS_IPS}/${IP}`))?.metadata.deletionTimestamp).toBeDefined();
  expectOk(await client.mergePatch(`${EGRESS_IPS}/${IP}`, { metadata: { finalizers: [] } }));
  await until('the address is gone', async () => (await read(`${EGRESS_IPS}/${IP}`)) === undefined);
}, 120_000);

test('what others put to the voters’ ConfigMap outlives other voters, and an older version changes nothing', async () => {
  const sources = controllerSources(NAMESPACE);
  const writes = createControllerWrites({ client, sources, logger });
  const write = async (version: number, resourceVersion: string): Promise<string> => {
    const config = { version, sets: [[`voter-${version}`]] };
    const event = await writes.write({ kind: 'write-voters', config, resourceVersion });
    return event.kind === 'answered' ? event.answer.kind : event.kind;
  };
  const voters = sources.voters.objectPath(VOTERS_CONFIG_MAP);
  expect(await write(1, '')).toBe('present');
  const foreign = { metadata: { labels: { team: 'net' } }, data: { note: 'kept' } };
  const labelled = expectOk(await client.mergePatch(voters, foreign));
  expect(await write(2, labelled.metadata.resourceVersion)).toBe('present');
  expect(await write(3, labelled.metadata.resourceVersion)).toBe('stale');
  const standing = expectOk(await client.get(voters));
  expect(standing).toMatchObject(foreign);
  expect(readVoterConfig(standing)).toEqual({ version: 2, sets: [['voter-2']] });
  expectOk(await client.remove(voters));
});

test('the program leads, says that it is ready, and releases its Lease on SIGTERM', async () => {
  const program = await startControllerProgram(server, 'pod-1', { SALLYPORT_NAMESPACE: NAMESPACE });
  try {
    await until('it is ready', program.isReady);
    await until('it leads', program.leads);
    expect(await program.end('SIGTERM')).toBe(0);
    const released = parseLease(expectOk(await client.get(leasePath(NAMESPACE, CONTROLLER_LEASE))));
    expect(released?.holder).toBe('');
  } finally {
    await program.end('SIGKILL');
  }
}, 60_000);
