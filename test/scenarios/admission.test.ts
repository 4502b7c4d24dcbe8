/**
 * No review is lost: creates go on at 50 a second while the webhook's replicas are rolled, deleted and killed, and while
 * its certificates change, on a real cluster with our chart.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { kubeconfigAccess } from '../../kube/clusterAccess.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { type InstalledCluster, installCluster, NAMESPACE, PATIENT_SESSION_MS } from './installedCluster.ts';
import { type LoadReport, type ReviewLoad, startReviewLoad } from './reviewLoad.ts';

const PER_SECOND = 50;
/** Each keeps four connections; a review that waits for another one's answer would be slow, not lost. */
const CLIENTS = 8;
/** A new CA stands for a while before it signs, and before the old one goes; a rotation before may have to end first. */
const ROTATION = { timeoutMs: 120_000 };
const WEBHOOK = 'deploy/sallyport-webhook';
const SECRET = 'sallyport-webhook-cert';
const SELECTOR = 'app.kubernetes.io/component=webhook';

let installed: InstalledCluster;
let cluster: Cluster;
let clients: readonly KubeClient[] = [];
let load: ReviewLoad;

beforeAll(async () => {
  installed = await installCluster({
    id: 'admission',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: PATIENT_SESSION_MS,
    shape: [
      { name: 'gw-1', role: 'gateway', zone: 'zone-a' },
      { name: 'worker-1', role: 'worker', zone: 'zone-a' },
      { name: 'worker-2', role: 'worker', zone: 'zone-b' },
    ],
  });
  cluster = installed.cluster;
  const access = kubeconfigAccess(cluster.kubeconfigPath);
  clients = Array.from({ length: CLIENTS }, () => createRestClient(access, { deadlineMs: 30_000 }));
  await cluster.waitFor('the gateway to report its link', async () => {
    const { stdout } = await cluster.kubectl([
      'get',
      'gwn',
      'gw-1',
      '-o',
      'jsonpath={.status.onLink[*].cidr}',
    ]);
    return stdout.includes('203.0.113.0/24') || undefined;
  });
  load = startReviewLoad(clients, PER_SECOND);
}, 1_800_000);

afterEach(async () => {
  await load.take();
});
afterAll(async () => {
  await load?.stop();
  await Promise.all(clients.map((client) => client.close()));
  await installed?.destroy();
});

interface Pod {
  readonly name: string;
  readonly node: string;
}

async function podsOfWebhook(): Promise<readonly Pod[]> {
  const fields =
    '{range .items[*]}{.metadata.name} {.spec.nodeName} {.metadata.deletionTimestamp}{"\\n"}{end}';
  const argv = ['get', 'pods', '-n', NAMESPACE, '-l', SELECTOR, '-o', `jsonpath=${fields}`];
  const { stdout } = await cluster.kubectl(argv);
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([name, node, leaving]) => (name && node && !leaving ? [{ name, node }] : []));
}

/** Gone from those that are asked; it ends a while later. */
async function waitUntilReplaced(name: string): Promise<void> {
  await cluster.waitFor(`${name} to be leaving`, async () => {
    return (await podsOfWebhook()).every((pod) => pod.name !== name) || undefined;
  });
}

async function waitUntilAvailable(): Promise<void> {
  await cluster.waitForRollout(NAMESPACE, WEBHOOK);
  await cluster.waitFor('two replicas to be ready', async () => {
    const argv = [
      'get',
      '-n',
      NAMESPACE,
      WEBHOOK,
      '-o',
      'jsonpath={.status.readyReplicas} {.status.replicas}',
    ];
    return (await cluster.kubectl(argv)).stdout === '2 2' || undefined;
  });
}

/** How often the replica has taken a certificate into service. */
async function certificatesServed({ name }: Pod): Promise<number> {
  const { stdout } = await cluster.kubectl(['logs', '-n', NAMESPACE, name]);
  return stdout.split('"serving a certificate"').length - 1;
}

/** Waits until each replica has taken a new certificate into service. */
async function whileRotating(change: () => Promise<unknown>): Promise<void> {
  const before = await Promise.all(
    (await podsOfWebhook()).map(async (pod) => ({ pod, served: await certificatesServed(pod) })),
  );
  expect(before).toHaveLength(2);
  await change();
  await cluster.waitFor(
    'both replicas to serve a new certificate',
    async () => {
      const now = await Promise.all(
        before.map(async ({ pod, served }) => (await certificatesServed(pod)) > served),
      );
      return now.every((it) => it) || undefined;
    },
    ROTATION,
  );
}

const patchSecret = (data: object) =>
  cluster.kubectl([
    'patch',
    'secret',
    '-n',
    NAMESPACE,
    SECRET,
    '--type=merge',
    '-p',
    JSON.stringify({ data }),
  ]);

