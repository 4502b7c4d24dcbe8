/** The command as it is run by people, against a real kube-apiserver; the test plays controller and agents. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { collectionPath, EGRESS_IP, EGRESS_POLICY, GATEWAY_NODE } from '../../policy/names.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { collectOutput, type Ended } from '../lab/collectOutput.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const PROGRAM = path.join(ROOT, 'cli/main.ts');
const CRDS = path.join(ROOT, 'charts/sallyport/files/crds');
const NAMESPACE = 'sallyport-system';
const IP = '203.0.113.10';
const EGRESS_IPS = collectionPath(EGRESS_IP);
const POLICIES = collectionPath(EGRESS_POLICY);
const GATEWAYS = collectionPath(GATEWAY_NODE);

let server: ApiServer;
let client: KubeClient;
let folder: string;

beforeAll(async () => {
  server = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(server.access);
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-cli-'));
  kubectl('apply', '-f', CRDS);
  kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s');
  kubectl('create', 'namespace', NAMESPACE);
  for (const [index, name] of ['gw-1', 'gw-2'].entries()) await joinGateway(name, `203.0.113.${11 + index}`);
  must(await client.create(POLICIES, policy('web', `${IP}/32`)));
  const spec = {
    address: IP,
    policies: [{ kind: 'EgressPolicy', name: 'web', uid: 'u' }],
    epoch: 1,
    order: [],
  };
  must(
    await client.create(EGRESS_IPS, {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'EgressIP',
      metadata: { name: IP },
      spec,
    }),
  );
  await hold('gw-1');
}, 1_800_000);
afterAll(async () => {
  await client?.close();
  await server?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

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

function must(outcome: KubeOutcome<unknown>): unknown {
  if (outcome.kind !== 'ok') throw new Error(`${outcome.error.code}: ${outcome.error.message}`);
  return outcome.value;
}

async function read(objectPath: string) {
  return must(await client.get(objectPath)) as {
    readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  };
}

const policy = (name: string, cidr: string) => egressPolicy(name, [{ cidr }]);

async function joinGateway(name: string, address: string): Promise<void> {
  const labels = { 'sallyport.dev/gateway': '' };
  must(await client.create('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }));
  must(
    await client.mergePatch(`/api/v1/nodes/${name}/status`, {
      status: { addresses: [{ type: 'InternalIP', address }] },
    }),
  );
  must(
    await client.create(GATEWAYS, {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'GatewayNode',
      metadata: { name },
    }),
  );
  const at = new Date(0).toISOString();
  const conditions = ['DataPlaneReady', 'Healthy'].map((type) => ({
    ...{ type, status: 'True', reason: 'Fine', message: '', lastTransitionTime: at },
  }));
  must(
    await client.mergePatch(`${GATEWAYS}/${name}/status`, {
      status: { capacity: 32, conditions, onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }] },
    }),
  );
}

/** What controller and agents say once the gateway answers for the address. */
async function hold(gateway: string): Promise<void> {
  must(await client.mergePatch(`${EGRESS_IPS}/${IP}`, { spec: { order: [{ gateway, session: 1 }] } }));
  must(
    await client.mergePatch(`${EGRESS_IPS}/${IP}/status`, {
      status: { gateway, phase: 'Announced', message: `${gateway} answers` },
    }),
  );
}

