/** What the chart renders, and what its schema refuses, by helm itself. */
import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { readHealthSettings } from '../../failover/readHealthSettings.ts';
import { readEnv } from '../../runtime/readEnv.ts';
import { readWebhookConfig } from '../../webhook/config.ts';
import { runCommand } from '../cluster/command.ts';
import { ensureToolchain } from '../cluster/toolchain.ts';

const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');
const BUILD_TIMEOUT_MS = 1_800_000;
/** A TCP probe that lacks its port. */
const PROBE = ['name=web', 'type=tcp', 'target=198.51.100.10']
  .map((field) => `agent.healthProbes[0].${field}`)
  .join(',');
/** Whole but for its target. */
const PING = ['name=web', 'type=icmp'].map((field) => `agent.healthProbes[0].${field}`).join(',');
const PROGRAMS = ['webhook', 'controller', 'agent'];

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Container {
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumeMounts?: readonly object[];
}

interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly containers: readonly Container[];
  readonly volumes?: readonly object[];
}

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly rules?: readonly Rule[];
  readonly webhooks?: readonly {
    readonly name: string;
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

test('the controller changes one Secret and reads no other; agents only read it', async () => {
  const roles = (await render()).filter(({ kind }) => kind.endsWith('Role'));
  const about = (program: string) =>
    roles
      .filter(({ metadata }) => metadata.name === `egress-${program}`)
      .flatMap(({ rules }) => rules ?? [])
      .filter(({ resources }) => resources.includes('secrets'))
      .map(({ resourceNames, verbs }) => [resourceNames ?? [], verbs]);
  expect(about('controller')).toEqual([
    [['sallyport-peer-key'], ['get', 'update']],
    // What is not there yet has no name that a rule could hold to.
    [[], ['create']],
  ]);
  expect(about('agent')).toEqual([[['sallyport-peer-key'], ['list', 'watch']]]);
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

test('the fast path can be switched on', async () => {
  const settingOf = async (...settings: readonly string[]) =>
    podOf(await render(...settings), 'agent').containers[0]?.env?.find(({ name }) => name === 'FAST_PATH')
      ?.value;
  expect(await settingOf()).toBe('off');
  expect(await settingOf('agent.fastPath=true')).toBe('on');
});

test('what gateways check reaches the agent as it was written', async () => {
  const settingsOf = async (...settings: readonly string[]) => {
    const env = podOf(await render(...settings), 'agent').containers[0]?.env ?? [];
    return readEnv(Object.fromEntries(env.map(({ name, value }) => [name, value])), readHealthSettings);
  };
  expect(await settingsOf()).toEqual({ kind: 'ok', value: { probes: [], nextHopCheck: true } });
  const probe = (index: number, fields: string) =>
    fields.split(' ').map((field) => `agent.healthProbes[${index}].${field}`);
  const settings = await settingsOf(
    'agent.nextHopCheck=false',
    ...probe(
      0,
      'name=up type=http target=198.51.100.10 path=/live?x failures=20 nodeSelector.matchLabels.zone=a',
    ),
    ...probe(1, 'name=ping type=icmp target=2001:db8:51::11'),
  );
  expect(settings).toMatchObject({
    kind: 'ok',
    value: {
      nextHopCheck: false,
      probes: [
        {
          method: { kind: 'http', port: 80, path: '/live?x' },
          failures: 20,
          nodes: { requirements: [{ key: 'zone', operator: 'In', values: ['a'] }] },
        },
        { name: 'ping', method: { kind: 'icmp' } },
      ],
    },
  });
});

test('who may ask for reviews is nobody in particular, or names under an authority from a ConfigMap', async () => {
  const webhookOf = async (...settings: readonly string[]) => {
    const { containers, ...pod } = podOf(await render(...settings), 'webhook');
    const env = Object.fromEntries((containers[0]?.env ?? []).map(({ name, value = 'x' }) => [name, value]));
    const config = readWebhookConfig({ ...env, KUBECONFIG: '/kubeconfig' });
    return { config, mounts: containers[0]?.volumeMounts ?? [], volumes: pod.volumes ?? [] };
  };
  const open = await webhookOf();
  expect(open).toMatchObject({ config: { kind: 'ok' }, mounts: [], volumes: [] });
  expect(open.config).not.toHaveProperty('value.clients');
  const closed = await webhookOf(
    'webhook.clientCertificates.configMap=front',
    'webhook.clientCertificates.names={kube-apiserver,b}',
  );
  expect(closed.config).toMatchObject({
    value: { clients: { bundlePath: '/etc/sallyport/client-ca/ca.crt', names: ['kube-apiserver', 'b'] } },
  });
  expect(closed.mounts).toMatchObject([{ name: 'client-ca', mountPath: '/etc/sallyport/client-ca' }]);
  expect(closed.volumes).toMatchObject([{ name: 'client-ca', configMap: { name: 'front' } }]);
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

test('no status of our own waits for a webhook, and none is refused where agents cannot be told apart', async () => {
  const validating = (await render()).find(({ kind }) => kind === 'ValidatingWebhookConfiguration');
  const named = (validating?.webhooks ?? []).map(({ name, failurePolicy }) => [name, failurePolicy]);
  expect(Object.fromEntries(named)).toEqual({
    'validate.policies.sallyport.dev': 'Fail',
    'validate.cilium.sallyport.dev': 'Ignore',
    'validate.statuses.sallyport.dev': 'Ignore',
  });
});

test('the webhook watches what it judges by, and changes nothing of it', async () => {
  const roles = (await render()).filter(
    ({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === 'egress-webhook',
  );
  const read = roles
    .flatMap(({ rules }) => rules ?? [])
    .filter(({ apiGroups }) => !apiGroups.includes('admissionregistration.k8s.io'));
  expect(read.flatMap(({ resources }) => resources)).toEqual(
    expect.arrayContaining([
      'nodes',
      'pods',
      'namespaces',
      'services',
      'servicecidrs',
      'egressips',
      'ipaddresspools',
    ]),
  );
  // A policy is looked at once more before a denial rests on it.
  const looks = read.filter(({ verbs }) => verbs.includes('get')).flatMap(({ resources }) => resources);
  expect(looks).toEqual(['egresspolicies', 'ciliumegressgatewaypolicies']);
  for (const { verbs } of read) expect([['list', 'watch'], ['get']]).toContainEqual(verbs);
});

test.each([
  { name: 'ports that are no whole granules', setting: 'controller.initialPorts=100' },
  { name: 'a port out of range', setting: 'network.tunnelPort=0' },
  { name: 'a network identifier out of range', setting: 'network.tunnelVni=16777216' },
  { name: 'an address in place of a network', setting: 'network.routableCidrs={10.0.0.1}' },
  { name: 'an update of no node at a time', setting: 'agent.maxUnavailable=0' },
  { name: 'a misspelt value', setting: 'agent.leaseSecond=3' },
  { name: 'an unknown log level', setting: 'logLevel=trace' },
  { name: 'a probe of a host name', setting: `${PROBE},agent.healthProbes[0].target=example.com` },
  { name: 'a probe of a link-local address', setting: `${PING},agent.healthProbes[0].target=fe80::1` },
  {
    name: 'a probe of an address with a zone',
    setting: `${PING},agent.healthProbes[0].target=2001:db8::1%eth0`,
  },
  { name: 'a TCP probe without a port', setting: PROBE },
  {
    name: 'a ping of a port',
    setting: `${PROBE},agent.healthProbes[0].type=icmp,agent.healthProbes[0].port=1`,
  },
  { name: 'a misspelt field of a probe', setting: `${PROBE},agent.healthProbes[0].prt=1` },
  { name: 'more addresses a policy than the controller serves', setting: 'webhook.poolAddressesMax=1025' },
  { name: 'an authority without names', setting: 'webhook.clientCertificates.configMap=front' },
  { name: 'no replica', setting: 'webhook.replicas=0' },
  { name: 'a key that is changed before it was made', setting: 'controller.peerKeyRotationHours=-1' },
])('the schema refuses $name', async ({ setting }) => {
  const { code, stderr } = await template([setting], true);
  expect(code).not.toBe(0);
  expect(stderr).toContain(setting.split('=')[0]?.split('.')[0]);
});
