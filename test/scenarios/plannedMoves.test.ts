/**
 * What moves addresses without a death, on a real cluster: each reason that people or the gateways themselves can have, under
 * traffic both ways and with a third party watching who answers. No packet is lost where the way through the old gateway
 * works, nobody answers beside another, and nothing moves that need not.
 *
 * A kubelet's graceful node shutdown needs systemd-logind, which these nodes have not. To the agent it is what the deletion
 * of its pod is: SIGTERM, and its grace period.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  DRAIN_ANNOTATION,
  GATEWAY_LABEL,
  PEER_KEY_SECRET,
  REBALANCE_ANNOTATION,
  ROTATE_ANNOTATION,
} from '../../policy/names.ts';
import { describeResult, type Fault, type FaultResult, runFault, waitWhole } from '../chaos/faultRun.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { OUTSIDE_ADDRESS, ROUTER } from '../cluster/topology.ts';
import { type AwayWatch, watchAway } from './awayWatch.ts';
import { answeringState, type GatewayState, readEgressIp, readGateway, waitEvent } from './gatewayStates.ts';
import {
  apply,
  CHART,
  createPod,
  type InstalledCluster,
  installCluster,
  MANIFEST,
  NAMESPACE,
  type PolicyManifest,
  policy,
  until,
  waitMoved,
  waitProgrammed,
} from './installedCluster.ts';

const ADDRESS = '203.0.113.10';
const POD = 'my-app';
/** Slow enough that a machine busy with a whole cluster drops none of it by itself. */
const UDP_RATE = 200;
const GATEWAYS = ['gw-1', 'gw-2', 'gw-3'];
const AGENTS = 'ds/sallyport-agent';
const ROLLOUT_TIMEOUT_MS = 120_000;
/** A new leader begins no voluntary move in its first minute, and the machine is busy. */
const VOLUNTARY_TIMEOUT_MS = 120_000;

/**
 * Nothing here is about how soon a death is noticed, and five nodes that share two processors with others stall for longer
 * than gateways of their own would: a gateway that is taken for dead in between would be a move that nobody planned.
 */
const SESSION_MS = 2000;

let installed: InstalledCluster;
let cluster: Cluster;

beforeAll(async () => {
  installed = await installCluster({
    id: 'moves',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: SESSION_MS,
  });
  cluster = installed.cluster;
  await createPod(cluster, { name: POD, app: POD, node: 'worker-1' });
  await apply(cluster, MANIFEST);
  await waitProgrammed(cluster, 'egress-gateway-policy');
  await waitWhole(installed, ADDRESS);
}, 1_800_000);
afterAll(async () => {
  await installed?.destroy();
});
/** A test that failed leaves no policy to the next one. */
afterEach(async () => {
  const made = [PROBED.pod, RETURNING.pod, SPREAD.name];
  await cluster.kubectl(['delete', 'cegp', ...made, '--ignore-not-found', '--wait', '--timeout=30s']);
});

/** Does it under traffic: whatever else it brings, one answers at a time and every connection lives. */
async function underTraffic(
  name: string,
  fault: Fault,
  {
    address = ADDRESS,
    pod = POD,
    sources = [address],
  }: { readonly address?: string; readonly pod?: string; readonly sources?: readonly string[] } = {},
): Promise<FaultResult> {
  const result = await runFault(installed, fault, { address, pod, udpRate: UDP_RATE });
  console.log(describeResult(name, result));
  expect(result.overlaps).toEqual([]);
  expect(result).toMatchObject({ opened: 40, alive: 40, resets: 0 });
  expect(sources).toEqual(expect.arrayContaining([...result.sources]));
  return result;
}

async function node(
  verb: 'annotate' | 'label' | 'taint',
  name: string,
  ...changes: readonly string[]
): Promise<void> {
  const overwrite =
    verb === 'taint' || changes.every((change) => change.endsWith('-')) ? [] : ['--overwrite'];
  await cluster.kubectl([verb, 'node', name, ...changes, ...overwrite]);
}

function drain(name: string): Promise<void> {
  return node('annotate', name, `${DRAIN_ANNOTATION}=true`);
}

async function undrainAll(): Promise<void> {
  for (const name of GATEWAYS) await node('annotate', name, `${DRAIN_ANNOTATION}-`);
}

