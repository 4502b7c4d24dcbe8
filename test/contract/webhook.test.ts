/** The webhook program, started as it is deployed, behind a real kube-apiserver: what `kubectl apply` really answers. */
import { spawnSync } from 'node:child_process';
import { request } from 'node:https';
import path from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_POLICY,
  GATEWAY_NODE,
} from '../../policy/names.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import {
  createGateway,
  HOST,
  must,
  NAMESPACE,
  startWebhookProgram,
  type WebhookProgram,
} from './webhookProgram.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const CRDS = path.join(ROOT, 'charts/sallyport/files/crds');
const CILIUM_POLICIES = collectionPath(CILIUM_EGRESS_GATEWAY_POLICY);
const OWN_POLICIES = collectionPath(EGRESS_POLICY);
const WAIT = { timeout: 20_000, interval: 100 };

const MANIFEST = `apiVersion: cilium.io/v1alpha1
kind: CiliumEgressGatewayPolicy
metadata:
  name: egress-gateway-policy
spec:
  selectors:
  - matchLabels: {app: my-app}
  destinationCIDRs: ["0.0.0.0/0"]
  egressGateway:
    ippools:
    - cidr: "203.0.113.10/32"
`;

let api: ApiServer;
let client: KubeClient;
let program: WebhookProgram | undefined;

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(api.access);
  expect(kubectl(['apply', '-f', CRDS])).toMatchObject({ status: 0 });
  for (const kind of [CILIUM_EGRESS_GATEWAY_POLICY, EGRESS_POLICY, GATEWAY_NODE])
    await vi.waitUntil(async () => (await client.get(collectionPath(kind))).kind === 'ok', WAIT);
  await createGateway(client);
  program = await startWebhookProgram(api, 'webhook-0');
  await createConfigurations(program.port);
  await waitUntilInForce();
}, 1_800_000);

afterAll(async () => {
  await program?.stop();
  await client?.close();
  await api?.stop();
});

function kubectl(args: readonly string[], input = '') {
  const done = spawnSync(path.join(api.binaries, 'kubectl'), ['--kubeconfig', api.kubeconfigPath, ...args], {
    input,
    encoding: 'utf8',
  });
  return { status: done.status, output: done.stdout + done.stderr };
}

/** As the chart installs them, but for the address; without a caBundle, which is the program's to write. */
async function createConfigurations(port: number): Promise<void> {
  const rules = [CILIUM_EGRESS_GATEWAY_POLICY, EGRESS_POLICY].map(({ group, version, plural }) => ({
    apiGroups: [group],
    apiVersions: [version],
    operations: ['CREATE', 'UPDATE'],
    resources: [plural, `${plural}/status`],
  }));
  const webhook = (endpoint: string, failurePolicy: string) => ({
    name: `${endpoint}.sallyport.dev`,
    clientConfig: { url: `https://${HOST}:${port}/${endpoint}` },
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    timeoutSeconds: 5,
    failurePolicy,
    rules,
  });
  const api = '/apis/admissionregistration.k8s.io/v1';
  const metadata = { name: 'sallyport' };
  must(
    await client.create(`${api}/validatingwebhookconfigurations`, {
      metadata,
      webhooks: [webhook('validate', 'Fail')],
    }),
  );
  must(
    await client.create(`${api}/mutatingwebhookconfigurations`, {
      metadata,
      webhooks: [webhook('mutate', 'Ignore')],
    }),
  );
}

/** The API server learns of a new configuration and of its bundle by its own watch: dry runs show when it has. */
async function waitUntilInForce(): Promise<void> {
  let seen = '';
  const inForce = async (): Promise<boolean> => {
    const tried = kubectl(
      ['create', '--dry-run=server', '-o', 'json', '-f', '-'],
      policy('probe', ['192.0.2.1/32']),
    );
    const sound = kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], MANIFEST);
    seen = tried.output + sound.output;
    return tried.output.includes('(pool-unroutable)') && sound.output.includes('Distribute');
  };
  try {
    await vi.waitUntil(inForce, { timeout: 30_000, interval: 200 });
  } catch {
    throw new Error(`the webhook is not in force:\n${seen}\n${program?.log()}`);
  }
}

function policy(name: string, cidrs: readonly string[]): string {
  return JSON.stringify(
    egressPolicy(
      name,
      cidrs.map((cidr) => ({ cidr })),
    ),
  );
}
const apply = (manifest: string) => kubectl(['apply', '-f', '-'], manifest);

/** What a reviewed policy is judged against must have reached the webhook's caches first. */
async function untilKnown(cidr: string): Promise<void> {
  await vi.waitUntil(
    () =>
      kubectl(['create', '--dry-run=server', '-f', '-'], policy('probe', [cidr])).output.includes(
        '(pool-overlap)',
      ),
    WAIT,
  );
}

async function post(body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    // Who answers is not in question here: the API server has checked the certificate in every other test.
    const outgoing = request({
      host: HOST,
      port: program?.port,
      path: '/validate',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      rejectUnauthorized: false,
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.end(body);
  });
}

