/** On a cluster with Cilium's own kind of the same name: the chart leaves it alone, and our own kind is served beside it. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { collectionPath, EGRESS_POLICY, GATEWAY_NODE } from '../../policy/names.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { CILIUM_V2_CRD } from './ciliumV2Crd.ts';
import { runKubectl } from './runKubectl.ts';
import {
  createConfigurations,
  createGateway,
  must,
  startWebhookProgram,
  type WebhookProgram,
  waitUntilInForce,
} from './webhookProgram.ts';

const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const THEIRS = CILIUM_V2_CRD.metadata.name;
const V2_POLICIES = '/apis/cilium.io/v2/ciliumegressgatewaypolicies';
const OURS = ['egressips.sallyport.dev', 'egresspolicies.sallyport.dev', 'gatewaynodes.sallyport.dev'];

let api: ApiServer;
let client: KubeClient;
let program: WebhookProgram | undefined;

interface Crd {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: { readonly versions: readonly { readonly name: string }[] };
}

function helm(...args: readonly string[]): string {
  const argv = ['--kubeconfig', api.kubeconfigPath, '-n', 'net', ...args];
  const done = spawnSync(path.join(api.binaries, 'helm'), argv, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`helm ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

async function definitions(): Promise<readonly string[]> {
  const { items } = must(await client.get(CRDS)) as { readonly items: readonly Crd[] };
  return items.map(({ metadata }) => metadata.name).toSorted();
}

/** What a person or Cilium's operator could have changed; not what the API server says of it. */
async function theirs(): Promise<Pick<Crd, 'metadata' | 'spec'>> {
  const { metadata, spec } = must(await client.get(`${CRDS}/${THEIRS}`)) as Crd;
  return { metadata, spec };
}

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(api.access);
  must(await client.create(CRDS, CILIUM_V2_CRD));
  await waitUntil('the v2 kind', async () => (await client.get(V2_POLICIES)).kind === 'ok' || undefined);
}, 1_800_000);

afterAll(async () => {
  await program?.stop();
  await client?.close();
  await api?.stop();
});

test('neither install, upgrade nor uninstall touches it, and ours come and stay', async () => {
  const before = await theirs();
  helm('install', 'sallyport', CHART, '--create-namespace');
  expect(await definitions()).toEqual([THEIRS, ...OURS]);
  expect(await theirs()).toEqual(before);
  helm('upgrade', 'sallyport', CHART, '--set', 'logLevel=debug');
  expect(await theirs()).toEqual(before);
  // The Job before the uninstall needs a kubelet.
  helm('uninstall', 'sallyport', '--no-hooks');
  expect(await definitions()).toEqual([THEIRS, ...OURS]);
  expect(await theirs()).toEqual(before);
  expect(before.spec.versions.map(({ name }) => name)).toEqual(['v2']);
});

test('where it is not there the chart brings our version of it, and an upgrade keeps that', async () => {
  must(await client.remove(`${CRDS}/${THEIRS}`));
  await waitUntil(
    'it to be gone',
    async () => (await client.get(`${CRDS}/${THEIRS}`)).kind !== 'ok' || undefined,
  );
  helm('install', 'sallyport', CHART);
  expect((await theirs()).metadata.labels).toMatchObject({ 'app.kubernetes.io/name': 'sallyport' });
  expect((await theirs()).spec.versions.map(({ name }) => name)).toEqual(['v1alpha1']);
  helm('upgrade', 'sallyport', CHART, '--set', 'logLevel=debug');
  expect(await definitions()).toEqual([THEIRS, ...OURS]);
  helm('uninstall', 'sallyport', '--no-hooks');
  must(await client.remove(`${CRDS}/${THEIRS}`));
  await waitUntil(
    'it to be gone',
    async () => (await client.get(`${CRDS}/${THEIRS}`)).kind !== 'ok' || undefined,
  );
  must(await client.create(CRDS, CILIUM_V2_CRD));
});

const v2Policy = (
  name: string,
  egressGateway: object,
  selector: object = { matchLabels: { app: name } },
) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumEgressGatewayPolicy',
  metadata: { name },
  spec: {
    selectors: [{ podSelector: selector }],
    destinationCIDRs: ['0.0.0.0/0'],
    egressGateway: { nodeSelector: { matchLabels: { egress: 'yes' } }, ...egressGateway },
  },
});

test('beside it our own kind is served, and its policies are kept away from our pools', async () => {
  for (const kind of [EGRESS_POLICY, GATEWAY_NODE])
    await waitUntil(
      kind.plural,
      async () => (await client.get(collectionPath(kind))).kind === 'ok' || undefined,
    );
  await createGateway(client);
  must(
    await client.create(collectionPath(EGRESS_POLICY), egressPolicy('ours', [{ cidr: '203.0.113.20/31' }])),
  );
  program = await startWebhookProgram(api, 'webhook-0');
  await createConfigurations(client, program.port);
  await waitUntilInForce(client);
  const apply = (object: object) =>
    runKubectl(api, ['create', '--dry-run=server', '-o', 'json', '-f', '-'], JSON.stringify(object));
  const managed = apply(v2Policy('managed', { egressIP: '203.0.113.21' }));
  expect(managed.code).not.toBe(0);
  for (const part of ['(cegp-v2-managed-pool)', '203.0.113.21', '203.0.113.20/31', 'ours'])
    expect(managed.output).toContain(part);
  const both = apply(v2Policy('both', { egressIP: '203.0.113.30', interface: 'eth1' }));
  expect(both.output).toContain('(cegp-v2-interface-and-address)');
  expect(apply(v2Policy('sound', { egressIP: '203.0.113.30' }))).toMatchObject({ code: 0 });
  // A warning alone; and nothing of ours is filled in.
  const bare = apply(v2Policy('bare', {}));
  expect(bare).toMatchObject({ code: 0, output: expect.stringContaining('Warning: ') });
  expect(bare.output).not.toContain('failureMode');
});