function quantile(sorted: readonly number[], share: number): number {
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

async function tell(what: string): Promise<LoadReport> {
  const report = await load.take();
  const { allowed, denied, failures, tookMs } = report;
  const times = `p50 ${quantile(tookMs, 0.5)} ms, p99 ${quantile(tookMs, 0.99)} ms, max ${quantile(tookMs, 1)} ms`;
  console.log(`${what}: ${allowed} allowed, ${denied} denied, ${failures.length} failed; ${times}`);
  for (const failure of failures.slice(0, 10)) console.log(`  ${failure}`);
  return report;
}

/** Both verdicts were given throughout: a load that stood still would lose nothing. */
async function expectNoneLost(what: string): Promise<void> {
  const report = await tell(what);
  expect(report.failures).toEqual([]);
  expect(report.allowed).toBeGreaterThan(100);
  expect(report.denied).toBeGreaterThan(50);
}

test('while nothing happens', async () => {
  const before = performance.now();
  await cluster.waitFor('ten seconds of load', async () => performance.now() - before > 10_000 || undefined);
  await expectNoneLost('nothing');
});

test('while both replicas are rolled', async () => {
  await cluster.kubectl(['rollout', 'restart', '-n', NAMESPACE, WEBHOOK]);
  await waitUntilAvailable();
  await expectNoneLost('rollout restart');
});

test('while one replica after the other is deleted', async () => {
  for (const { name } of await podsOfWebhook()) {
    await cluster.kubectl(['delete', 'pod', '-n', NAMESPACE, name, '--wait=false']);
    await waitUntilReplaced(name);
    await waitUntilAvailable();
  }
  await expectNoneLost('delete pod');
});

test('while the leaf is renewed', async () => {
  await whileRotating(() => patchSecret({ 'tls.crt': '' }));
  await expectNoneLost('leaf rotation');
});

test('while the CA is renewed', async () => {
  await whileRotating(() => patchSecret({ 'ca.key': '' }));
  await expectNoneLost('CA rotation');
});

test('while the Secret is made anew after somebody deleted it', async () => {
  await whileRotating(() => cluster.kubectl(['delete', 'secret', '-n', NAMESPACE, SECRET]));
  await expectNoneLost('Secret deleted');
});

/** A replica that was told to go stays until API servers have let go of it: one and a half minutes. */
test('until the replicas that were rolled and deleted have ended', async () => {
  await cluster.waitFor(
    'the old ones to be gone',
    async () => {
      const argv = ['get', 'pods', '-n', NAMESPACE, '-l', SELECTOR, '-o', 'name'];
      return (await cluster.kubectl(argv)).stdout.trim().split('\n').length === 2 || undefined;
    },
    { timeoutMs: 150_000 },
  );
  expect((await tell('old replicas ended')).failures).toEqual([]);
});

async function restartsOf({ name }: Pod): Promise<number> {
  const field = '{.status.containerStatuses[0].restartCount}';
  const { stdout } = await cluster.kubectl(['get', 'pod', '-n', NAMESPACE, name, '-o', `jsonpath=${field}`]);
  return Number(stdout);
}

/**
 * How long API servers may reach for a replica that is gone: its kubelet has to see the end, and every node's kube-proxy the new
 * endpoints. Two seconds were seen, on a machine with other work.
 */
const WITHDRAWN_MS = 5000;

/** Each begins with its time. */
const failedAtMs = (failure: string): number => Date.parse(failure.split(' ', 1)[0] ?? '');

/**
 * What the replica was answering is lost, and so is what reaches for it before its endpoint is withdrawn: API servers ask
 * a webhook once more only where it says Retry-After (client-go's withRetry), never after a connection that broke or was
 * refused. That time is bounded here, not the luck of who was asked.
 */
test('while one replica after the other is killed, nothing is lost once its endpoint is withdrawn', async () => {
  for (const pod of await podsOfWebhook()) {
    await tell('before the kill');
    const before = await restartsOf(pod);
    const killedMs = Date.now();
    cluster.kill(pod.node, /\/app\/webhook\.js/);
    await cluster.waitFor(
      'the container to be started again',
      async () => (await restartsOf(pod)) > before || undefined,
    );
    await waitUntilAvailable();
    await cluster.waitFor(
      'the time in which it may be reached for to be over',
      async () => Date.now() - killedMs > 2 * WITHDRAWN_MS || undefined,
    );
    const { failures, allowed } = await tell('SIGKILL');
    for (const failure of failures) expect(failure).toContain('failed calling webhook');
    // All of them are told: beyond a hundred the load keeps none.
    expect(failures.length).toBeLessThan(2 * PER_SECOND);
    expect(failures.filter((it) => failedAtMs(it) - killedMs > WITHDRAWN_MS)).toEqual([]);
    expect(allowed).toBeGreaterThan(PER_SECOND);
  }
});
