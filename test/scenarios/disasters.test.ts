/**
 * What must not happen and does: the programs are gone, etcd is that of a while ago, a disk is full, a node has another
 * name. Traffic goes on or is refused, never by another address, never two answer at once, and afterwards
 * everything catches up. By the commands of the operations guide where it has them. A clock that is set is among the
 * chaos tests (test/chaos/steppedClock.ts).
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeResult, type Fault, type FaultContext, runFault, waitWhole } from '../chaos/faultRun.ts';
import { leaderNode } from '../chaos/leaderNode.ts';
import { CHAOS_ADDRESS, CHAOS_POD, openChaosCluster } from '../chaos/openChaosCluster.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { restoreEtcd, saveEtcd } from '../cluster/etcdSnapshot.ts';
import { fillLogDisk, freeLogDisk } from '../cluster/logDisk.ts';
import { findProcesses } from '../cluster/memberProcesses.ts';
import { renameNode } from '../cluster/renameNode.ts';
import { lostOnTheWay } from '../probe/lostOnTheWay.ts';
import { documentedCommands } from './documentedCommands.ts';
import { answererStated, readEgressIp, readGateway } from './gatewayStates.ts';
import {
  apply,
  createPod,
  holderOf,
  type InstalledCluster,
  NAMESPACE,
  PATIENT_SESSION_MS,
  policy,
  refusal,
  startNamespaceTraffic,
  stopWhenFlowing,
  until,
  waitMoved,
  waitProgrammed,
} from './installedCluster.ts';

const UDP_RATE = 200;
/** What a failover may take on two shared processors: less than Kubernetes' own Leases. */
const DETECTED_MS = 2900;
const GUIDE = 'Disasters';
const SECOND = '203.0.113.40';
const AGENT = /\/app\/agent\.js/;

let installed: InstalledCluster;
let cluster: Cluster;

beforeAll(async () => {
  installed = await openChaosCluster({
    id: 'disasters',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: PATIENT_SESSION_MS,
    logDiskMegabytes: 16,
    shape: [
      { name: 'gw-1', role: 'gateway', zone: 'zone-a' },
      { name: 'gw-2', role: 'gateway', zone: 'zone-b' },
      { name: 'gw-3', role: 'gateway', zone: 'zone-b' },
      { name: 'worker-1', role: 'worker', zone: 'zone-a' },
    ],
  });
  cluster = installed.cluster;
}, 1_800_000);
afterAll(async () => {
  await installed?.destroy();
});

/** Runs the one command of the guide that scales these Deployments, and no others, to so many replicas. */
async function scale(deployments: readonly string[], replicas: number): Promise<void> {
  const commands = (await documentedCommands(GUIDE, 'kubectl')).filter((words) => {
    const named = words.filter((word) => word.startsWith('sallyport-') && word !== NAMESPACE);
    return named.join() === deployments.join() && words.includes(`--replicas=${replicas}`);
  });
  expect(commands).toHaveLength(1);
  for (const words of commands) await cluster.kubectl(words);
}

const BOTH = ['sallyport-controller', 'sallyport-webhook'];

/** Under packets both ways, connections and somebody who watches who answers. */
async function under(name: string, fault: Fault) {
  const target = { address: CHAOS_ADDRESS, pod: CHAOS_POD, udpRate: UDP_RATE };
  const result = await runFault(installed, fault, target);
  console.log(describeResult(name, result));
  expect(result).toMatchObject({ overlaps: [], opened: 40, alive: 40, resets: 0, sources: [CHAOS_ADDRESS] });
  return result;
}

async function read(what: readonly string[], jsonpath: string): Promise<string> {
  return (await cluster.kubectl(['get', ...what, '-o', `jsonpath=${jsonpath}`])).stdout;
}

