/** What pods and their connections notice of policies that come, change and go, and of an agent that is not there. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Cluster } from '../cluster/cluster.ts';
import { LOCAL_SERVER, type RunningClient, type RunningServer, startServer } from '../probe/probeProcess.ts';
import type { ClientReport } from '../probe/report.ts';
import {
  apply,
  createPod,
  enter,
  type InstalledCluster,
  installCluster,
  NAMESPACE,
  PATIENT_SESSION_MS,
  policy,
  sourceOf,
  startPodTraffic,
  until,
  waitProgrammed,
} from './installedCluster.ts';

const FIRST = '203.0.113.10';
const SECOND = '203.0.113.50';
const THIRD = '203.0.113.51';
const NODE_ADDRESSES = { 'worker-1': '203.0.113.21', 'worker-2': '203.0.113.22' } as const;
const EACH = 5;
/** Slower than agents take for a change, so what comes within it reaches few by chance. */
const SAID_EACH_MS = 500;
const TRAFFIC = { podPush: EACH, serverPush: EACH, udpRate: 50 };
let installed: InstalledCluster;
let cluster: Cluster;

beforeAll(async () => {
  installed = await installCluster({
    id: 'policies',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: PATIENT_SESSION_MS,
  });
  cluster = installed.cluster;
  // The router counts what leaves the workers with their own addresses, but for what a node has to say itself: that nothing is there
  // any more for datagrams of the outside to a flow that was forgotten.
  const nodes = `ip saddr { ${Object.values(NODE_ADDRESSES).join(', ')} }`;
  const own = `${nodes} icmp type destination-unreachable counter name unreachable accept`;
  const rules = `type filter hook forward priority 0; ${own}; ${nodes} counter name leaked;`;
  await cluster.routerExec([
    'nft',
    `table inet watch { counter leaked { }; counter unreachable { }; chain seen { ${rules} }; }`,
  ]);
}, 1_800_000);
afterAll(async () => {
  await installed?.destroy();
});
beforeEach(async () => {
  await cluster.routerExec(['nft', 'reset', 'counters']);
});

async function leaked(): Promise<number> {
  const { stdout } = await cluster.routerExec(['nft', 'list', 'counter', 'inet', 'watch', 'leaked']);
  return Number(/packets (\d+)/.exec(stdout)?.[1]);
}

/** Asks the outside who it is as soon as it runs, again whenever that fails, and says when which came out. */
const EAGER = `const http = require('http'), t = Date.now(); let tries = 0;
const ask = () => { tries += 1; http.get({ host: '198.51.100.10', port: 7080, path: '/source', agent: false, timeout: 20000 }, (r) => { let b = ''; r.on('data', (d) => b += d);
  r.on('end', () => { console.log(JSON.stringify({ source: b.trim(), tries, ms: Date.now() - t })); setInterval(() => {}, 1000); }); }).on('error', (e) => { console.log(e.code); setTimeout(ask, 100); }); }; ask();`;

interface Eager {
  readonly source: string;
  readonly tries: number;
  readonly ms: number;
}

async function createEager(name: string, node: string, app = 'my-app'): Promise<void> {
  await apply(cluster, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app } },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'probe',
          image: 'sallyport.test/probe:dev',
          imagePullPolicy: 'Never',
          command: ['/usr/bin/node', '-e', EAGER],
        },
      ],
    },
  });
}

async function saidBy(pod: string): Promise<readonly string[]> {
  const { stdout } = await cluster.kubectl(['logs', pod], { allowFailure: true });
  return stdout.split('\n').filter((line) => line !== '');
}

function heardFrom(pod: string): Promise<Eager> {
  return cluster.waitFor(`${pod} to be answered`, async () => {
    const answer = (await saidBy(pod)).find((line) => line.startsWith('{'));
    return answer === undefined ? undefined : (JSON.parse(answer) as Eager); // What EAGER prints.
  });
}

