/** What the chart renders, and what its schema refuses, by helm itself. */
import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { runCommand } from '../cluster/command.ts';
import { ensureToolchain } from '../cluster/toolchain.ts';

const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');
const BUILD_TIMEOUT_MS = 1_800_000;
const PROGRAMS = ['webhook', 'controller', 'agent'];

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Container {
  readonly args: readonly string[];
  readonly securityContext: Readonly<Record<string, unknown>>;
}

interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly containers: readonly Container[];
}

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly rules?: readonly Rule[];
  readonly webhooks?: readonly {
    readonly failurePolicy: string;
    readonly clientConfig: Readonly<Record<string, unknown>>;
  }[];
  readonly spec?: { readonly template?: { readonly spec: PodSpec } };
}

let helm: string;

beforeAll(async () => {
  const { folder } = await ensureToolchain({ onProgress: (line) => console.log(line) });
  helm = path.join(folder, 'helm');
}, BUILD_TIMEOUT_MS);

function template(settings: readonly string[], allowFailure = false) {
  const sets = settings.flatMap((setting) => ['--set', setting]);
  // Without a cluster helm has to be told the version it renders for.
  const argv = [helm, 'template', 'egress', CHART, '--namespace', 'net', '--kube-version', '1.37.2', ...sets];
  return runCommand('rendering the chart', argv, { allowFailure });
}

async function render(...settings: readonly string[]): Promise<readonly Rendered[]> {
  const { stdout } = await template(settings);
  const documents = parseAllDocuments(stdout, { uniqueKeys: true });
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  return documents.map((document) => document.toJS()).filter((object) => object !== null);
}

function named(objects: readonly Rendered[], kind: string): readonly string[] {
  return objects.filter((object) => object.kind === kind).map(({ metadata }) => metadata.name);
}

function podOf(objects: readonly Rendered[], program: string): PodSpec {
  const owner = objects.find(({ metadata, spec }) => spec?.template && metadata.name === `egress-${program}`);
  if (owner?.spec?.template === undefined) throw new Error(`no pods of ${program}`);
  return owner.spec.template.spec;
}

test('helm has no complaint', async () => {
  await runCommand('linting the chart', [helm, 'lint', '--strict', CHART]);
});

test('every CRD is there and stays when the release goes', async () => {
  const crds = (await render()).filter(({ kind }) => kind === 'CustomResourceDefinition');
  expect(named(crds, 'CustomResourceDefinition').toSorted()).toEqual([
    'ciliumegressgatewaypolicies.cilium.io',
    'egressips.sallyport.dev',
    'egresspolicies.sallyport.dev',
    'gatewaynodes.sallyport.dev',
  ]);
  for (const { metadata } of crds) expect(metadata.annotations?.['helm.sh/resource-policy']).toBe('keep');
});

test('CRDs can be left to somebody else, all or the one that Cilium has too', async () => {
  expect(named(await render('crds.install=false'), 'CustomResourceDefinition')).toEqual([]);
  const others = named(await render('crds.ciliumEgressGatewayPolicy=false'), 'CustomResourceDefinition');
  expect(others).toHaveLength(3);
  expect(others).not.toContain('ciliumegressgatewaypolicies.cilium.io');
});

test('no role has a wildcard', async () => {
  const rules = (await render()).flatMap((object) => object.rules ?? []);
  expect(rules.length).toBeGreaterThan(10);
  const words = rules.flatMap(({ apiGroups, resources, verbs }) => [...apiGroups, ...resources, ...verbs]);
  expect(words.filter((word) => word.includes('*'))).toEqual([]);
});

test('the Deployments are restricted; the agent has two capabilities and nothing more', async () => {
  const objects = await render();
  const locked = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true };
  for (const program of ['webhook', 'controller']) {
    const { securityContext, containers } = podOf(objects, program);
    expect(securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(containers[0]?.securityContext).toEqual({ ...locked, capabilities: { drop: ['ALL'] } });
  }
  const agent = podOf(objects, 'agent');
  expect(agent).toMatchObject({ hostNetwork: true, tolerations: [{ operator: 'Exists' }] });
  expect(agent.containers[0]?.securityContext).toEqual({
    ...locked,
    runAsUser: 0,
    capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
  });
});

test('each program is started from the bundle of its name', async () => {
  const objects = await render();
  for (const program of PROGRAMS)
    expect(podOf(objects, program).containers[0]?.args).toEqual([`/app/${program}.js`]);
});

test('validation fails closed, defaults fail open, and no certificate comes from the chart', async () => {
  const configurations = (await render()).filter(({ webhooks }) => webhooks !== undefined);
  const policies = configurations.map(({ kind, webhooks }) => [kind, webhooks?.[0]?.failurePolicy]);
  expect(Object.fromEntries(policies)).toEqual({
    ValidatingWebhookConfiguration: 'Fail',
    MutatingWebhookConfiguration: 'Ignore',
  });
  for (const { webhooks } of configurations)
    expect(webhooks?.[0]?.clientConfig).not.toHaveProperty('caBundle');
});

test.each([
  { name: 'ports that are no whole granules', setting: 'controller.initialPorts=100' },
  { name: 'a port out of range', setting: 'network.tunnelPort=0' },
  { name: 'a network identifier out of range', setting: 'network.tunnelVni=16777216' },
  { name: 'an address in place of a network', setting: 'network.routableCidrs={10.0.0.1}' },
  { name: 'an update of no node at a time', setting: 'agent.maxUnavailable=0' },
  { name: 'a misspelt value', setting: 'agent.leaseSecond=3' },
  { name: 'an unknown log level', setting: 'logLevel=trace' },
  { name: 'no replica', setting: 'webhook.replicas=0' },
])('the schema refuses $name', async ({ setting }) => {
  const { code, stderr } = await template([setting], true);
  expect(code).not.toBe(0);
  expect(stderr).toContain(setting.split('=')[0]?.split('.')[0]);
});
