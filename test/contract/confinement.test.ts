/**
 * What keeps the programs apart from the rest of a cluster, on a lone API server: pod security standards, who may see the
 * peer key, what Secrets the programs can make, and the network policies as far as an API server judges them. That pod
 * networks carry those out is not shown here.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import {
  CONTROLLER_LEASE,
  collectionPath,
  EGRESS_IP,
  PEER_KEY_SECRET,
  VOTERS_CONFIG_MAP,
} from '../../policy/names.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { clientWith, installChart, NAMESPACE, token } from './installedChart.ts';
import { must } from './webhookProgram.ts';

const RESTRICTED = 'restricted-pods';
const PRIVILEGED = 'privileged-pods';
const SECRETS = `/api/v1/namespaces/${NAMESPACE}/secrets`;
const METRICS_FROM = { 'kubernetes.io/metadata.name': 'monitoring' };

let api: ApiServer;
let admin: KubeClient;

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  admin = createRestClient(api.access, { deadlineMs: 30_000 });
  installChart(api, [
    'networkPolicy.enabled=true',
    'networkPolicy.metricsFrom.matchLabels.kubernetes\\.io/metadata\\.name=monitoring',
    'networkPolicy.apiServer.cidrs={10.0.0.1/32,2001:db8::1/128}',
  ]);
  for (const [name, level] of [
    [RESTRICTED, 'restricted'],
    [PRIVILEGED, 'privileged'],
  ]) {
    const labels = { 'pod-security.kubernetes.io/enforce': level };
    must(await admin.create('/api/v1/namespaces', { metadata: { name, labels } }));
    for (const program of ['agent', 'controller', 'webhook'])
      must(
        await admin.create(`/api/v1/namespaces/${name}/serviceaccounts`, {
          metadata: { name: `sallyport-${program}` },
        }),
      );
  }
}, 1_800_000);

afterAll(async () => {
  await admin?.close();
  await api?.stop();
});

interface Workload {
  readonly spec: { readonly template: { readonly metadata: object; readonly spec: PodSpec } };
}

interface PodSpec {
  readonly automountServiceAccountToken?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly containers: readonly { readonly volumeMounts?: readonly { readonly mountPath: string }[] }[];
  readonly volumes?: readonly { readonly hostPath?: { readonly path: string } }[];
}

async function templateOf(program: string): Promise<Workload['spec']['template']> {
  const kind = program === 'agent' ? 'daemonsets' : 'deployments';
  const found = await admin.get(`/apis/apps/v1/namespaces/${NAMESPACE}/${kind}/sallyport-${program}`);
  return (must(found) as Workload).spec.template;
}

/** '' where such a pod is admitted there, else the API server's words. */
async function refusalOf(program: string, namespace: string): Promise<string> {
  const { metadata, spec } = await templateOf(program);
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'probe' }, spec };
  const outcome = await admin.create(`/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod);
  return outcome.kind === 'ok' ? '' : outcome.error.message;
}

describe('pod security', () => {
  test('pods of the Deployments are admitted where it is restricted', async () => {
    for (const program of ['controller', 'webhook'])
      expect([program, await refusalOf(program, RESTRICTED)]).toEqual([program, '']);
  });

  test("an agent's pod is not; its namespace has to be privileged, for no more than these reasons", async () => {
    expect(await refusalOf('agent', PRIVILEGED)).toBe('');
    const refusal = await refusalOf('agent', RESTRICTED);
    expect(refusal).toContain('violates PodSecurity "restricted:latest"');
    const reasons = refusal.replace(/^.*latest": /, '').replaceAll(/ \([^)]*\)/g, '');
    expect(reasons.split(', ').toSorted()).toEqual([
      'host namespaces',
      'hostPort',
      'restricted volume types',
      'runAsNonRoot != true',
      'runAsUser=0',
      'unrestricted capabilities',
    ]);
  });

  test("of its node's files an agent has the network's sysctls and a folder of its own, and none of its other namespaces", async () => {
    const { spec } = await templateOf('agent');
    expect(spec.volumes?.map(({ hostPath }) => hostPath?.path)).toEqual([
      '/proc/sys/net',
      '/var/lib/sallyport',
    ]);
    expect(spec).not.toMatchObject({ hostPID: true });
    expect(spec).not.toMatchObject({ hostIPC: true });
  });

  test('only the pods of the chart are given the tokens of its accounts', async () => {
    for (const program of ['agent', 'controller', 'webhook']) {
      const account = await admin.get(`/api/v1/namespaces/${NAMESPACE}/serviceaccounts/sallyport-${program}`);
      expect(must(account)).toMatchObject({ automountServiceAccountToken: false });
      expect((await templateOf(program)).spec.automountServiceAccountToken).toBe(true);
    }
  });
});

async function mayOnKey(
  account: { readonly namespace: string; readonly name: string },
  verb: string,
): Promise<boolean> {
  const { namespace, name } = account;
  const answer = await admin.create('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    spec: {
      user: `system:serviceaccount:${namespace}:${name}`,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      resourceAttributes: { namespace: NAMESPACE, verb, resource: 'secrets', name: PEER_KEY_SECRET },
    },
  });
  return (must(answer) as { readonly status: { readonly allowed: boolean } }).status.allowed;
}

/** `create` has no name to be bound to, and what is made cannot be read by it: it is tried below. */
const VERBS = ['get', 'list', 'watch', 'update', 'patch', 'delete', 'deletecollection'];

test.each([
  { namespace: NAMESPACE, name: 'sallyport-agent', verbs: ['list', 'watch'] },
  { namespace: NAMESPACE, name: 'sallyport-controller', verbs: ['get', 'update'] },
  { namespace: NAMESPACE, name: 'sallyport-webhook', verbs: [] },
  { namespace: NAMESPACE, name: 'default', verbs: [] },
  { namespace: 'default', name: 'default', verbs: [] },
  { namespace: 'kube-system', name: 'sallyport-agent', verbs: [] },
])('$name of $namespace may do to the peer key: $verbs', async ({ verbs, ...account }) => {
  const allowed = await Promise.all(VERBS.map((verb) => mayOnKey(account, verb)));
  expect(VERBS.filter((_, index) => allowed[index])).toEqual(verbs);
});

test("programs can make their own Secrets, and none that would be filled with another account's token", async () => {
  const webhook = clientWith(api, await token(admin, 'sallyport-webhook'));
  const controller = clientWith(api, await token(admin, 'sallyport-controller'));
  const create = async (client: KubeClient, name: string, more: object = {}): Promise<string> => {
    const outcome = await client.create(`${SECRETS}?dryRun=All`, { metadata: { name }, ...more });
    return outcome.kind === 'ok' ? '' : outcome.error.message;
  };
  const filled = {
    type: 'kubernetes.io/service-account-token',
    metadata: {
      name: 'sallyport-webhook-cert',
      annotations: { 'kubernetes.io/service-account.name': 'sallyport-controller' },
    },
  };
  try {
    await waitUntil(
      'the limits to be in force',
      async () => (await create(webhook, 'x')) !== '' || undefined,
    );
    expect(await create(webhook, 'sallyport-webhook-cert')).toBe('');
    expect(await create(webhook, PEER_KEY_SECRET)).toContain('the webhook what is called after it');
    expect(await create(webhook, '', filled)).toContain('Secrets of keys and certificates only');
    expect(await create(controller, PEER_KEY_SECRET)).toBe('');
    expect(await create(controller, 'sallyport-webhook-cert')).toContain('the controller makes');
    expect(
      await create(controller, '', { ...filled, metadata: { ...filled.metadata, name: PEER_KEY_SECRET } }),
    ).toContain('Secrets of keys and certificates only');
    const maps = `/api/v1/namespaces/${NAMESPACE}/configmaps?dryRun=All`;
    expect(await controller.create(maps, { metadata: { name: VOTERS_CONFIG_MAP } })).toMatchObject({
      kind: 'ok',
    });
    expect(await controller.create(maps, { metadata: { name: 'kube-root-ca' } })).toMatchObject({
      kind: 'refused',
    });
    const leases = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
    expect(await controller.get(`${leases}/${CONTROLLER_LEASE}`)).toMatchObject({
      error: { code: 'not-found' },
    });
    expect(await controller.get(`${leases}/gateway-a`)).toMatchObject({ error: { code: 'forbidden' } });
    // What it changes a part of: it may, if only it were there.
    const part = [{ op: 'add', path: '/spec', value: {} }];
    expect(await controller.jsonPatch(`${collectionPath(EGRESS_IP)}/203.0.113.10`, part)).toMatchObject({
      error: { code: 'not-found' },
    });
    const map = (name: string): string => `/api/v1/namespaces/${NAMESPACE}/configmaps/${name}`;
    expect(await controller.mergePatch(map(VOTERS_CONFIG_MAP), { data: {} })).toMatchObject({
      error: { code: 'not-found' },
    });
    expect(await controller.mergePatch(map('kube-root-ca.crt'), { data: {} })).toMatchObject({
      error: { code: 'forbidden' },
    });
  } finally {
    await Promise.all([webhook.close(), controller.close()]);
  }
});

test('network policies say who may come to which port, and that only API servers are asked', async () => {
  const collection = `/apis/networking.k8s.io/v1/namespaces/${NAMESPACE}/networkpolicies`;
  const policyOf = async (program: string): Promise<unknown> =>
    (must(await admin.get(`${collection}/sallyport-${program}`)) as { readonly spec: unknown }).spec;
  const labelsOf = async (program: string): Promise<unknown> =>
    ((await templateOf(program)).metadata as { readonly labels: unknown }).labels;
  const common = {
    policyTypes: ['Ingress', 'Egress'],
    egress: [
      {
        ports: [443, 6443].map((port) => ({ port, protocol: 'TCP' })),
        to: ['10.0.0.1/32', '2001:db8::1/128'].map((cidr) => ({ ipBlock: { cidr } })),
      },
    ],
  };
  expect(await policyOf('webhook')).toEqual({
    ...common,
    podSelector: { matchLabels: await labelsOf('webhook') },
    ingress: [{ ports: [{ port: 'https', protocol: 'TCP' }] }],
  });
  expect(await policyOf('controller')).toEqual({
    ...common,
    podSelector: { matchLabels: await labelsOf('controller') },
    ingress: [
      {
        from: [{ namespaceSelector: { matchLabels: METRICS_FROM } }],
        ports: [{ port: 'metrics', protocol: 'TCP' }],
      },
    ],
  });
});