/** Of an agent's metrics: seconds and how many pods. */
async function podWaits(node: string): Promise<{ readonly seconds: number; readonly pods: number }> {
  const selector = ['get', 'pods', '-l', 'app.kubernetes.io/component=agent', '--field-selector'];
  const name = await cluster.kubectl([
    ...['-n', NAMESPACE, ...selector, `spec.nodeName=${node}`, '-o', 'jsonpath={.items[0].metadata.name}'],
  ]);
  const port = await cluster.kubectl([
    ...['-n', NAMESPACE, 'get', 'pod', name.stdout, '-o'],
    'jsonpath={.spec.containers[0].ports[?(@.name=="metrics")].containerPort}',
  ]);
  const source = `fetch('http://127.0.0.1:${port.stdout}/metrics').then((r) => r.text()).then(console.log)`;
  const { stdout } = await cluster.nodeExec(node, [process.execPath, '-e', source]);
  const read = (end: string): number =>
    Number(new RegExp(`^sallyport_agent_pod_wait_seconds_${end} (\\S+)$`, 'm').exec(stdout)?.[1] ?? 0);
  return { seconds: read('sum'), pods: read('count') };
}

/** Addresses that pods use go only where that is asked for. */
async function give(name: string, app: string, addresses: readonly string[]): Promise<void> {
  const wanted = policy(
    name,
    app,
    addresses.map((it) => `${it}/32`),
  );
  const annotations = { 'sallyport.dev/force-release': 'true' };
  await apply(cluster, { ...wanted, metadata: { ...wanted.metadata, annotations } });
  await until(cluster, `${name} to be programmed with ${addresses.join()}`, async () => {
    await waitProgrammed(cluster, name);
    const shown = ['get', 'cegp', name, '-o', 'jsonpath={.status.addresses[*].address}'];
    return (await cluster.kubectl(shown)).stdout.split(' ').toSorted().join() === addresses.join();
  });
}

/** All of it, and soon: a reset is the answer to the next packet. */
async function expectEnded(traffic: RunningClient): Promise<ClientReport> {
  const ended = await cluster.waitFor('all connections to be reset', async () => {
    const report = await traffic.snapshot();
    return report.podPush.reset === EACH && report.serverPush.reset === EACH ? report : undefined;
  });
  expect(ended.podPush.alive + ended.serverPush.alive).toBe(0);
  return traffic.stop();
}

test('a new pod leaves with the egress IP from its first packet on', async () => {
  await give('p', 'my-app', [FIRST]);
  const nodes = ['worker-1', 'worker-1', 'worker-1', 'worker-2'] as const;
  for (const [at, node] of nodes.entries()) {
    await createEager(`eager-${at}`, node);
    const heard = await heardFrom(`eager-${at}`);
    console.log(`first packets: ${node}, tries ${heard.tries}, ${heard.ms} ms after its start`);
    expect(heard).toMatchObject({ source: FIRST, tries: 1 });
  }
  expect(await leaked()).toBe(0);
  const { seconds, pods } = await podWaits('worker-1');
  console.log(
    `from a pod's address known to programmed: ${((seconds * 1000) / pods).toFixed(1)} ms on average of ${pods}`,
  );
  expect(pods).toBe(3);
  expect(seconds / pods).toBeLessThan(1);
});

test('a pod that comes while its agent is frozen leaks nothing, and leaves when the agent is back', async () => {
  cluster.freeze('worker-2', /\/app\/agent\.js/);
  await until(cluster, 'the agent’s last word to have run out', async () => {
    const attended = ['nft', 'list', 'set', 'inet', 'sallyport', 'attended'];
    return !(await cluster.nodeExec('worker-2', attended)).stdout.includes('elements');
  });
  await createEager('while-frozen', 'worker-2');
  await createEager('stranger', 'worker-2', 'stranger');
  for (const pod of ['while-frozen', 'stranger']) await cluster.waitForPodReady('default', pod);
  await until(cluster, 'packets to be held', async () => {
    const { stdout } = await cluster.nodeExec('worker-2', [
      'nft',
      'list',
      'counter',
      'inet',
      'sallyport',
      'held',
    ]);
    return Number(/packets (\d+)/.exec(stdout)?.[1]) >= 2;
  });
  expect(await leaked()).toBe(0);
  expect(await saidBy('while-frozen')).toEqual([]);
  cluster.thaw('worker-2', /\/app\/agent\.js/);
  expect(await heardFrom('while-frozen')).toMatchObject({ source: FIRST });
  expect(await heardFrom('stranger')).toMatchObject({ source: NODE_ADDRESSES['worker-2'] });
});

