/**
 * The life of a release on a real cluster, by the commands of the operations guide: an upgrade from the version before and a
 * rollback to it under traffic and reviews, a second manager of the same manifests, and an uninstall that leaves the cluster's
 * API and the nodes' kernels as they were. Installed and uninstalled with helm 3 and with helm 4.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kubeconfigAccess } from '../../kube/clusterAccess.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { describeResult, runFault, waitWhole } from '../chaos/faultRun.ts';
import {
  makePreviousChart,
  NEW_FIELD,
  PREVIOUS_VERSION,
  type PreviousChart,
} from '../charts/previousChart.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { runCommand } from '../cluster/command.ts';
import { ensureHelm4 } from '../cluster/toolchain.ts';
import { documentedCommands } from './documentedCommands.ts';
import {
  apply,
  CHART,
  createPod,
  type InstalledCluster,
  installCluster,
  MANIFEST,
  NAMESPACE,
  sourceOf,
  until,
  waitProgrammed,
} from './installedCluster.ts';
import { readLeftovers, readNodeState } from './leftovers.ts';
import { type ReviewLoad, startReviewLoad } from './reviewLoad.ts';

const ADDRESS = '203.0.113.10';
const POD = 'my-app';
const POLICY = 'egress-gateway-policy';
const POD_NODE = 'worker-1';
const UDP_RATE = 200;
const REVIEWS_PER_SECOND = 20;
const CLIENTS = 4;
/** Nothing here is about how soon a death is noticed, and the nodes share two processors. */
const SESSION_MS = 2000;
/** How long nobody may have written to what two managers have applied. */
const QUIET_MS = 6000;

let installed: InstalledCluster;
let cluster: Cluster;
let previous: PreviousChart;
let helm4: string;
/** For `--set`: the image of this test. */
let settings: string;
/** Each node's kernel before anything was installed. */
let bare: readonly string[];
let clients: readonly KubeClient[] = [];
let load: ReviewLoad | undefined;

/** The guide's commands for helm below a heading. */
async function follow(heading: string, { chart = CHART, helm = 'helm 3' } = {}): Promise<void> {
  for (const documented of await documentedCommands(heading, 'helm')) {
    const words = documented.map((word) => (word === 'charts/sallyport' ? chart : word));
    const args = documented[0] === 'install' ? [...words, '--set', settings] : words;
    if (helm === 'helm 3') await cluster.helm(args);
    else
      await runCommand(`helm 4 ${args[0]}`, [helm4, '--kubeconfig', cluster.kubeconfigPath, ...args], {
        timeoutMs: 180_000,
      });
  }
}

const nodeStates = (of: Cluster): Promise<readonly string[]> =>
  Promise.all(of.nodes.map(({ name }) => readNodeState(of, name)));

beforeAll(async () => {
  const onProgress = (line: string): void => console.log(line);
  helm4 = await ensureHelm4({ onProgress });
  previous = await makePreviousChart();
  installed = await installCluster({
    id: 'lifecycle',
    onProgress,
    sessionMilliseconds: SESSION_MS,
    shape: [
      { name: 'gw-1', role: 'gateway', zone: 'zone-a' },
      { name: 'gw-2', role: 'gateway', zone: 'zone-b' },
      { name: POD_NODE, role: 'worker', zone: 'zone-a' },
    ],
    async install(fresh, values) {
      cluster = fresh;
      settings = values;
      bare = await nodeStates(fresh);
      await follow('Installing', { chart: previous.path });
    },
  });
  const access = kubeconfigAccess(cluster.kubeconfigPath);
  clients = Array.from({ length: CLIENTS }, () => createRestClient(access, { deadlineMs: 30_000 }));
  await createPod(cluster, { name: POD, app: POD, node: POD_NODE });
  await apply(cluster, MANIFEST);
  await waitProgrammed(cluster, POLICY);
  await waitWhole(installed, ADDRESS);
  load = startReviewLoad(clients, REVIEWS_PER_SECOND);
}, 1_800_000);
afterAll(async () => {
  await load?.stop();
  await Promise.all(clients.map((client) => client.close()));
  await installed?.destroy();
  await previous?.remove();
});