/** Until the gateway itself says that it holds nothing. */
function waitEmpty(name: string): Promise<void> {
  return until(cluster, `${name} to be empty`, async () => (await readGateway(cluster, name)).holding === 0);
}

/** `gw-1 → gw-2 (drained)` */
function waitReason(address: string, moved: string): Promise<void> {
  return until(
    cluster,
    `${address} to say that it moved: ${moved}`,
    async () => (await readEgressIp(cluster, address)).moved === moved,
  );
}

function waitStandbys(what: string, holds: (standbys: readonly string[]) => boolean): Promise<void> {
  return until(cluster, what, async () => holds((await readEgressIp(cluster, ADDRESS)).standbys));
}

test('a drained gateway hands over, takes nothing back by itself, and stands by again', async () => {
  let second = '';
  const result = await underTraffic('drain', {
    async inject({ holder }) {
      await drain(holder);
      second = await waitMoved(cluster, ADDRESS, holder);
      await waitEmpty(holder);
      await waitReason(ADDRESS, `${holder} → ${second} (drained)`);
      await undrainAll();
      await waitWhole(installed, ADDRESS);
      expect((await readEgressIp(cluster, ADDRESS)).gateway).toBe(second);
      // The others are to leave now: only who is fit again can be given what the second one has.
      for (const name of GATEWAYS) if (name !== holder && name !== second) await drain(name);
      await drain(second);
      expect(await waitMoved(cluster, ADDRESS, second)).toBe(holder);
    },
    restore: undrainAll,
  });
  expect(result.lostPackets).toBe(0);
  expect(result.answerers).toEqual([result.before, second, result.before]);
});

test('kubectl drain moves the addresses', async () => {
  const result = await underTraffic('kubectl drain', {
    async inject({ holder }) {
      const asked = ['--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=60s'];
      await cluster.kubectl(['drain', holder, ...asked], { timeoutMs: 70_000 });
      const now = await waitMoved(cluster, ADDRESS, holder);
      await waitReason(ADDRESS, `${holder} → ${now} (cordoned)`);
    },
    restore: async ({ holder }) => {
      await cluster.kubectl(['uncordon', holder]);
    },
  });
  expect(result.lostPackets).toBe(0);
  expect(result.answerers).toHaveLength(2);
});

test('a taint that keeps pods away moves nothing, one by which the node goes does', async () => {
  const dedicated = 'dedicated=egress:NoExecute';
  const going = 'node.cloudprovider.kubernetes.io/shutdown=:NoSchedule';
  const third = (await readEgressIp(cluster, ADDRESS)).standbys.at(-1) ?? '';
  const result = await underTraffic('taint', {
    async inject({ holder }) {
      await node('taint', holder, dedicated);
      // Nodes are seen in the order of their changes: who has seen this one has seen the taint.
      await node('label', third, `${GATEWAY_LABEL}=false`);
      await waitStandbys(`${third} to stand by no more`, (standbys) => !standbys.includes(third));
      expect((await readEgressIp(cluster, ADDRESS)).gateway).toBe(holder);
      await node('taint', holder, going);
      const now = await waitMoved(cluster, ADDRESS, holder);
      await waitReason(ADDRESS, `${holder} → ${now} (tainted)`);
    },
    async restore({ holder }) {
      await node('taint', holder, `${dedicated}-`, `${going}-`);
      await node('label', third, `${GATEWAY_LABEL}=true`);
    },
  });
  expect(result.lostPackets).toBe(0);
  expect(result.answerers).toHaveLength(2);
});

test('a node that is no gateway any more hands over, and its kernel forgets the address', async () => {
  const result = await underTraffic('label', {
    async inject({ holder }) {
      expect((await answeringState(cluster, holder, ADDRESS)).length).toBeGreaterThan(4);
      await node('label', holder, `${GATEWAY_LABEL}-`);
      const now = await waitMoved(cluster, ADDRESS, holder);
      await waitReason(ADDRESS, `${holder} → ${now} (not-allowed)`);
      // Every node guards every egress IP, so that what is left on a device by mistake is silent.
      const worker = await answeringState(cluster, 'worker-1', ADDRESS);
      let left: readonly string[] = [];
      await until(cluster, `the kernel of ${holder} to be as a worker's is`, async () => {
        left = await answeringState(cluster, holder, ADDRESS);
        return left.length === worker.length;
      }).catch(() => undefined);
      expect(left).toEqual(worker);
      await until(
        cluster,
        `${holder} to say nothing of its health`,
        async () => (await readGateway(cluster, holder)).health === undefined,
      );
    },
    restore: ({ holder }) => node('label', holder, `${GATEWAY_LABEL}=true`),
  });
  expect(result.lostPackets).toBe(0);
  expect(result.answerers).toHaveLength(2);
});