function run(...words: readonly string[]): Promise<Ended> {
  return collectOutput(
    spawn(process.execPath, [PROGRAM, ...words], {
      cwd: folder,
      env: { HOME: folder, KUBECONFIG: server.kubeconfigPath },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
}

const drainOf = async (node: string): Promise<string | undefined> =>
  (await read(`/api/v1/nodes/${node}`)).metadata.annotations?.['sallyport.dev/drain'];

test('status tells who holds the address, and that the gateway is healthy', async () => {
  const text = await run('status');
  expect(text).toMatchObject({ code: 0, err: '' });
  expect(text.out).toMatch(/^203\.0\.113\.10 +gw-1 +yes +- +Announced /m);
  const json = await run('status', '-o', 'json');
  expect(JSON.parse(json.out)).toMatchObject({
    egressIps: [{ address: IP, gateway: 'gw-1', healthy: 'yes', policies: ['EgressPolicy/web'] }],
    gateways: [{ node: 'gw-1', leaves: null }, { node: 'gw-2' }],
    policies: [{ name: 'web' }],
  });
});

test('drain --wait ends when the address is elsewhere, and tells where', async () => {
  const drained = run('drain', 'gw-1', '--wait', '--timeout', '60s');
  await waitUntil('the annotation', async () => (await drainOf('gw-1')) === 'true' || undefined);
  await hold('gw-2');
  expect(await drained).toEqual({
    code: 0,
    err: '',
    out: `node gw-1 is to hold no egress IPs; it holds ${IP}\n${IP} is at gw-2\nnode gw-1 is empty\n`,
  });
  expect((await run('status')).out).toMatch(/^gw-1 .* drained/m);
});

test('a drain that does not end in time says why, and stays asked for', async () => {
  must(
    await client.mergePatch(`${EGRESS_IPS}/${IP}/status`, {
      status: { message: 'no better gateway has room' },
    }),
  );
  const ended = await run('drain', 'gw-2', '--wait', '--timeout', '1s');
  expect(ended.code).toBe(1);
  expect(ended.err).toContain(`${IP} (Announced): no better gateway has room`);
  expect(await drainOf('gw-2')).toBe('true');
});

test('undrain takes the wish back, also twice', async () => {
  for (const node of ['gw-1', 'gw-2']) expect(await run('undrain', node)).toMatchObject({ code: 0, err: '' });
  expect(await drainOf('gw-1')).toBeUndefined();
  expect(await run('undrain', 'gw-1')).toMatchObject({ code: 0, err: 'node gw-1 was not drained\n' });
});

test('what is not there is named, with what there is', async () => {
  const node = await run('drain', 'gw-9');
  expect(node).toMatchObject({
    code: 2,
    err: 'sallyport drain: there is no node gw-9; the gateways are gw-1, gw-2\n',
  });
  const missing = await run('rebalance', 'nobody');
  expect(missing).toMatchObject({ code: 2 });
  expect(missing.err).toContain('there is no policy nobody');
});

test('rebalance --wait ends when the policy says that it was carried out', async () => {
  const ended = run('rebalance', 'web', '--wait', '--timeout', '60s');
  const wish = await waitUntil(
    'the annotation',
    async () => (await read(`${POLICIES}/web`)).metadata.annotations?.['sallyport.dev/rebalance'],
  );
  must(await client.mergePatch(`${POLICIES}/web/status`, { status: { rebalanced: wish } }));
  expect(await ended).toMatchObject({ code: 0, err: '', out: expect.stringContaining('web: done') });
});

test('rotate-peer-key finds the namespace and marks the Secret, whose content it does not show', async () => {
  const missing = await run('rotate-peer-key');
  expect(missing).toMatchObject({ code: 2, err: expect.stringContaining('say with --namespace') });
  const named = (name: string) => ({ apiVersion: 'v1', metadata: { name } });
  const inside = `/api/v1/namespaces/${NAMESPACE}`;
  must(await client.create(`${inside}/configmaps`, { ...named('sallyport-voters'), kind: 'ConfigMap' }));
  const data = { 'key-1': Buffer.from('a secret').toString('base64') };
  must(await client.create(`${inside}/secrets`, { ...named('sallyport-peer-key'), kind: 'Secret', data }));
  const ended = await run('rotate-peer-key');
  expect(ended).toMatchObject({ code: 0, err: '' });
  expect(ended.out).not.toContain(data['key-1']);
  const secret = await read(`${inside}/secrets/sallyport-peer-key`);
  expect(secret.metadata.annotations).toMatchObject({ 'sallyport.dev/rotate': 'now' });
});

test('validate --live, and by the file that facts wrote, say the same of pools that cannot be', async () => {
  writeFileSync(
    path.join(folder, 'policies.json'),
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        policy('taken', `${IP}/32`),
        policy('node', '203.0.113.12/32'),
        policy('fine', '203.0.113.50/32'),
      ],
    }),
  );
  const live = await run('validate', 'policies.json', '--live', '-o', 'json');
  expect(live).toMatchObject({ code: 1, err: '' });
  const report = JSON.parse(live.out);
  expect(report).toMatchObject({
    notJudged: [],
    judgedAmongFilesOnly: [],
    summary: { policies: 3, denied: 2 },
  });
  const codes = report.violations.map(
    (it: { readonly name: string; readonly code: string }) => `${it.name} ${it.code}`,
  );
  expect(codes).toEqual(expect.arrayContaining(['taken pool-overlap', 'node pool-node-address']));
  const facts = await run('facts');
  expect(facts).toMatchObject({ code: 0, err: '' });
  writeFileSync(path.join(folder, 'facts.json'), facts.out);
  const filed = await run('validate', 'policies.json', '--cluster-facts', 'facts.json', '-o', 'json');
  expect(JSON.parse(filed.out).violations).toEqual(report.violations);
});

test('whoever may not read a collection is told, and what needs it is not judged', async () => {
  kubectl('create', 'serviceaccount', 'reader', '-n', 'default');
  const resources = 'nodes,gatewaynodes.sallyport.dev,egresspolicies.sallyport.dev';
  kubectl('create', 'clusterrole', 'reader', '--verb=get,list', `--resource=${resources}`);
  kubectl(
    'create',
    'clusterrolebinding',
    'reader',
    '--clusterrole=reader',
    '--serviceaccount=default:reader',
  );
  const token = kubectl('create', 'token', 'reader', '-n', 'default').trim();
  const config = JSON.parse(kubectl('config', 'view', '--raw', '-o', 'json'));
  writeFileSync(
    path.join(folder, 'reader'),
    JSON.stringify({ ...config, users: [{ name: 'admin', user: { token } }] }),
  );
  const ended = await run('validate', 'policies.json', '--live', '--kubeconfig', 'reader', '-o', 'json');
  expect(ended.code).toBe(1);
  expect(ended.err).toContain('pods is forbidden');
  expect(JSON.parse(ended.out).notJudged).toContain('pool-load-balancer');
  const refused = await run('drain', 'gw-1', '--kubeconfig', 'reader');
  expect(refused).toMatchObject({ code: 2 });
  expect(refused.err).toMatch(/forbidden.*ask whoever runs the cluster/);
});
