/** The product end to end: our image and chart on a real cluster, real pods, an outside host that reports what it saw. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Cluster } from '../cluster/cluster.ts';
import { lostOnTheWay } from '../probe/lostOnTheWay.ts';
import type { ClientReport } from '../probe/report.ts';
import {
  apply,
  conntrackEntries,
  createPod,
  holderOf,
  type InstalledCluster,
  installCluster,
  MANIFEST,
  NAMESPACE,
  PATIENT_SESSION_MS,
  policy,
  powerOnToStandby,
  refusal,
  seenByPeer,
  sourceOf,
  startNamespaceTraffic,
  startPodTraffic,
  stopWhenFlowing,
  until,
  waitMoved,
  waitProgrammed,
} from './installedCluster.ts';

const EGRESS = '203.0.113.10';
const SECOND = '203.0.113.50';
const CONNECTIONS = { podPush: 20, serverPush: 20, udpRate: 200 };
let installed: InstalledCluster;
let cluster: Cluster;

beforeAll(async () => {
  installed = await installCluster({
    id: 'egress',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: PATIENT_SESSION_MS,
  });
  cluster = installed.cluster;
  await createPod(cluster, { name: 'my-app', app: 'my-app', node: 'worker-1' });
  await createPod(cluster, { name: 'other', app: 'other', node: 'worker-1' });
  await createPod(cluster, { name: 'peer', app: 'peer', node: 'worker-2' });
}, 1_800_000);
afterAll(async () => {
  await installed?.destroy();
});

function expectAlive(report: ClientReport): void {
  expect(report.podPush).toMatchObject({ opened: 20, alive: 20, reset: 0 });
  expect(report.serverPush).toMatchObject({ opened: 20, alive: 20, reset: 0 });
  expect(Object.keys(report.podPush.sources)).toEqual([EGRESS]);
  expect(Object.keys(report.serverPush.sources)).toEqual([EGRESS]);
}

async function expectNothingLost(report: ClientReport): Promise<void> {
  const flow = (await installed.server.report()).flows.at(-1);
  expect(flow?.received).toBeGreaterThan(0);
  expect(lostOnTheWay(report.udp, flow)).toBe(0);
}

test('without a policy a pod leaves with its node address; with it, with the egress IP, and others do not', async () => {
  expect(await sourceOf(cluster, 'my-app')).toBe('203.0.113.21');
  await apply(cluster, MANIFEST);
  expect(await waitProgrammed(cluster, 'egress-gateway-policy')).toMatch(/^203\.0\.113\.10@gw-[123]$/);
  expect(await sourceOf(cluster, 'my-app')).toBe(EGRESS);
  expect(await sourceOf(cluster, 'other')).toBe('203.0.113.21');
});

test('pods and services are reached as before', async () => {
  const { own, direct, service } = await seenByPeer(cluster, 'my-app');
  expect({ direct, service }).toEqual({ direct: own, service: own });
});

test('an overlapping and an unroutable pool are refused, saying why', async () => {
  const overlap = await refusal(cluster, policy('overlap', 'other', [`${EGRESS}/32`]));
  expect(overlap).toContain(`${EGRESS}/32 overlaps`);
  expect(overlap).toContain('CiliumEgressGatewayPolicy egress-gateway-policy');
  const unroutable = await refusal(cluster, policy('unroutable', 'other', ['192.0.2.10/32']));
  expect(unroutable).toContain('192.0.2.10 is on-link at no gateway');
  expect(unroutable).toContain('gw-1: 203.0.113.0/24');
});

test('a power cut of the gateway: all connections live, gateways hold no state', async () => {
  const before = await holderOf(cluster, EGRESS);
  const traffic = await startPodTraffic(cluster, 'my-app', CONNECTIONS);
  await cluster.powerCut(before);
  const after = await waitMoved(cluster, EGRESS, before);
  const report = await stopWhenFlowing(cluster, traffic);
  expectAlive(report);
  console.log(
    `power cut: ${before} → ${after}, gap up ${report.udp.longestGapUpMs} ms, down ${report.udp.longestGapDownMs} ms`,
  );
  // Far above what the peers need, below what a Kubernetes Lease would take: bench/ has the figures.
  expect(Math.max(report.udp.longestGapUpMs, report.udp.longestGapDownMs)).toBeLessThanOrEqual(2900);
  expect(await conntrackEntries(cluster, after, EGRESS)).toBe(0);
  await powerOnToStandby(cluster, EGRESS, before);
  expect(await holderOf(cluster, EGRESS)).toBe(after);
});

test('a planned drain by label loses no packet', async () => {
  const before = await holderOf(cluster, EGRESS);
  const traffic = await startPodTraffic(cluster, 'my-app', CONNECTIONS);
  await cluster.kubectl(['label', 'node', before, 'sallyport.dev/gateway=false', '--overwrite']);
  await waitMoved(cluster, EGRESS, before);
  const report = await stopWhenFlowing(cluster, traffic);
  await cluster.kubectl(['label', 'node', before, 'sallyport.dev/gateway=true', '--overwrite']);
  expectAlive(report);
  await expectNothingLost(report);
});

test('agents that are killed or replaced lose no packet', async () => {
  const holder = await holderOf(cluster, EGRESS);
  const traffic = await startPodTraffic(cluster, 'my-app', CONNECTIONS);
  await cluster.kill('worker-1', /\/app\/agent\.js/);
  await cluster.kill(holder, /\/app\/agent\.js/);
  await until(cluster, 'an answer after the restart', async () => {
    const eip = await cluster.kubectl(['get', 'eip', EGRESS, '-o', 'jsonpath={.spec.epoch} {.status.phase}']);
    return eip.stdout.endsWith('Announced');
  });
  await cluster.kubectl(['-n', NAMESPACE, 'rollout', 'restart', 'ds/sallyport-agent']);
  await cluster.waitForRollout(NAMESPACE, 'ds/sallyport-agent', { timeoutMs: 120_000 });
  const report = await stopWhenFlowing(cluster, traffic);
  expectAlive(report);
  await expectNothingLost(report);
});

test('a pod made anew, and one on the gateway itself, leave with the egress IP', async () => {
  await cluster.kubectl(['delete', 'pod', 'my-app', '--wait']);
  await createPod(cluster, { name: 'my-app', app: 'my-app', node: 'worker-2' });
  const holder = await holderOf(cluster, EGRESS);
  await createPod(cluster, { name: 'on-gateway', app: 'my-app', node: holder });
  for (const pod of ['my-app', 'on-gateway']) {
    await until(
      cluster,
      `${pod} to leave with ${EGRESS}`,
      async () => (await sourceOf(cluster, pod)) === EGRESS,
    );
  }
});

test('a node whose ports fill up gets more of them before they are used up', async () => {
  const ports = async (): Promise<number> => {
    const field = '{range .spec.blocks[?(@.node=="worker-2")]}{.first} {.last}{"\\n"}{end}';
    const { stdout } = await cluster.kubectl(['get', 'eip', EGRESS, '-o', `jsonpath=${field}`]);
    const ranges = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number));
    return ranges.reduce((sum, [first = 0, last = -1]) => sum + last - first + 1, 0);
  };
  const before = await ports();
  expect(before).toBeGreaterThan(0);
  // Connections of the tests before keep theirs for two minutes after they were closed.
  const kept = await cluster.nodeExec('worker-2', ['conntrack', '-L', '-p', 'tcp', '--reply-dst', EGRESS]);
  const taken = kept.stdout.split('\n').filter((line) => line !== '').length;
  // More than three fifths, with them.
  const asked = (before * 7) / 8 - taken;
  expect(asked).toBeGreaterThan(0);
  // It is ports that are looked at: a thousand connections at the usual pace would keep a small machine from all else.
  const intervalMs = 250;
  const traffic = await startPodTraffic(cluster, 'my-app', { podPush: asked, intervalMs });
  await until(cluster, 'twice the ports', async () => (await ports()) >= 2 * before);
  const more = await startPodTraffic(cluster, 'my-app', { podPush: before, intervalMs });
  const [first, second] = [await stopWhenFlowing(cluster, traffic), await stopWhenFlowing(cluster, more)];
  expect(first.podPush).toMatchObject({ opened: asked, alive: asked, reset: 0 });
  expect(second.podPush).toMatchObject({ opened: before, alive: before, reset: 0 });
  expect(Object.keys(second.podPush.sources)).toEqual([EGRESS]);
});

test('a second policy has its own address; deleted, its pods leave with the node address again', async () => {
  await apply(cluster, policy('second', 'other', [`${SECOND}/32`]));
  await waitProgrammed(cluster, 'second');
  expect(await sourceOf(cluster, 'other')).toBe(SECOND);
  expect(await sourceOf(cluster, 'my-app')).toBe(EGRESS);
  await cluster.kubectl(['delete', 'cegp', 'second', '--wait', '--timeout=30s']);
  await until(cluster, 'the node address', async () => (await sourceOf(cluster, 'other')) === '203.0.113.21');
  const owners = await cluster.kubectl([
    'get',
    'eip',
    SECOND,
    '-o',
    'jsonpath={.spec.policies}{.spec.order}',
  ]);
  // The object itself stays until its ports have rested.
  expect(owners.stdout).toBe('[][]');
});

test('two conflicting policies made at the same instant: exactly one is programmed', async () => {
  const names = ['race-a', 'race-b'];
  await Promise.all(
    names.map((name) =>
      cluster.kubectl(['create', '-f', '-'], {
        stdin: JSON.stringify(policy(name, name, [`${SECOND}/32`])),
        allowFailure: true,
      }),
    ),
  );
  const owners = async (): Promise<readonly string[]> =>
    (
      await cluster.kubectl(['get', 'eip', SECOND, '-o', 'jsonpath={.spec.policies[*].name}'], {
        allowFailure: true,
      })
    ).stdout
      .split(' ')
      .filter((name) => name !== '');
  await until(cluster, 'one owner', async () => (await owners()).length > 0);
  const stored = (await cluster.kubectl(['get', 'cegp', '-o', 'name'])).stdout;
  expect(await owners()).toHaveLength(1);
  for (const name of names.filter((it) => stored.includes(it))) {
    const accepted = await cluster.kubectl([
      ...['get', 'cegp', name, '-o', `jsonpath={.status.conditions[?(@.type=="Accepted")].reason}`],
    ]);
    expect(accepted.stdout).toBe((await owners()).includes(name) ? 'Accepted' : 'Conflicting');
  }
  await cluster.kubectl(['delete', 'cegp', ...names, '--ignore-not-found', '--wait', '--timeout=30s']);
});

test('a controller that is killed is followed by the other', async () => {
  const leader = async (): Promise<string> =>
    (
      await cluster.kubectl([
        '-n',
        NAMESPACE,
        'get',
        'lease',
        'sallyport-controller',
        '-o',
        'jsonpath={.spec.holderIdentity}',
      ])
    ).stdout;
  const before = await leader();
  await cluster.kubectl([
    '-n',
    NAMESPACE,
    'delete',
    'pod',
    before.split('_')[0] ?? '',
    '--grace-period=0',
    '--force',
  ]);
  await until(cluster, 'another leader', async () => !['', before].includes(await leader()));
  await apply(cluster, policy('after', 'other', [`${SECOND}/32`]));
  await waitProgrammed(cluster, 'after');
  expect(await sourceOf(cluster, 'other')).toBe(SECOND);
  await cluster.kubectl(['delete', 'cegp', 'after', '--wait', '--timeout=30s']);
});

test('while the API server is away, traffic and new connections go on', async () => {
  const traffic = await startNamespaceTraffic(cluster, 'my-app', CONNECTIONS);
  await cluster.stopApiServer();
  const later = await outlastLeases(traffic);
  await cluster.startApiServer();
  const report = await stopWhenFlowing(cluster, traffic);
  expectAlive(report);
  await expectNothingLost(report);
  expect(later).toBeGreaterThanOrEqual(8);
});

/** Lets the traffic run past every Lease's lifetime; returns the seconds it saw. */
async function outlastLeases(traffic: { snapshot(): Promise<ClientReport> }): Promise<number> {
  const began = (await traffic.snapshot()).seconds;
  let seconds = 0;
  await until(cluster, 'the outage to outlast the leases', async () => {
    seconds = (await traffic.snapshot()).seconds - began;
    return seconds >= 8;
  });
  return seconds;
}
