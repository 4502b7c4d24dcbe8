/** On a cluster with Cilium's own kind of the same name: the chart leaves it alone, and our own kind is served beside it. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { collectionPath, EGRESS_POLICY, GATEWAY_NODE } from '../../policy/names.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { CILIUM_V2_CRD } from './ciliumV2Crd.ts';
import {
  createGateway,
  egressPolicy,
  must,
  startWebhookProgram,
  type WebhookProgram,
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
  helm('uninstall', 'sallyport');
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
  helm('uninstall', 'sallyport');
  must(await client.remove(`${CRDS}/${THEIRS}`));
  await waitUntil(
    'it to be gone',
    async () => (await client.get(`${CRDS}/${THEIRS}`)).kind !== 'ok' || undefined,
  );
  must(await client.create(CRDS, CILIUM_V2_CRD));
});

test('the webhook is ready beside it and judges our own kind', async () => {
  for (const kind of [EGRESS_POLICY, GATEWAY_NODE])
    await waitUntil(
      kind.plural,
      async () => (await client.get(collectionPath(kind))).kind === 'ok' || undefined,
    );
  await createGateway(client);
  program = await startWebhookProgram(api, 'webhook-0');
  const started = program;
  const object = egressPolicy('p', [{ cidr: '192.0.2.1/32' }]);
  const [group, version] = object.apiVersion.split('/');
  const request = {
    uid: 'u',
    kind: { group, version, kind: object.kind },
    operation: 'CREATE',
    name: 'p',
    object,
  };
  const answer = await waitUntil('the webhook to judge', async () => {
    const { status, body } = await started.ask('validate', {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      request,
    });
    return status === 200 ? body : undefined;
  });
  expect(answer).toMatchObject({
    response: { allowed: false, status: { message: expect.stringContaining('(pool-unroutable)') } },
  });
});
