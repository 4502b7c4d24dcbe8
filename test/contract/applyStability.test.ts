/** What is applied again changes nothing: no write, no new generation, no other owner of a field; GitOps stays quiet. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_POLICY,
  GATEWAY_NODE,
} from '../../policy/names.ts';
import { DEFINITIONS, renderCrd } from '../../policy/schema/crds.ts';
import { DEFAULTS } from '../../policy/setDefaults.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { runKubectl } from './runKubectl.ts';
import {
  createConfigurations,
  createGateway,
  must,
  startWebhookProgram,
  type WebhookProgram,
  waitUntilInForce,
} from './webhookProgram.ts';

const POLICIES = collectionPath(EGRESS_POLICY);
let api: ApiServer;
let client: KubeClient;
let program: WebhookProgram | undefined;

interface Stored {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly generation: number;
    readonly managedFields: readonly { readonly manager: string; readonly operation: string }[];
  };
  readonly spec: {
    readonly destinationCIDRs: readonly string[];
    readonly egressGateway: Readonly<Record<string, unknown>>;
  };
}

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(api.access);
  for (const definition of DEFINITIONS)
    must(
      await client.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', renderCrd(definition)),
    );
  for (const kind of [CILIUM_EGRESS_GATEWAY_POLICY, EGRESS_POLICY, GATEWAY_NODE])
    await waitUntil(
      kind.plural,
      async () => (await client.get(collectionPath(kind))).kind === 'ok' || undefined,
    );
  await createGateway(client);
  // Stored with the schema's defaults alone.
  for (const { name, manifest } of MANIFESTS.filter(({ needsWebhook }) => !needsWebhook))
    must(await client.create(POLICIES, { ...manifest, metadata: { name: `schema-${name}` } }));
  for (const { name } of MANIFESTS.filter(({ needsWebhook }) => !needsWebhook)) {
    bySchema.set(name, (await read(`schema-${name}`)).spec);
    must(await client.remove(`${POLICIES}/schema-${name}`));
  }
  program = await startWebhookProgram(api, 'webhook-0');
  await createConfigurations(client, program.port);
  await waitUntilInForce(client);
}, 1_800_000);

afterAll(async () => {
  await program?.stop();
  await client?.close();
  await api?.stop();
});

const bySchema = new Map<string, Stored['spec']>();
const read = async (name: string): Promise<Stored> => must(await client.get(`${POLICIES}/${name}`)) as Stored;

const MANIFESTS = [
  { name: 'short', needsWebhook: false, manifest: egressPolicy('short', [{ cidr: '203.0.113.20/32' }]) },
  { name: 'bare', needsWebhook: true, manifest: egressPolicy('bare', [{ cidr: '203.0.113.21' }]) },
  {
    name: 'range',
    needsWebhook: false,
    manifest: egressPolicy('range', [{ from: '203.0.113.30', to: '203.0.113.33', shared: true }]),
  },
  {
    name: 'whole',
    needsWebhook: false,
    manifest: egressPolicy(
      'whole',
      [{ cidr: '203.0.113.40/30' }],
      { destinationCIDRs: ['10.2.0.0/16', '10.1.0.0/16'], excludedCIDRs: ['10.1.2.0/24'] },
      {
        strategy: 'Failover',
        affinity: 'Connection',
        failureMode: 'Open',
        returnPolicy: 'Return',
        returnAfter: '90s',
      },
    ),
  },
];

describe.each(MANIFESTS)('the manifest "$name"', ({ name, manifest, needsWebhook }) => {
  const text = JSON.stringify(manifest);

  test('applied twice by one manager is written once', async () => {
    const apply = ['apply', '--server-side', '--field-manager', 'gitops', '-f', '-'];
    expect(runKubectl(api, apply, text)).toMatchObject({ code: 0 });
    const first = await read(name);
    expect(first.metadata.managedFields).toHaveLength(1);
    expect(runKubectl(api, apply, text)).toMatchObject({ code: 0 });
    expect(await read(name)).toEqual(first);
    expect(first.metadata.generation).toBe(1);
  });

  test('shows no difference after that to server-side diff', () => {
    const diff = ['diff', '--server-side', '--field-manager', 'gitops', '-f', '-'];
    expect(runKubectl(api, diff, text)).toEqual({ code: 0, output: '' });
    expect(runKubectl(api, ['delete', EGRESS_POLICY.plural, name])).toMatchObject({ code: 0 });
  });

  test('applied twice by kubectl itself is written once, and shows no difference', async () => {
    const applied = JSON.stringify({ ...manifest, metadata: { name: `client-${name}` } });
    const apply = () => runKubectl(api, ['apply', '-f', '-'], applied);
    expect(apply()).toMatchObject({ code: 0 });
    const first = await read(`client-${name}`);
    // kubectl sends what was completed as it was written, and says "configured"; the API server writes nothing.
    expect(apply().output).toContain(needsWebhook ? 'configured' : 'unchanged');
    expect(await read(`client-${name}`)).toEqual(first);
    expect(runKubectl(api, ['diff', '-f', '-'], applied)).toEqual({ code: 0, output: '' });
    must(await client.remove(`${POLICIES}/client-${name}`));
  });
});

test('the schema and the webhook fill in the same', async () => {
  for (const { name, manifest } of MANIFESTS.filter(({ needsWebhook }) => !needsWebhook)) {
    must(await client.create(POLICIES, manifest));
    const { spec } = await read(name);
    expect(bySchema.get(name)).toEqual(spec);
    expect(Object.keys(spec.egressGateway)).toEqual(expect.arrayContaining(Object.keys(DEFAULTS)));
    must(await client.remove(`${POLICIES}/${name}`));
  }
});

test('managers share what is theirs, and are told of what is not', async () => {
  const path = `${POLICIES}/shared`;
  const base = egressPolicy('shared', [{ cidr: '203.0.113.50/32' }], { destinationCIDRs: ['10.0.0.0/8'] });
  const first = () => client.apply(path, base, { fieldManager: 'first' });
  const partial = (spec: object) => ({
    apiVersion: base.apiVersion,
    kind: base.kind,
    metadata: base.metadata,
    spec,
  });
  const second = partial({ destinationCIDRs: ['192.168.0.0/16'], egressGateway: { strategy: 'Failover' } });
  const bySecond = () => client.apply(path, second, { fieldManager: 'second' });
  must(await first());
  // A default belongs to nobody, and destinations are a set: neither is anybody's loss.
  must(await bySecond());
  const settled = await read('shared');
  expect(settled.spec.destinationCIDRs.toSorted()).toEqual(['10.0.0.0/8', '192.168.0.0/16']);
  expect(settled.spec.egressGateway.strategy).toBe('Failover');
  must(await first());
  must(await bySecond());
  expect(await read('shared')).toEqual(settled);
  const greedy = partial({ egressGateway: { ippools: [{ cidr: '203.0.113.51/32' }] } });
  expect(await client.apply(path, greedy, { fieldManager: 'third' })).toMatchObject({
    kind: 'refused',
    error: { status: 409, message: expect.stringContaining('first') },
  });
  // Who leaves takes only its own along.
  must(await client.apply(path, partial({}), { fieldManager: 'second' }));
  expect((await read('shared')).spec).toMatchObject({
    destinationCIDRs: ['10.0.0.0/8'],
    egressGateway: { strategy: DEFAULTS.strategy },
  });
});