describe('connections of running pods', () => {
  beforeAll(async () => {
    await createPod(cluster, { name: 'busy', app: 'busy', node: 'worker-1' });
  });

  test('that leave with the node’s address are reset by a policy, and nothing leaks once it is programmed', async () => {
    const traffic = await startPodTraffic(cluster, 'busy', TRAFFIC);
    await give('q', 'busy', [SECOND]);
    await cluster.routerExec(['nft', 'reset', 'counters']);
    const report = await expectEnded(traffic);
    expect(Object.keys(report.podPush.sources)).toEqual([NODE_ADDRESSES['worker-1']]);
    expect(await sourceOf(cluster, 'busy')).toBe(SECOND);
    expect(await leaked()).toBe(0);
  });

  test('stay when an IP is added', async () => {
    const traffic = await startPodTraffic(cluster, 'busy', TRAFFIC);
    await give('q', 'busy', [SECOND, THIRD]);
    const { podPush, serverPush } = await traffic.snapshot();
    for (const it of [podPush, serverPush]) expect(it).toMatchObject({ alive: EACH, reset: 0 });
    await traffic.stop();
  });

  describe('that only listen to a server that says something twice a second are reset, and the server is told', () => {
    let slow: RunningServer;
    beforeAll(async () => {
      const ports = ['--ports', '0,0,0,0', '--interval-ms', String(SAID_EACH_MS)];
      slow = await startServer([...enter(cluster, 'outside'), ...LOCAL_SERVER, ...ports]);
    });
    afterAll(async () => {
      await slow?.stop();
    });

    /** Until both ends of all of them were reset, and nobody answers for the address any more. Returns that. */
    async function listenUntilOver(change: (source: string) => Promise<void>): Promise<string> {
      const traffic = await startPodTraffic(cluster, 'busy', { serverPush: EACH, ports: slow.ports });
      const before = await slow.report();
      const [source = '', ...others] = Object.keys((await traffic.snapshot()).serverPush.sources);
      expect([SECOND, THIRD]).toContain(source);
      expect(others).toEqual([]);
      const beganMs = performance.now();
      const sinceMs = (): string => (performance.now() - beganMs).toFixed(0);
      const changed = change(source);
      await until(cluster, 'each pod’s end to be reset', async () => {
        return (await traffic.snapshot()).serverPush.reset === EACH;
      });
      console.log(`only listening: each pod’s end was reset ${sinceMs()} ms after the change was asked for`);
      await until(cluster, 'each outside end to be reset', async () => {
        return (await slow.report()).push.reset - before.push.reset === EACH;
      });
      console.log(`only listening: each outside end was reset ${sinceMs()} ms after`);
      await changed;
      await until(cluster, `${source} to be let go of`, async () => {
        const said = ['get', 'eip', source, '-o', 'jsonpath={.spec.order}{.spec.blocks}{.status.gateway}'];
        return (await cluster.kubectl(said)).stdout.replaceAll('[]', '') === '';
      });
      await traffic.stop();
      return source;
    }

    test('when their IP is taken out of the policy', async () => {
      const left = (source: string): string => (source === SECOND ? THIRD : SECOND);
      const source = await listenUntilOver((it) => give('q', 'busy', [left(it)]));
      expect(await sourceOf(cluster, 'busy')).toBe(left(source));
    });

    test('when the policy is deleted', async () => {
      await listenUntilOver(async () => {
        await cluster.kubectl(['delete', 'cegp', 'q', '--timeout=30s']);
      });
      expect(await sourceOf(cluster, 'busy')).toBe(NODE_ADDRESSES['worker-1']);
    });
  });
});