describe('with the controller and the webhook at 0 replicas', () => {
  test('nothing is lost, policies are refused with a reason, and nothing else is', async () => {
    const traffic = await startNamespaceTraffic(cluster, CHAOS_POD, {
      podPush: 20,
      serverPush: 20,
      udpRate: UDP_RATE,
    });
    await scale(BOTH, 0);
    await podsGone('webhook');
    await podsGone('controller');
    const said = await refusal(cluster, policy('later', 'later', [`${SECOND}/32`]));
    expect(said).toContain('failed calling webhook "validate.policies.sallyport.dev"');
    expect(said).toContain(`sallyport-webhook.${NAMESPACE}.svc`);
    await ordinaryLife();
    const report = await stopWhenFlowing(cluster, traffic);
    expect(report.podPush).toMatchObject({ opened: 20, alive: 20, reset: 0 });
    expect(report.serverPush).toMatchObject({ opened: 20, alive: 20, reset: 0 });
    const flow = (await installed.server.report()).flows.at(-1);
    expect(flow?.received).toBeGreaterThan(0);
    expect(lostOnTheWay(report.udp, flow)).toBe(0);
  });

  test('a gateway that dies is followed by another', async () => {
    const result = await under('a power cut without a controller and a webhook', {
      inject: ({ cluster, holder }) => cluster.powerCut(holder),
      settled: answeredByAnother,
      async restore({ cluster, holder }) {
        await scale(BOTH, 2);
        await cluster.powerOn(holder);
      },
    });
    expect(result.gapMs).toBeLessThan(DETECTED_MS);
    expect(result.answerers.at(-1)).not.toBe(result.before);
  });

  test('scaled back, they catch up', async () => {
    await cluster.waitForRollout(NAMESPACE, 'deploy/sallyport-webhook');
    await apply(cluster, policy('later', 'later', [`${SECOND}/32`]));
    await waitProgrammed(cluster, 'later');
    await until(
      cluster,
      `${SECOND} to be answered for`,
      async () => (await holderOf(cluster, SECOND)) !== '',
    );
  });
});

test('with the webhook alone at 0 replicas policies are deleted as ever', async () => {
  await scale(['sallyport-webhook'], 0);
  await podsGone('webhook');
  await cluster.kubectl(['delete', 'cegp', 'later', '--timeout=20s']);
  // The object itself stays for as long as its ports rest, where nodes had any.
  expect(['', '[][]']).toContain(
    await read(['eip', SECOND, '--ignore-not-found'], '{.spec.policies}{.spec.order}'),
  );
  await scale(BOTH, 2);
  await cluster.waitForRollout(NAMESPACE, 'deploy/sallyport-webhook');
});

test('what a leader that is killed has left half done its successor finishes', async () => {
  const hosts = Array.from({ length: 40 }, (_, at) => 60 + at);
  const policies = hosts.map((host) => policy(`many-${host}`, `many-${host}`, [`203.0.113.${host}/32`]));
  const made = apply(cluster, { apiVersion: 'v1', kind: 'List', items: policies });
  const placed = async (): Promise<readonly string[]> => {
    const names = await read(['eip'], '{range .items[?(@.spec.order)]}{.metadata.name}{"\\n"}{end}');
    return names.split('\n').filter((name) => hosts.some((host) => name === `203.0.113.${host}`));
  };
  await until(cluster, 'some of the addresses to be placed', async () => (await placed()).length > 0);
  cluster.kill(await leaderNode(cluster), /\/app\/controller\.js/);
  console.log(`the leader was killed with ${(await placed()).length} of ${hosts.length} addresses placed`);
  await made;
  const type = 'ciliumegressgatewaypolicies.cilium.io';
  const all = ['wait', type, '--all', '--for=condition=Programmed', '--timeout=60s'];
  await cluster.kubectl(all, { timeoutMs: 70_000 });
  const answerers = await answerersOf();
  for (const host of hosts) expect(answerers.get(`203.0.113.${host}`)).toHaveLength(1);
  await until(cluster, 'every address to be announced', async () => {
    const phases = await read(['eip'], '{range .items[?(@.spec.order)]}{.status.phase}{"\\n"}{end}');
    return new Set(phases.trim().split('\n')).size === 1 && phases.startsWith('Announced');
  });
  await cluster.kubectl(['delete', type, ...policies.map(({ metadata }) => metadata.name), '--timeout=60s']);
});