/** By kubectl, which has a field that the CRD does not know refused. */
async function applyNewField(): Promise<string> {
  const manifest = MANIFEST.replace('egressGateway:\n', `egressGateway:\n    ${NEW_FIELD}: 5m\n`);
  const dry = ['apply', '--dry-run=server', '--validate=strict', '-f', '-'];
  const { stdout, stderr } = await cluster.kubectl(dry, { stdin: manifest, allowFailure: true });
  return stdout + stderr;
}

async function annotationsOfPods(): Promise<readonly string[]> {
  const field =
    '{range .items[*]}{.metadata.deletionTimestamp}|{.metadata.annotations.sallyport\\.test/version}{"\\n"}{end}';
  const { stdout } = await cluster.kubectl(['get', 'pods', '-n', NAMESPACE, '-o', `jsonpath=${field}`]);
  const staying = stdout
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('|'));
  return [...new Set(staying.map((line) => line.slice(1)))];
}

/** Under packets both ways, connections, somebody who watches who answers, and reviews. */
async function losesNothing(name: string, change: () => Promise<void>): Promise<void> {
  await load?.take();
  const result = await runFault(
    installed,
    { inject: change },
    { address: ADDRESS, pod: POD, udpRate: UDP_RATE },
  );
  console.log(describeResult(name, result));
  expect(result).toMatchObject({ lostPackets: 0, overlaps: [], opened: 40, alive: 40, resets: 0 });
  expect(result.sources).toEqual([ADDRESS]);
  const reviews = await load?.take();
  console.log(`${name}: ${reviews?.allowed} reviews allowed, ${reviews?.denied} denied`);
  expect(reviews?.failures).toEqual([]);
  expect(Math.min(reviews?.allowed ?? 0, reviews?.denied ?? 0)).toBeGreaterThan(50);
}

test('an upgrade from the version before loses no packet and no review, and brings its fields', async () => {
  const { stdout } = await cluster.helm(['list', '-n', NAMESPACE]);
  expect(stdout).toContain(`sallyport-${PREVIOUS_VERSION}`);
  expect(await annotationsOfPods()).toEqual(['previous']);
  expect(await applyNewField()).toContain(`unknown field "spec.egressGateway.${NEW_FIELD}"`);
  await losesNothing('upgrade', () => follow('Upgrading'));
  expect(await annotationsOfPods()).toEqual(['']);
  expect(await applyNewField()).toContain('configured (server dry run)');
});

test('a rollback loses none either, and takes them back', async () => {
  await losesNothing('rollback', () => follow('Rolling back'));
  expect(await annotationsOfPods()).toEqual(['previous']);
  expect(await applyNewField()).toContain('unknown field');
});

test('a second manager of the same manifests fights with nobody', async () => {
  const { stdout } = await cluster.helm(['get', 'manifest', 'sallyport', '-n', NAMESPACE]);
  // Not the CRDs: they stay, and who applied them once owns their schema then.
  const manifests = stdout.split(/^---$/m).filter((text) => !text.includes('kind: CustomResourceDefinition'));
  const bySecond = () =>
    cluster.kubectl(['apply', '--server-side', '--field-manager=gitops', '-f', '-'], {
      stdin: manifests.join('---'),
    });
  await bySecond();
  const before = await versionsOf();
  expect(before).toContain('ValidatingWebhookConfiguration/sallyport-webhook');
  await bySecond();
  const since = performance.now();
  await cluster.waitFor(
    'the two to have had time for each other',
    async () => performance.now() - since > QUIET_MS || undefined,
  );
  await bySecond();
  expect(await versionsOf()).toBe(before);
  const bundle = '{.webhooks[*].clientConfig.caBundle}';
  const held = ['get', 'validatingwebhookconfiguration', 'sallyport-webhook', '-o', `jsonpath=${bundle}`];
  expect((await cluster.kubectl(held)).stdout.length).toBeGreaterThan(100);
});

