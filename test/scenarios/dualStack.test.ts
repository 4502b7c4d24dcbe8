/** Both families on one cluster: a policy with an address of each, its pods' traffic, and a gateway that dies under it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { egressIpName, parseAddress } from '../../policy/address.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { IPV6, OUTSIDE_ADDRESS, UNDERLAY_CIDR } from '../cluster/topology.ts';
import { LOCAL_SERVER, type RunningServer, startServer } from '../probe/probeProcess.ts';
import {
  apply,
  conntrackEntries,
  createPod,
  enter,
  holderOf,
  type InstalledCluster,
  installCluster,
  PATIENT_SESSION_MS,
  policy,
  powerOnToStandby,
  refusal,
  sourceOf,
  startPodTraffic,
  stopWhenFlowing,
  until,
  waitMoved,
  waitProgrammed,
} from './installedCluster.ts';

const EGRESS4 = '203.0.113.60';
const EGRESS6 = '2001:db8:cb::60';
const OBJECT6 = nameOf(EGRESS6);
const GAP_MAX_MS = 2900;
let installed: InstalledCluster;
let cluster: Cluster;
let server6: RunningServer;

beforeAll(async () => {
  installed = await installCluster({
    id: 'dualstack',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: PATIENT_SESSION_MS,
    dualStack: true,
    shape: [
      { name: 'gw-1', role: 'gateway', zone: 'zone-a' },
      { name: 'gw-2', role: 'gateway', zone: 'zone-b' },
      { name: 'worker-1', role: 'worker', zone: 'zone-a' },
    ],
  });
  cluster = installed.cluster;
  server6 = await startServer([...enter(cluster, 'outside'), ...LOCAL_SERVER, '--host', IPV6.outsideAddress]);
  await createPod(cluster, { name: 'my-app', app: 'my-app', node: 'worker-1' });
  await createPod(cluster, { name: 'other', app: 'other', node: 'worker-1' });
}, 1_800_000);
afterAll(async () => {
  await server6?.stop();
  await installed?.destroy();
});

function nameOf(text: string): string {
  const address = parseAddress(text);
  if (address.kind === 'refused') throw new Error(address.error.message);
  return egressIpName(address.value);
}

const sourceOf6 = (pod: string): Promise<string> => sourceOf(cluster, pod, IPV6.outsideAddress);

/** The hardware address that the router sends packets for the egress IP to. */
async function answererOf(address: string): Promise<string> {
  const argv = ['ip', '-j', 'neigh', 'show', address];
  const { stdout } = await cluster.routerExec(argv);
  return (JSON.parse(stdout) as readonly { readonly lladdr?: string }[])[0]?.lladdr ?? '';
}

function dual(name: string, app: string, cidrs: readonly string[]) {
  const manifest = policy(name, app, cidrs);
  return { ...manifest, spec: { ...manifest.spec, destinationCIDRs: ['0.0.0.0/0', '::/0'] } };
}

test("a pod leaves by each family with that family's address, and others do not", async () => {
  expect(await sourceOf6('my-app')).toBe(cluster.node('worker-1').ipv6?.address);
  await apply(cluster, dual('dual', 'my-app', [`${EGRESS4}/32`, `${EGRESS6}/128`]));
  await waitProgrammed(cluster, 'dual');
  expect(await sourceOf6('my-app')).toBe(EGRESS6);
  expect(await sourceOf(cluster, 'my-app', OUTSIDE_ADDRESS)).toBe(EGRESS4);
  expect(await sourceOf6('other')).toBe(cluster.node('worker-1').ipv6?.address);
});

test('an IPv6 pool off every link is refused, saying which links there are', async () => {
  const words = await refusal(cluster, dual('far', 'other', ['2001:db8:ffff::10/128']));
  expect(words).toContain('2001:db8:ffff::10 is on-link at no gateway');
  expect(words).toContain(`gw-1: ${UNDERLAY_CIDR} ${IPV6.underlayCidr}`);
});

test('a power cut of the gateway: connections over IPv6 live, gateways hold no state', async () => {
  const before = await holderOf(cluster, OBJECT6);
  expect(await answererOf(EGRESS6)).toBe(cluster.node(before).mac);
  const traffic = await startPodTraffic(cluster, 'my-app', {
    podPush: 10,
    serverPush: 10,
    udpRate: 200,
    server: IPV6.outsideAddress,
  });
  await cluster.powerCut(before);
  const after = await waitMoved(cluster, OBJECT6, before);
  const report = await stopWhenFlowing(cluster, traffic);
  expect(report.podPush).toMatchObject({ opened: 10, alive: 10, reset: 0 });
  expect(report.serverPush).toMatchObject({ opened: 10, alive: 10, reset: 0 });
  expect(Object.keys(report.podPush.sources)).toEqual([EGRESS6]);
  const { longestGapUpMs, longestGapDownMs } = report.udp;
  console.log(
    `power cut, IPv6: ${before} → ${after}, gap up ${longestGapUpMs} ms, down ${longestGapDownMs} ms`,
  );
  expect(Math.max(longestGapUpMs, longestGapDownMs)).toBeLessThanOrEqual(GAP_MAX_MS);
  expect(await answererOf(EGRESS6)).toBe(cluster.node(after).mac);
  expect(await conntrackEntries(cluster, after, EGRESS6)).toBe(0);
  await powerOnToStandby(cluster, OBJECT6, before);
});

test("without its policy the pod leaves with its node's addresses again", async () => {
  await cluster.kubectl(['delete', 'cegp', 'dual', '--wait', '--timeout=30s']);
  const own = cluster.node('worker-1').ipv6?.address;
  await until(cluster, "the node's IPv6 address", async () => (await sourceOf6('my-app')) === own);
});
