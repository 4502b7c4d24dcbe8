/**
 * The program that runs before an uninstall, against a real API server, with the rights that the chart gives it and no more.
 * There is no kubelet: pods are what the test says, and no node ever answers unless the test lets it.
 */
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { renderCleanupPatch } from '../../failover/core/uninstall/readWorkloads.ts';
import { uninstall } from '../../failover/io/uninstall.ts';
import { readUninstallConfig } from '../../failover/uninstallConfig.ts';
import type { EventOccurrence } from '../../kube/eventRecorder.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { CONTROLLER_LEASE, FINALIZER, PEER_KEY_SECRET, VOTERS_CONFIG_MAP } from '../../policy/names.ts';
import { createLogger } from '../../runtime/logger.ts';
import { runCommand } from '../cluster/command.ts';
import { ensureHelm4 } from '../cluster/toolchain.ts';
import { type ApiServer, startApiServer } from '../contract/apiServer.ts';
import { runKubectl } from '../contract/runKubectl.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { CHART, helmTemplate, parseManifests } from './renderChart.ts';

const NAMESPACE = 'net';
const RELEASE = 'egress';
let api: ApiServer;
let client: KubeClient;

function kubectl(args: readonly string[], input: unknown = ''): string {
  const { code, output } = runKubectl(
    api,
    [...args, '-n', NAMESPACE],
    typeof input === 'string' ? input : JSON.stringify(input),
  );
  if (code !== 0) throw new Error(output);
  return output.trim();
}

/** The Job's rights and settings, as the chart renders them. */
async function readJob() {
  const objects = parseManifests((await helmTemplate([])).stdout);
  const own = objects.filter(({ metadata }) => metadata.name === `${RELEASE}-uninstall`);
  const rights = own.filter(({ kind }) => kind !== 'Job');
  const [container] = own.find(({ kind }) => kind === 'Job')?.spec?.template?.spec.containers ?? [];
  const env = Object.fromEntries((container?.env ?? []).map(({ name, value = NAMESPACE }) => [name, value]));
  const config = readUninstallConfig({ ...env, KUBERNETES_SERVICE_HOST: 'x', KUBERNETES_SERVICE_PORT: '1' });
  if (config.kind === 'refused') throw new Error(config.error.join('\n'));
  return { rights, config: config.value };
}

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  const helm = [path.join(api.binaries, 'helm'), '--kubeconfig', api.kubeconfigPath];
  await runCommand('helm install', [
    ...helm,
    'install',
    RELEASE,
    CHART,
    '-n',
    NAMESPACE,
    '--create-namespace',
  ]);
  const { rights } = await readJob();
  kubectl(['create', '-f', '-'], { apiVersion: 'v1', kind: 'List', items: rights });
  const token = kubectl(['create', 'token', `${RELEASE}-uninstall`]);
  client = createRestClient({ ...api.access, readToken: () => token });
}, 1_800_000);
afterAll(async () => {
  await client?.close();
  await api?.stop();
});

const labels = (component: string) => ({
  'app.kubernetes.io/name': 'sallyport',
  'app.kubernetes.io/instance': RELEASE,
  'app.kubernetes.io/component': component,
});
const object = (kind: string, name: string, rest: object = {}) => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, namespace: NAMESPACE },
  ...rest,
});
const lease = (name: string) => ({ ...object('Lease', name), apiVersion: 'coordination.k8s.io/v1' });
const agentPod = (node: string) => ({
  ...object('Pod', `agent-${node}`),
  metadata: { name: `agent-${node}`, namespace: NAMESPACE, labels: labels('agent') },
  spec: {
    nodeName: node,
    serviceAccountName: `${RELEASE}-agent`,
    containers: [{ name: 'agent', image: 'x', args: ['/app/agent.js'] }],
  },
});
const policy = (name: string, finalizers: readonly string[]) => ({
  ...egressPolicy(name, [{ cidr: '203.0.113.10/32' }]),
  metadata: { name, finalizers },
});

const MADE = [
  object('ConfigMap', VOTERS_CONFIG_MAP),
  object('Secret', PEER_KEY_SECRET),
  object('Secret', `${RELEASE}-webhook-cert`),
  object('Secret', 'of-somebody-else'),
  lease(CONTROLLER_LEASE),
  lease('gateway-gw-1'),
  lease('of-somebody-else'),
  agentPod('gw-1'),
];