/** Of what no program writes a status to, who wrote last; of workloads, whether what is asked for changed. */
async function versionsOf(): Promise<string> {
  const chosen = ['-l', 'app.kubernetes.io/name=sallyport', '-n', NAMESPACE, '--no-headers'];
  const read = async (kinds: string, field: string): Promise<string> => {
    const columns = `custom-columns=KIND:.kind,NAME:.metadata.name,VERSION:${field}`;
    return (await cluster.kubectl(['get', kinds, ...chosen, '-o', columns])).stdout.replaceAll(
      /^(\w+) +/gm,
      '$1/',
    );
  };
  const still =
    'validatingwebhookconfigurations,mutatingwebhookconfigurations,clusterroles,roles,services,crds';
  return (
    (await read(still, '.metadata.resourceVersion')) +
    (await read('deployments,daemonsets', '.metadata.generation'))
  );
}

async function leavesNothing(helm: 'helm 3' | 'helm 4'): Promise<void> {
  await load?.take();
  await follow('Uninstalling', { helm });
  // Verdicts change where nobody is asked any more; that nobody waits for a webhook that is gone does not.
  const failures = (await load?.take())?.failures ?? [];
  expect(failures.filter((failure) => failure.includes('failed calling webhook'))).toEqual([]);
  await until(
    cluster,
    'nothing of the release to be left',
    async () => (await readLeftovers(cluster)).length === 0,
  ).catch(() => undefined);
  expect(await readLeftovers(cluster)).toEqual([]);
  expect(await nodeStates(cluster)).toEqual(bare);
  const crds = ['get', 'crd', '-l', 'app.kubernetes.io/name=sallyport', '-o', 'name'];
  expect((await cluster.kubectl(crds)).stdout.trim().split('\n')).toHaveLength(4);
  const finalizers = ['get', 'cegp', POLICY, '-o', 'jsonpath={.metadata.finalizers}'];
  expect((await cluster.kubectl(finalizers)).stdout).toBe('');
  expect(await sourceOf(cluster, POD)).toBe(cluster.node(POD_NODE).address);
}

describe('an uninstall leaves the API and the kernels as they were, and the CRDs', () => {
  test('with helm 3', () => leavesNothing('helm 3'));

  test('with helm 4, whose install takes on what was kept', async () => {
    await follow('Installing', { helm: 'helm 4' });
    await until(
      cluster,
      `${POD} to leave with ${ADDRESS}`,
      async () => (await sourceOf(cluster, POD)) === ADDRESS,
    );
    await leavesNothing('helm 4');
  });

  test('and what is left on a node all the same can be cleared by hand', async () => {
    const run = (...argv: readonly string[]) => cluster.nodeExec(POD_NODE, argv);
    await run('nft', 'add table inet sallyport; add table netdev sallyport_guard');
    await run('ip', 'link', 'add', 'egress0', 'type', 'vxlan', 'id', '1', 'dstport', '4799');
    expect(await nodeStates(cluster)).not.toEqual(bare);
    const [debug = []] = (await documentedCommands('Uninstalling', 'kubectl')).filter(
      ([verb]) => verb === 'debug',
    );
    const values = new Map(settings.split(',').map((it) => it.split('=') as [string, string]));
    const image = `${values.get('image.repository')}:${values.get('image.tag')}`;
    const words = debug.map((word) => word.replace('NODE', POD_NODE).replace('IMAGE', image));
    const { stdout, stderr } = await cluster.kubectl(words);
    const pod = /node-debugger-\S+/.exec(stdout + stderr)?.[0] ?? '';
    const done = [
      'wait',
      `pod/${pod}`,
      '-n',
      NAMESPACE,
      '--for=jsonpath={.status.phase}=Succeeded',
      '--timeout=60s',
    ];
    await cluster.kubectl(done, { timeoutMs: 70_000 });
    expect(await nodeStates(cluster)).toEqual(bare);
  });
});
