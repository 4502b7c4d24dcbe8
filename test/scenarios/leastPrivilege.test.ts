/**
 * What the programs are allowed to do on a real cluster, and what they do: the API server's audit log beside the roles of
 * the chart, and the capabilities of their processes. The product is driven through what it does now and then; what it does
 * only when something went wrong stands in a list with the reason.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { PEER_KEY_SECRET, ROTATE_ANNOTATION } from '../../policy/names.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { auditLog } from '../cluster/controlPlaneBoot.ts';
import { findProcesses } from '../cluster/memberProcesses.ts';
import { type AccountUse, describeAccess, grantsOf, type RbacObject, unusedOf, useOf } from './accountUse.ts';
import { readGateway } from './gatewayStates.ts';
import {
  apply,
  CHART,
  createPod,
  holderOf,
  type InstalledCluster,
  installCluster,
  MANIFEST,
  NAMESPACE,
  PATIENT_SESSION_MS,
  policy,
  refusal,
  until,
  waitProgrammed,
} from './installedCluster.ts';

const ADDRESS = '203.0.113.10';
const SECOND = '203.0.113.40';
/** Without a cluster helm has to be told the version it renders for. */
const KUBERNETES = '1.37.2';
const CONTROLLERS = 'deploy/sallyport-controller';
/** Bits of NET_ADMIN and NET_RAW (linux/capability.h). */
const NETWORK = ((1n << 12n) | (1n << 13n)).toString(16).padStart(16, '0');
const NONE = '0'.repeat(16);
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata', userGroups: [`system:serviceaccounts:${NAMESPACE}`] }, { level: 'None' }],
};

const AFTER_CONFLICT =
  'what stands there is read after a conflict or a lost answer, which no test can call for';
const AFTER_NODE = 'the report of a node is removed a minute after the node; here all stay';
const NOT_INSTALLED = "another project's kind, listed to see whether it is there";
const POLICIES_LEFT =
  'an uninstall that finds policies takes their finalizers off, and says so; here none is left';
const FORMER = 'what a controller of before writes with, which goes on until this one is up';
/** Granted, and not used here, or not each time: `account: verb resource` → when it is. */
const NOT_SEEN: Readonly<Record<string, string>> = {
  'sallyport-controller: get ciliumegressgatewaypolicies.cilium.io': AFTER_CONFLICT,
  'sallyport-controller: get egresspolicies.sallyport.dev': AFTER_CONFLICT,
  'sallyport-controller: get egressips.sallyport.dev': AFTER_CONFLICT,
  'sallyport-controller: get configmaps': AFTER_CONFLICT,
  'sallyport-controller: update egressips.sallyport.dev': FORMER,
  'sallyport-controller: update configmaps': FORMER,
  'sallyport-controller: patch configmaps': 'another agent votes when one of them is gone for good',
  'sallyport-controller: get gatewaynodes.sallyport.dev': AFTER_NODE,
  'sallyport-controller: delete gatewaynodes.sallyport.dev': AFTER_NODE,
  'sallyport-controller: patch events': 'a sentence that is said again half a minute later is counted',
  'sallyport-webhook: update secrets': 'certificates are renewed after weeks',
  'sallyport-webhook: watch ciliumloadbalancerippools.cilium.io': NOT_INSTALLED,
  'sallyport-webhook: watch ipaddresspools.metallb.io': NOT_INSTALLED,
  'sallyport-uninstall: patch ciliumegressgatewaypolicies.cilium.io': POLICIES_LEFT,
  'sallyport-uninstall: patch egresspolicies.sallyport.dev': POLICIES_LEFT,
  'sallyport-uninstall: create events': POLICIES_LEFT,
  'sallyport-uninstall: patch events': POLICIES_LEFT,
};

let installed: InstalledCluster;
let cluster: Cluster;

beforeAll(async () => {
  installed = await installCluster({
    id: 'privilege',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: PATIENT_SESSION_MS,
    shape: [
      { name: 'gw-1', role: 'gateway', zone: 'zone-a' },
      { name: 'gw-2', role: 'gateway', zone: 'zone-b' },
      { name: 'worker-1', role: 'worker', zone: 'zone-a' },
    ],
    auditPolicy: AUDIT_POLICY,
  });
  cluster = installed.cluster;
  await createPod(cluster, { name: 'my-app', app: 'my-app', node: 'worker-1' });
  await apply(cluster, MANIFEST);
  await waitProgrammed(cluster, 'egress-gateway-policy');
}, 1_800_000);
afterAll(async () => {
  await installed?.destroy();
});

function use(): AccountUse {
  return useOf(readFileSync(auditLog(cluster.folder), 'utf8'), NAMESPACE);
}

/** What the kernel says of the process of that program: user and capabilities, whether it may gain more, its filter. */
function standing(node: string, program: string): Readonly<Record<string, string>> {
  const [pid] = findProcesses(cluster.id, node, new RegExp(`^\\S*node /app/${program}\\.js`));
  if (pid === undefined) throw new Error(`no ${program} on ${node}`);
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  const fields = lines.map((line) => line.split(/:\s+/)).map(([name = '', value = '']) => [name, value]);
  const { Uid, CapInh, CapPrm, CapEff, CapBnd, CapAmb, NoNewPrivs, Seccomp } = Object.fromEntries(fields);
  return { uid: Uid.split('\t')[1], CapInh, CapPrm, CapEff, CapBnd, CapAmb, NoNewPrivs, Seccomp };
}