test('a disk is full where what is logged is stored: agents answer, hand over and start anew', async () => {
  const result = await under('a full disk under the logs', {
    async inject({ cluster, holder }) {
      expect(await fillLogDisk(cluster, holder)).toBe(0);
      await moveAway(holder);
      await restartAgents(holder);
      await moveAway(await holderOf(cluster, CHAOS_ADDRESS));
    },
    restore: ({ cluster, holder }) => freeLogDisk(cluster, holder),
  });
  expect(result).toMatchObject({ lostPackets: 0 });
});

test('etcd is restored from a snapshot: nobody answers twice, no epoch is used twice, and traffic goes on', async () => {
  await waitWhole(installed, CHAOS_ADDRESS);
  await saveEtcd(cluster);
  const saved = await readEgressIp(cluster, CHAOS_ADDRESS);
  // What the snapshot does not know: two moves, a newer session of each gateway, a policy.
  await moveAway(saved.gateway);
  await restartAgents(...(await sessionsNow()).keys());
  await apply(cluster, policy('forgotten', 'forgotten', [`${SECOND}/32`]));
  await waitProgrammed(cluster, 'forgotten');
  const before = await readEgressIp(cluster, CHAOS_ADDRESS);
  const sessions = await sessionsNow();
  expect(before.epoch).toBeGreaterThan(saved.epoch);
  const result = await under('etcd restored', {
    async inject({ cluster }) {
      await restoreEtcd(cluster);
      await until(cluster, 'an epoch above all that were lost', async () => {
        const { epoch } = await readEgressIp(cluster, CHAOS_ADDRESS);
        return epoch > before.epoch;
      });
    },
  });
  expect(result).toMatchObject({ lostPackets: 0, answerers: [before.gateway] });
  const after = await sessionsNow();
  for (const [gateway, session] of sessions) expect(after.get(gateway)).toBeGreaterThanOrEqual(session);
  const gone = await cluster.kubectl(['get', 'cegp', 'forgotten'], { allowFailure: true });
  expect(gone.stderr).toContain('not found');
  await until(cluster, `${SECOND} to be answered by nobody`, async () => {
    return (await answererStated(cluster, SECOND, [])) === undefined;
  });
  const failover = await under('a power cut after it', {
    inject: ({ cluster, holder }) => cluster.powerCut(holder),
    settled: answeredByAnother,
    restore: ({ cluster, holder }) => cluster.powerOn(holder),
  });
  expect(failover.gapMs).toBeLessThan(DETECTED_MS);
});

/** The last: the cluster's own functions know the machine by its former name. */
test('a gateway gets another name: its addresses move, and it is a gateway again under the new one', async () => {
  const before = await holderOf(cluster, CHAOS_ADDRESS);
  const renamed = `${before}-new`;
  const traffic = await startNamespaceTraffic(cluster, CHAOS_POD, { podPush: 20, serverPush: 20 });
  await cluster.powerCut(before);
  const [deleting = []] = (await documentedCommands(GUIDE, 'kubectl')).filter(([verb]) => verb === 'delete');
  await cluster.kubectl(deleting.map((word) => word.replace('NODE', before)));
  await renameNode(cluster, before, renamed);
  await waitMoved(cluster, CHAOS_ADDRESS, before);
  const report = await stopWhenFlowing(cluster, traffic);
  expect(report.podPush).toMatchObject({ opened: 20, alive: 20, reset: 0 });
  expect(report.serverPush).toMatchObject({ opened: 20, alive: 20, reset: 0 });
  await until(cluster, `${renamed} to stand by`, async () => {
    const { standbys } = await readEgressIp(cluster, CHAOS_ADDRESS);
    return standbys.includes(renamed);
  });
  await until(cluster, `the GatewayNode of ${before} to go`, async () => {
    const names = (await read(['gwn'], '{.items[*].metadata.name}')).split(' ');
    return !names.some((name) => name === before);
  });
});