/** Where the chart's probe connects to: the HTTP port of the outside host's server. */
const PROBED_PORT = 7080;

test('an upgrade of the chart that changes the agents loses nothing, one gateway after the other', async () => {
  const probe = {
    name: 'outside',
    type: 'tcp',
    target: OUTSIDE_ADDRESS,
    port: PROBED_PORT,
    ...{ intervalSeconds: 1, timeoutSeconds: 1, failures: 2, successes: 2 },
  };
  const settings = ['--reuse-values', '--set-json', `agent.healthProbes=${JSON.stringify([probe])}`];
  await replacesAgents('helm upgrade', async () => {
    await cluster.helm(['upgrade', 'sallyport', CHART, '-n', NAMESPACE, ...settings]);
  });
});

test('a rolling restart of the agents loses nothing, one gateway after the other', async () => {
  await replacesAgents('rolling restart', async () => {
    await cluster.kubectl(['-n', NAMESPACE, 'rollout', 'restart', AGENTS]);
  });
});

async function replacesAgents(name: string, begin: () => Promise<void>): Promise<void> {
  let away: AwayWatch | undefined;
  try {
    const result = await underTraffic(name, {
      async inject() {
        away = await watchAway(cluster);
        await begin();
        await cluster.waitForRollout(NAMESPACE, AGENTS, { timeoutMs: ROLLOUT_TIMEOUT_MS });
      },
    });
    expect(result.lostPackets).toBe(0);
    expect(away?.ever()).toEqual(GATEWAYS);
    expect(away?.most()).toHaveLength(1);
  } finally {
    await away?.stop();
  }
}

test("the agent's pod deleted as a node's shutdown does: it hands over before it ends", async () => {
  const result = await underTraffic('agent deleted', {
    async inject({ holder }) {
      const pods = ['-n', NAMESPACE, '-l', 'app.kubernetes.io/component=agent'];
      await cluster.kubectl(['delete', 'pod', ...pods, '--field-selector', `spec.nodeName=${holder}`]);
      const now = await waitMoved(cluster, ADDRESS, holder);
      await waitReason(ADDRESS, `${holder} → ${now} (closed)`);
    },
  });
  expect(result.lostPackets).toBe(0);
  expect(result.answerers).toHaveLength(2);
});

function waitHealth(name: string, holds: (health: GatewayState['health']) => boolean): Promise<void> {
  return until(cluster, `the health of ${name} to be known`, async () =>
    holds((await readGateway(cluster, name)).health),
  );
}

const waitHealthy = (name: string): Promise<void> => waitHealth(name, (health) => health?.status === 'True');

/** The outside host refuses connections of the node itself; what it forwards goes on. */
async function refuseProbes(name: string): Promise<void> {
  const { address } = cluster.node(name);
  const stdin = `add table inet refusing
add chain inet refusing input { type filter hook input priority 0; }
add set inet refusing nodes { type ipv4_addr; }
add element inet refusing nodes { ${address} }
flush chain inet refusing input
add rule inet refusing input ip saddr @nodes tcp dport ${PROBED_PORT} reject with tcp reset
`;
  await cluster.outsideExec(['nft', '-f', '-'], { stdin });
}

/** Of the first before those of the others. */
async function acceptProbes(first?: string): Promise<void> {
  if (first !== undefined) {
    const stdin = `delete element inet refusing nodes { ${cluster.node(first).address} }\n`;
    await cluster.outsideExec(['nft', '-f', '-'], { stdin });
    await waitHealthy(first);
  }
  const stdin = 'add table inet refusing\ndelete table inet refusing\n';
  await cluster.outsideExec(['nft', '-f', '-'], { stdin });
  await Promise.all(GATEWAYS.map(waitHealthy));
}

const PROBE = `the probe outside (tcp ${OUTSIDE_ADDRESS}:${PROBED_PORT})`;

const PROBED = { address: '203.0.113.61', pod: 'probed' };