async function nodesOf(component: string): Promise<readonly string[]> {
  const pods = ['get', 'pods', '-n', NAMESPACE, '-l', `app.kubernetes.io/component=${component}`];
  const { stdout } = await cluster.kubectl([...pods, '-o', 'jsonpath={.items[*].spec.nodeName}']);
  return stdout.split(' ').filter((name) => name !== '');
}

const CONFINED = { NoNewPrivs: '1', Seccomp: '2', CapInh: NONE, CapAmb: NONE };

test("a running agent has two capabilities, and its node's root has no more by it", () => {
  for (const { name } of cluster.nodes)
    expect(standing(name, 'agent')).toEqual({
      ...CONFINED,
      uid: '0',
      CapPrm: NETWORK,
      CapEff: NETWORK,
      CapBnd: NETWORK,
    });
});

test('the webhook and the controller run as nobody in particular, without any capability', async () => {
  for (const program of ['webhook', 'controller'])
    for (const node of await nodesOf(program))
      expect(standing(node, program)).toEqual({
        ...CONFINED,
        uid: '65532',
        CapPrm: NONE,
        CapEff: NONE,
        CapBnd: NONE,
      });
});

/** The policies of one kind are looked at once more when another one of the same pool is refused. */
async function refuseRivals(): Promise<void> {
  const own = {
    ...policy('own', 'nobody', [`${SECOND}/32`]),
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
  };
  await apply(cluster, own);
  for (const address of [ADDRESS, SECOND])
    expect(await refusal(cluster, policy('rival', 'nobody', [`${address}/32`]))).toContain(
      'denied the request',
    );
  await until(cluster, `${SECOND} to be placed`, async () => (await holderOf(cluster, SECOND)) !== '');
  await cluster.kubectl(['delete', 'egresspolicy', 'own', '--wait', '--timeout=30s']);
  await until(cluster, `${SECOND} to be gone`, async () => {
    const { code } = await cluster.kubectl(['get', 'eip', SECOND], { allowFailure: true });
    return code !== 0;
  });
}

async function rotatePeerKey(): Promise<void> {
  const secret = ['-n', NAMESPACE, 'secret', PEER_KEY_SECRET];
  await cluster.kubectl(['annotate', ...secret, `${ROTATE_ANNOTATION}=now`]);
  await until(cluster, 'the change of the key to begin', async () => {
    const { stdout } = await cluster.kubectl(['get', ...secret, '-o', 'jsonpath={.metadata.annotations}']);
    return !stdout.includes(ROTATE_ANNOTATION);
  });
}

/** Without a controller, an agent that starts anew names its session itself. */
async function restartHolderAlone(): Promise<void> {
  await cluster.kubectl(['-n', NAMESPACE, 'scale', CONTROLLERS, '--replicas=0']);
  await until(cluster, 'the controllers to be gone', async () => (await nodesOf('controller')).length === 0);
  const holder = await holderOf(cluster, ADDRESS);
  const { session } = await readGateway(cluster, holder);
  const agents = ['-n', NAMESPACE, '-l', 'app.kubernetes.io/component=agent'];
  await cluster.kubectl(['delete', 'pod', ...agents, '--field-selector', `spec.nodeName=${holder}`]);
  await until(cluster, `a newer session of ${holder} to be named`, async () => {
    const { stdout } = await cluster.kubectl(['get', 'eip', ADDRESS, '-o', 'jsonpath={.spec.order[-1:]}']);
    const last = JSON.parse(stdout) as { readonly gateway: string; readonly session: number };
    return last.gateway === holder && last.session > session;
  });
  await cluster.kubectl(['-n', NAMESPACE, 'scale', CONTROLLERS, '--replicas=2']);
  await cluster.waitForRollout(NAMESPACE, CONTROLLERS);
}

test('all that the roles grant is used, and nothing is denied', async () => {
  await Promise.all([refuseRivals(), rotatePeerKey()]);
  await restartHolderAlone();
  await cluster.kubectl(['delete', 'cegp', '--all', '--wait', '--timeout=30s']);
  const rendered = await cluster.helm([
    'template',
    'sallyport',
    CHART,
    '-n',
    NAMESPACE,
    '--kube-version',
    KUBERNETES,
  ]);
  const objects = parseAllDocuments(rendered.stdout).map((document) => document.toJS());
  const grants = grantsOf(objects.filter((object): object is RbacObject => object !== null));
  expect(grants.length).toBeGreaterThan(50);
  await cluster.helm(['test', 'sallyport', '-n', NAMESPACE]);
  // Whoever outlives the roles is denied everything: that is no want of theirs.
  expect(use().denials).toEqual([]);
  await cluster.helm(['uninstall', 'sallyport', '-n', NAMESPACE, '--wait', '--timeout=150s']);
  const { uses } = use();
  expect(unusedOf(grants, uses).filter((access) => !Object.hasOwn(NOT_SEEN, access))).toEqual([]);
  expect(grants.map(describeAccess)).toEqual(expect.arrayContaining(Object.keys(NOT_SEEN)));
});