/** A replica that is asked to end answers on the connections that it has for up to two minutes: it is not asked. */
async function podsGone(program: 'webhook' | 'controller'): Promise<void> {
  const pattern = new RegExp(`/app/${program}\\.js`);
  const chosen = ['pods', '-n', NAMESPACE, '-l', `app.kubernetes.io/component=${program}`];
  await until(cluster, `no ${program} to be left`, async () => {
    const left = (await read(chosen, '{.items[*].metadata.name}')) !== '';
    for (const { name } of cluster.nodes)
      if (left && findProcesses(cluster.id, name, pattern).length > 0) cluster.kill(name, pattern);
    return !left;
  });
}

/** What has nothing to do with us is made, changed and deleted. */
async function ordinaryLife(): Promise<void> {
  const named = { name: 'ordinary' };
  await apply(cluster, { apiVersion: 'v1', kind: 'ConfigMap', metadata: named, data: { a: '1' } });
  await apply(cluster, { apiVersion: 'v1', kind: 'ConfigMap', metadata: named, data: { a: '2' } });
  await apply(cluster, { apiVersion: 'v1', kind: 'Namespace', metadata: named });
  await createPod(cluster, { name: 'ordinary', app: 'ordinary', node: 'worker-1' });
  const deleted = ['configmap/ordinary', 'pod/ordinary', 'namespace/ordinary'];
  await cluster.kubectl(['delete', ...deleted, '--grace-period=1', '--timeout=30s']);
}

/** By the gateways' own word: without a controller nobody writes another. */
async function answeredByAnother({ cluster, address, holder }: FaultContext): Promise<void> {
  await until(cluster, `${address} to be answered by another`, async () => {
    return (await answererStated(cluster, address, [holder])) !== undefined;
  });
}

/** Address → the nodes whose agents state that they answer for it. */
async function answerersOf(): Promise<ReadonlyMap<string, readonly string[]>> {
  const lines = await read(
    ['gwn'],
    '{range .items[*]}{.metadata.name}{range .status.addresses[?(@.state=="Answering")]} {.address}{end}{"\\n"}{end}',
  );
  const answerers = new Map<string, readonly string[]>();
  for (const line of lines.trim().split('\n')) {
    const [node = '', ...addresses] = line.split(' ');
    for (const address of addresses) answerers.set(address, [...(answerers.get(address) ?? []), node]);
  }
  return answerers;
}

async function moveAway(gateway: string): Promise<void> {
  await cluster.kubectl(['cordon', gateway]);
  await waitMoved(cluster, CHAOS_ADDRESS, gateway);
  await cluster.kubectl(['uncordon', gateway]);
  await waitWhole(installed, CHAOS_ADDRESS);
}

/** Each has a newer session then. */
async function restartAgents(...gateways: readonly string[]): Promise<void> {
  const before = await sessionsNow();
  for (const gateway of gateways) cluster.kill(gateway, AGENT);
  await until(cluster, `newer sessions of ${gateways.join(', ')}`, async () => {
    const now = await sessionsNow();
    return gateways.every((gateway) => (now.get(gateway) ?? 0) > (before.get(gateway) ?? 0));
  });
  await waitWhole(installed, CHAOS_ADDRESS);
}

async function sessionsNow(): Promise<ReadonlyMap<string, number>> {
  const gateways = cluster.nodes.filter(({ role }) => role === 'gateway');
  const found = gateways.map(async ({ name }) => [name, (await readGateway(cluster, name)).session] as const);
  return new Map(await Promise.all(found));
}