test('what the programs made goes, what others have stays, and a node that does not answer is named', async () => {
  kubectl(['create', '-f', '-'], { apiVersion: 'v1', kind: 'List', items: MADE });
  for (const kind of ['validatingwebhookconfiguration', 'mutatingwebhookconfiguration']) {
    const { output } = runKubectl(api, ['get', kind, `${RELEASE}-webhook`, '-o', 'name']);
    expect(output).toContain(`${RELEASE}-webhook`);
    // Only for this test's policies: no webhook is there to ask.
    kubectl(['patch', kind, `${RELEASE}-webhook`, '--type=json', '-p', NEVER]);
  }
  for (const it of [policy('held', [FINALIZER, 'theirs.example/one']), policy('free', [])])
    kubectl(['create', '-f', '-'], it);
  const occurrences: EventOccurrence[] = [];
  const { config } = await readJob();
  let now = 0;
  await uninstall({
    ...config,
    client,
    events: { record: (occurrence) => occurrences.push(occurrence) },
    logger: createLogger({ program: 'test', level: 'error' }),
    monotonicMs: () => now,
    pause: async (ms) => {
      now += ms;
    },
  });
  const left = (kinds: string): readonly string[] =>
    kubectl(['get', kinds, '-o', 'name']).split('\n').filter(Boolean).toSorted();
  expect(left('validatingwebhookconfigurations,mutatingwebhookconfigurations')).toEqual([]);
  expect(left('secrets').filter((name) => !name.includes('helm'))).toEqual(['secret/of-somebody-else']);
  expect(left('leases')).toEqual(['lease.coordination.k8s.io/of-somebody-else']);
  expect(left('configmaps').filter((name) => name.includes('sallyport'))).toEqual([]);
  expect(left('rolebindings')).not.toContain(`rolebinding.rbac.authorization.k8s.io/${RELEASE}-webhook`);
  expect(kubectl(['get', 'deployments', '-o', 'jsonpath={.items[*].spec.replicas}'])).toBe('0 0');
  expect(
    kubectl([
      'get',
      'daemonset',
      `${RELEASE}-agent`,
      '-o',
      'jsonpath={.spec.template.spec.containers[0].args}',
    ]),
  ).toBe('["/app/cleanup.js","--stay"]');
  expect(kubectl(['get', 'egresspolicies', '-o', 'jsonpath={.items[*].metadata.finalizers}'])).toBe(
    '["theirs.example/one"]',
  );
  expect(occurrences.map(({ regarding, type, reason }) => [regarding.name, type, reason])).toEqual([
    ['gw-1', 'Warning', 'SallyportNotCleared'],
  ]);
});

/** So that it takes no review, and is still there to be deleted. */
const NEVER = JSON.stringify([
  { op: 'replace', path: '/webhooks/0/rules/0/apiGroups', value: ['none.example'] },
  { op: 'replace', path: '/webhooks/0/rules/1/apiGroups', value: ['none.example'] },
]);

test('a second run finds nothing to do, and does no harm', async () => {
  const { config } = await readJob();
  // Nodes that answered: an API server without controllers has none that should.
  kubectl(['delete', 'pod', 'agent-gw-1', '--grace-period=0', '--force']);
  let now = 0;
  const pause = async (ms: number): Promise<void> => {
    now += ms;
  };
  const events = { record: () => undefined };
  const logger = createLogger({ program: 'test', level: 'error' });
  await uninstall({ ...config, client, events, logger, monotonicMs: () => now, pause });
  expect(kubectl(['get', 'egresspolicies', '-o', 'name']).split('\n')).toHaveLength(2);
});

test('what was refused ends it, with the words of the API server', async () => {
  const { config } = await readJob();
  const names = { ...config.names, controller: 'of-somebody-else' };
  const events = { record: () => undefined };
  const logger = createLogger({ program: 'test', level: 'error' });
  const rest = { events, logger, monotonicMs: () => 0, pause: async () => undefined };
  await expect(uninstall({ ...config, names, client, ...rest })).rejects.toThrow(
    /stopping of-somebody-else: .*forbidden/,
  );
});

test.each([
  { name: 'helm 3', flags: [] },
  // Who changed a field last owns it there.
  { name: 'helm 4', flags: ['--server-side=true', '--force-conflicts'] },
])('an upgrade by $name brings back what an uninstall that failed took away', async ({ name, flags }) => {
  const program = name === 'helm 4' ? await ensureHelm4() : path.join(api.binaries, 'helm');
  kubectl(['scale', 'deployment', `${RELEASE}-webhook`, '--replicas=0']);
  kubectl([
    'patch',
    'daemonset',
    `${RELEASE}-agent`,
    '--type=json',
    '-p',
    JSON.stringify(renderCleanupPatch()),
  ]);
  const upgrade = ['upgrade', RELEASE, CHART, '-n', NAMESPACE, '--reset-then-reuse-values', ...flags];
  await runCommand(name, [program, '--kubeconfig', api.kubeconfigPath, ...upgrade]);
  expect(kubectl(['get', 'deployments', '-o', 'jsonpath={.items[*].spec.replicas}'])).toBe('2 2');
  const daemonSet = JSON.parse(kubectl(['get', 'daemonset', `${RELEASE}-agent`, '-o', 'json']));
  expect(daemonSet.spec.template.spec.containers[0].args).toEqual(['/app/agent.js']);
  expect(daemonSet.spec.updateStrategy.rollingUpdate.maxUnavailable).toBe(1);
  const kinds = 'validatingwebhookconfigurations,mutatingwebhookconfigurations';
  expect(kubectl(['get', kinds, '-o', 'name']).split('\n')).toHaveLength(2);
});