test('the manifest of the documentation is accepted verbatim and completed', async () => {
  expect(apply(MANIFEST)).toMatchObject({ status: 0 });
  const stored = await client.get(`${CILIUM_POLICIES}/egress-gateway-policy`);
  expect(stored).toMatchObject({
    kind: 'ok',
    value: { spec: { egressGateway: { strategy: 'Distribute', failureMode: 'Closed', affinity: 'Pod' } } },
  });
  expect(apply(MANIFEST).output).toContain('unchanged');
});

test('an overlap with a policy of the other kind is denied and both sides are named', async () => {
  await untilKnown('203.0.113.10/32');
  const { status, output } = apply(policy('late', ['203.0.113.8/29']));
  expect(status).not.toBe(0);
  for (const part of ['denied the request', '203.0.113.8/29', '203.0.113.10/32', 'egress-gateway-policy'])
    expect(output).toContain(part);
  expect(await client.get(`${OWN_POLICIES}/late`)).toMatchObject({ error: { code: 'not-found' } });
});

test('every fault of a pool is told at once', () => {
  const { status, output } = apply(policy('faulty', ['192.0.2.1/32', '203.0.113.11/32']));
  expect(status).not.toBe(0);
  expect(output).toContain('(pool-unroutable)');
  expect(output).toContain('(pool-node-address)');
});

test('a kind of another project is known within seconds of its installation, and is none when it is gone', async () => {
  const dryRun = () =>
    kubectl(['create', '--dry-run=server', '-f', '-'], policy('probe', ['203.0.113.240/32'])).output;
  expect(dryRun()).not.toContain('denied');
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'ipaddresspools.metallb.io' },
    spec: {
      group: 'metallb.io',
      names: { kind: 'IPAddressPool', plural: 'ipaddresspools', singular: 'ipaddresspool' },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1beta1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  };
  const pool = {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { namespace: NAMESPACE, name: 'main' },
    spec: { addresses: ['203.0.113.240-203.0.113.249'] },
  };
  expect(apply(JSON.stringify(crd))).toMatchObject({ status: 0 });
  await vi.waitUntil(() => apply(JSON.stringify(pool)).status === 0, WAIT);
  await vi.waitUntil(() => dryRun().includes('(pool-load-balancer)'), WAIT);
  expect(dryRun()).toContain(`IPAddressPool ${NAMESPACE}/main`);
  expect(kubectl(['delete', 'crd', 'ipaddresspools.metallb.io'])).toMatchObject({ status: 0 });
  await vi.waitUntil(() => !dryRun().includes('denied'), WAIT);
}, 90_000);

test("the chart's webhook configurations are what an API server takes, their conditions compiled", () => {
  const chart = path.join(ROOT, 'charts/sallyport');
  const shown = ['--show-only', 'templates/webhookConfigurations.yaml', '--kube-version', '1.37.2'];
  const rendered = spawnSync(path.join(api.binaries, 'helm'), ['template', 'chart', chart, ...shown], {
    encoding: 'utf8',
  });
  expect(rendered.stderr).toBe('');
  expect(rendered.stdout).toContain('matchConditions');
  expect(kubectl(['create', '--dry-run=server', '-f', '-'], rendered.stdout)).toMatchObject({ status: 0 });
});

test('a status that a person writes is denied, and the writer is named', () => {
  const { status, output } = kubectl([
    'patch',
    CILIUM_EGRESS_GATEWAY_POLICY.plural,
    'egress-gateway-policy',
    '--subresource=status',
    '--type=merge',
    '-p',
    '{"status":{"egress":"elsewhere"}}',
  ]);
  expect(status).not.toBe(0);
  expect(output).toContain('(status-write)');
  expect(output).toContain('only the controller');
});

test('a policy may grow, be labelled and be deleted; then its addresses are free', async () => {
  expect(apply(policy('growing', ['203.0.113.20/32']))).toMatchObject({ status: 0 });
  await untilKnown('203.0.113.20/32');
  expect(apply(policy('growing', ['203.0.113.20/32', '203.0.113.21/32']))).toMatchObject({ status: 0 });
  expect(kubectl(['label', 'egresspolicies', 'growing', 'a=b'])).toMatchObject({ status: 0 });
  expect(kubectl(['delete', 'egresspolicies', 'growing'])).toMatchObject({ status: 0 });
  await vi.waitUntil(() => apply(policy('next', ['203.0.113.21/32'])).status === 0, WAIT);
});

test.each(['{', '{}', '[]'])('%s is no review: 400, and the webhook lives on', async (body) => {
  expect(await post(body)).toBe(400);
  expect(
    kubectl(['create', '--dry-run=server', '-f', '-'], policy('after', ['203.0.113.30/32'])),
  ).toMatchObject({
    status: 0,
  });
});

test('told to end, it goes on deciding while it drains, then ends by itself', async () => {
  const child = program?.child;
  const ended = new Promise((resolve) => child?.once('exit', (code, signal) => resolve({ code, signal })));
  child?.kill('SIGTERM');
  await vi.waitUntil(() => program?.log().includes('"draining"'), WAIT);
  const during = kubectl(['create', '--dry-run=server', '-f', '-'], policy('during', ['203.0.113.30/32']));
  expect(during).toMatchObject({ status: 0 });
  expect(await ended).toEqual({ code: 0, signal: null });
}, 30_000);