test('a gateway whose probe is refused says so and hands over; when all are, nothing moves', async () => {
  const { address, pod } = PROBED;
  await createPod(cluster, { name: pod, app: pod, node: 'worker-2' });
  await apply(cluster, policy(pod, pod, [`${address}/32`]));
  await waitProgrammed(cluster, pod);
  await waitWhole(installed, address);
  let after = '';
  const result = await underTraffic(
    'probe refused',
    {
      async inject({ holder }) {
        await refuseProbes(holder);
        await waitIll(holder);
        after = await waitMoved(cluster, address, holder);
        await waitEvent(cluster, address, [`moved from ${holder} to ${after} (unhealthy: ${PROBE}`]);
        // The last one that is well comes last, for it is where the addresses would go.
        const third = GATEWAYS.find((name) => name !== holder && name !== after) ?? '';
        await refuseProbes(third);
        await waitIll(third);
        const { epoch } = await readEgressIp(cluster, address);
        await refuseProbes(after);
        await until(cluster, 'the controller to say that nobody is better', async () =>
          (await readEgressIp(cluster, address)).message.includes(
            'stays (unhealthy): no better gateway has room',
          ),
        );
        expect(await readEgressIp(cluster, address)).toMatchObject({ gateway: after, epoch });
        expect(await availability(pod)).toBe('GatewayUnhealthy');
        // Whoever is well first would be given it: let that be who has it.
        await acceptProbes(after);
      },
      restore: () => acceptProbes(),
    },
    PROBED,
  );
  expect(result.lostPackets).toBe(0);
  expect(result.answerers).toEqual([result.before, after]);
});

function waitIll(name: string): Promise<void> {
  return waitHealth(name, (health) => health?.reason === 'ProbeFailed' && health.message.includes(PROBE));
}

async function availability(name: string): Promise<string> {
  const field = 'jsonpath={.status.conditions[?(@.type=="Available")].reason}';
  return (await cluster.kubectl(['get', 'cegp', name, '-o', field])).stdout;
}

/** Three unanswered questions, one a second, then a planned move; and a machine that does much else. */
const NEXT_HOP_GAP_MS = 8000;

test('a gateway whose next hop is silent says so and hands over', async () => {
  const result = await underTraffic('next hop silent', {
    async inject({ holder }) {
      await cluster.partition(holder, ROUTER);
      await waitHealth(holder, (health) => health?.reason.startsWith('NextHopSilent') === true);
      const now = await waitMoved(cluster, ADDRESS, holder);
      await waitReason(ADDRESS, `${holder} → ${now} (unhealthy)`);
    },
    async restore({ holder }) {
      await cluster.heal();
      await waitHealthy(holder);
    },
  });
  expect(result.gapMs).toBeLessThanOrEqual(NEXT_HOP_GAP_MS);
  expect(result.answerers.at(-1)).not.toBe(result.before);
});

const RETURNING = { address: '203.0.113.60', pod: 'returning' };
/** Longer than a node and its agent need to be back: who returns at once is seen to. */
const RETURN_AFTER_MS = 15_000;

test('an address returns home without loss, once its home has been well for long enough', async () => {
  const { address, pod } = RETURNING;
  await createPod(cluster, { name: pod, app: pod, node: 'worker-2' });
  await apply(cluster, returning(policy(pod, pod, [`${address}/32`])));
  await waitProgrammed(cluster, pod);
  await waitWhole(installed, address);
  const { home } = await readEgressIp(cluster, address);
  await cluster.powerCut(home);
  const elsewhere = await waitMoved(cluster, address, home);
  const began = performance.now();
  let returnedMs = 0;
  const result = await underTraffic(
    'return',
    {
      async inject() {
        await cluster.powerOn(home);
        await waitUntilAt(home, address);
        returnedMs = performance.now() - began;
        await waitReason(address, `${elsewhere} → ${home} (returned)`);
      },
    },
    RETURNING,
  );
  expect(result.lostPackets).toBe(0);
  expect(result.answerers).toEqual([elsewhere, home]);
  expect(returnedMs).toBeGreaterThan(RETURN_AFTER_MS);
});

function returning(manifest: PolicyManifest): PolicyManifest {
  const { spec } = manifest;
  const home = { returnPolicy: 'Return', returnAfter: `${RETURN_AFTER_MS}ms` };
  return { ...manifest, spec: { ...spec, egressGateway: { ...spec.egressGateway, ...home } } };
}

