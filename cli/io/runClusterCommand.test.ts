/** Commands against an API server that breaks on demand; test/contract/cli.test.ts has a real one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import {
  type FakeApiServer,
  type Intervention,
  type SeenRequest,
  startFakeApiServer,
} from '../../test/contract/fakeApiServer.ts';
import { runCommand } from './runCommand.ts';
// Loaded on demand by the command; here before the clock of any test runs.
import './runClusterCommand.ts';

const NODES = '/api/v1/nodes';
const EGRESS_IPS = '/apis/sallyport.dev/v1alpha1/egressips';
const GATEWAYS = '/apis/sallyport.dev/v1alpha1/gatewaynodes';
const OWN = '/apis/sallyport.dev/v1alpha1/egresspolicies';
const CILIUM = '/apis/cilium.io/v1alpha1/ciliumegressgatewaypolicies';
const CONFIG_MAPS = '/api/v1/configmaps';
const IP = '203.0.113.10';
const ALL = [NODES, EGRESS_IPS, GATEWAYS, OWN, CILIUM, CONFIG_MAPS];

let server: FakeApiServer;
let client: KubeClient;
let folder: string;

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-cli-'));
  await start(ALL);
  await create(NODES, { metadata: { name: 'gw-1', labels: { 'sallyport.dev/gateway': '' } } });
  await create(EGRESS_IPS, egressIp('gw-1'));
});
afterEach(async () => {
  await stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(collections: readonly string[]): Promise<void> {
  server = await startFakeApiServer(collections);
  client = createRestClient(server.access);
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: server.access.server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { token: 't' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(path.join(folder, 'kubeconfig'), JSON.stringify(kubeconfig));
}

async function stop(): Promise<void> {
  await client.close();
  await server.stop();
}

async function create(collection: string, object: object): Promise<void> {
  expect(await client.create(collection, object)).toMatchObject({ kind: 'ok' });
}

function egressIp(gateway: string, status: object = {}) {
  return {
    metadata: { name: IP },
    spec: { address: IP, order: [{ gateway, session: 1 }] },
    status: { gateway, phase: 'Announced', ...status },
  };
}

async function change(status: ReturnType<typeof egressIp>): Promise<void> {
  expect(await client.mergePatch(`${EGRESS_IPS}/${IP}`, status)).toMatchObject({ kind: 'ok' });
}

async function run(line: string) {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await runCommand(line.split(' '), {
    terminal: { out: (text) => void out.push(text), tell: (text) => void err.push(text) },
    stdin: Readable.from([]),
    config: { kubeconfigPaths: [path.join(folder, 'kubeconfig')] },
  });
  return { code, out: out.join(''), err: err.join('\n') };
}

const isWatch = ({ path: at, query }: SeenRequest): boolean =>
  at === EGRESS_IPS && query.get('watch') === 'true';
const isPatch = ({ method, path: at }: SeenRequest): boolean => method === 'PATCH' && at.startsWith(NODES);

test('a drain that is waited for follows the watch, also over one that breaks', async () => {
  const drained = run('drain gw-1 --wait');
  await server.whenSeen(isWatch);
  server.closeWatches('cut');
  await change(egressIp('gw-2'));
  expect(await drained).toEqual({
    code: 0,
    err: '',
    out: `node gw-1 is to hold no egress IPs; it holds ${IP}\n${IP} is at gw-2\nnode gw-1 is empty\n`,
  });
});

test('a gateway that holds nothing is empty at once', async () => {
  await change(egressIp('gw-2'));
  expect(await run('drain gw-1 --wait')).toMatchObject({ code: 0, out: expect.stringContaining('is empty') });
});

test('time that runs out leaves the wish in place, and the reason is told', async () => {
  await change(egressIp('gw-1', { message: 'no better gateway has room' }));
  const ended = await run('drain gw-1 --wait --timeout 1s');
  expect(ended.code).toBe(1);
  expect(ended.err).toContain(`${IP} (Announced): no better gateway has room`);
  expect(await client.get(`${NODES}/gw-1`)).toMatchObject({
    value: { metadata: { annotations: { 'sallyport.dev/drain': 'true' } } },
  });
});

test.each<{
  readonly name: string;
  readonly at: (it: SeenRequest) => boolean;
  readonly how: Intervention;
  readonly says: string;
}>([
  {
    name: 'a permission that is missing',
    at: isPatch,
    how: { kind: 'refuse', status: 403, reason: 'Forbidden' },
    says: 'ask whoever runs the cluster for this permission',
  },
  {
    name: 'credentials that have run out',
    at: () => true,
    how: { kind: 'refuse', status: 401, reason: 'Unauthorized' },
    says: 'log in again',
  },
  {
    name: 'an answer that was lost',
    at: isPatch,
    how: { kind: 'lose-answer' },
    says: 'the same command again does no harm',
  },
  {
    name: 'a watch that is not allowed, which no patience cures',
    at: isWatch,
    how: { kind: 'refuse', status: 403, reason: 'Forbidden' },
    says: 'watching /apis/sallyport.dev/v1alpha1/egressips',
  },
  {
    name: 'a page of a proxy',
    at: () => true,
    how: { kind: 'answer', status: 502, contentType: 'text/html', text: '<html>' },
    says: 'reading node gw-1',
  },
])('$name ends it with 2 and says what to do', async ({ at, how, says }) => {
  server.intercept((request) => (at(request) ? how : undefined));
  const ended = await run('drain gw-1 --wait');
  expect(ended.code).toBe(2);
  expect(ended.err).toContain(says);
});

test('a node that is no gateway, or is cordoned, is said to be so', async () => {
  await create(NODES, { metadata: { name: 'worker-1' }, spec: { unschedulable: true } });
  expect((await run('drain worker-1')).err).toContain('it is no gateway');
  expect((await run('undrain worker-1')).err).toContain('it is cordoned');
});

test('a cluster without Sallyport is no cluster with nothing in it', async () => {
  await stop();
  await start([NODES]);
  for (const line of ['status', 'rotate-peer-key'])
    expect(await run(line)).toMatchObject({ code: 2, out: '' });
  expect((await run('status')).err).toContain('Sallyport is not installed there');
});

test('where both kinds have a policy of that name, the kind has to be said', async () => {
  await create(OWN, { metadata: { name: 'p' } });
  expect(await run('rebalance p')).toMatchObject({
    code: 0,
    out: 'EgressPolicy p: its addresses are to be spread evenly\n',
  });
  await create(CILIUM, { metadata: { name: 'p' } });
  expect(await run('rebalance p')).toMatchObject({
    code: 2,
    err: expect.stringContaining('write cegp/p or egresspolicy/p'),
  });
  expect(await run('rebalance cegp/p')).toMatchObject({ code: 0 });
});

test('a policy that goes while its rebalance is waited for ends the wait', async () => {
  await create(OWN, { metadata: { name: 'p' } });
  const ended = run('rebalance p --wait');
  await server.whenSeen(({ path: at, query }) => at === OWN && query.get('watch') === 'true');
  await client.remove(`${OWN}/p`);
  expect(await ended).toMatchObject({ code: 1, err: 'EgressPolicy p is gone' });
});

test('where it runs twice, the namespace has to be said', async () => {
  for (const namespace of ['a', 'b'])
    await create(CONFIG_MAPS, { metadata: { name: `voters-${namespace}`, namespace } });
  expect(await run('rotate-peer-key')).toMatchObject({
    code: 2,
    err: expect.stringContaining('runs in a and b'),
  });
});

test('facts leaves out what may not be read, and says so', async () => {
  server.intercept(({ path: at }) =>
    at === OWN ? { kind: 'refuse', status: 403, reason: 'Forbidden' } : undefined,
  );
  const ended = await run('facts');
  expect(ended).toMatchObject({ code: 0, err: expect.stringContaining('not read') });
  const kinds = JSON.parse(ended.out).items.map(({ kind }: { readonly kind: string }) => kind);
  expect(kinds).toContain('NodeList');
  expect(kinds).not.toContain('EgressPolicyList');
});