async function waitUntilAt(gateway: string, address: string): Promise<void> {
  await cluster.waitFor(
    `${address} to be at ${gateway}`,
    async () => ((await readEgressIp(cluster, address)).gateway === gateway ? true : undefined),
    { timeoutMs: VOLUNTARY_TIMEOUT_MS },
  );
}

const SPREAD = { name: 'spread', value: 'asked-once' };
const SPREAD_ADDRESSES = [64, 65, 66, 67, 68, 69].map((last) => `203.0.113.${last}`);

test('addresses that came to lie on one gateway are spread evenly when that is asked for', async () => {
  const { name, value } = SPREAD;
  const [full = '', ...others] = GATEWAYS;
  for (const other of others) await cluster.kubectl(['cordon', other]);
  await createPod(cluster, { name, app: name, node: 'worker-2' });
  await apply(cluster, policy(name, name, ['203.0.113.64/30', '203.0.113.68/31']));
  await waitProgrammed(cluster, name);
  for (const other of others) await cluster.kubectl(['uncordon', other]);
  const [address = ''] = SPREAD_ADDRESSES;
  await waitWhole(installed, address);
  expect((await countHeld()).get(full)).toBeGreaterThanOrEqual(SPREAD_ADDRESSES.length);
  const result = await underTraffic(
    'rebalance',
    {
      async inject() {
        await cluster.kubectl(['annotate', 'cegp', name, `${REBALANCE_ANNOTATION}=${value}`]);
        await cluster.waitFor(
          'the rebalance to be carried out',
          async () => {
            const field = 'jsonpath={.status.rebalanced}';
            const { stdout } = await cluster.kubectl(['get', 'cegp', name, '-o', field]);
            return stdout === value ? true : undefined;
          },
          { timeoutMs: VOLUNTARY_TIMEOUT_MS },
        );
      },
    },
    { address, pod: name, sources: SPREAD_ADDRESSES },
  );
  expect(result.lostPackets).toBe(0);
  const counts = await countHeld();
  const held = GATEWAYS.map((gateway) => counts.get(gateway) ?? 0);
  expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(1);
});

/** Gateway → egress IPs that it answers for. */
async function countHeld(): Promise<ReadonlyMap<string, number>> {
  const { stdout } = await cluster.kubectl(['get', 'eip', '-o', 'jsonpath={.items[*].status.gateway}']);
  const counts = new Map<string, number>();
  for (const gateway of stdout.split(' ')) counts.set(gateway, (counts.get(gateway) ?? 0) + 1);
  return counts;
}

/** A session, and a machine that is busy with it all. */
const DETECTED_MS = 3 * SESSION_MS;

test('a change of the peer key costs no session, and a death right after it is noticed', async () => {
  const nodes = cluster.nodes.map(({ name }) => name);
  const result = await underTraffic('key changed', {
    async inject({ holder }) {
      const before = await sessionsOf(GATEWAYS);
      const keys = new Set(await signingKeys(nodes));
      await cluster.kubectl([
        '-n',
        NAMESPACE,
        'annotate',
        'secret',
        PEER_KEY_SECRET,
        `${ROTATE_ANNOTATION}=now`,
      ]);
      await until(cluster, 'all agents to sign with another key', async () => {
        const now = new Set(await signingKeys(nodes));
        return now.size === 1 && [...now].every((key) => !keys.has(key));
      });
      expect(await sessionsOf(GATEWAYS)).toEqual(before);
      await cluster.powerCut(holder);
      await waitMoved(cluster, ADDRESS, holder);
      const others = GATEWAYS.filter((name) => name !== holder);
      expect(await sessionsOf(others)).toEqual(before.filter(([name]) => name !== holder));
    },
    restore: ({ holder }) => cluster.powerOn(holder),
  });
  expect(result.gapMs).toBeLessThanOrEqual(DETECTED_MS);
  expect(result.answerers).toHaveLength(2);
});

function sessionsOf(names: readonly string[]): Promise<readonly (readonly [string, number])[]> {
  return Promise.all(names.map(async (name) => [name, (await readGateway(cluster, name)).session] as const));
}

async function signingKeys(names: readonly string[]): Promise<readonly number[]> {
  return Promise.all(names.map(async (name) => (await readGateway(cluster, name)).signingKey));
}
