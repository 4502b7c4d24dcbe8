/** The demo's steps: each does something to the cluster, looks at what came of it, and says so. */
import type { Cluster } from '../cluster/cluster.ts';
import { lostOnTheWay } from '../probe/lostOnTheWay.ts';
import type { ClientReport, ServedFlow } from '../probe/report.ts';
import {
  apply,
  createPod,
  holderOf,
  type InstalledCluster,
  MANIFEST,
  policy,
  powerOnToStandby,
  refusal,
  seenByPeer,
  sourceOf,
  startPodTraffic,
  stopWhenFlowing,
  waitMoved,
  waitProgrammed,
} from '../scenarios/installedCluster.ts';

const EGRESS = '203.0.113.10';
const CONNECTIONS = { podPush: 20, serverPush: 20, udpRate: 200 };

interface Survival {
  readonly opened: number;
  readonly alive: number;
}

export interface DemoFigures {
  /** What the outside host saw of a pod that the policy selects. */
  readonly sourceSeen: string;
  readonly conflictDenied: boolean;
  readonly unroutableDenied: boolean;
  readonly failover: {
    readonly gapMs: number;
    readonly tcpPodPush: Survival;
    readonly tcpServerPush: Survival;
  };
  readonly drain: { readonly sent: number; readonly lost: number };
}

type Say = (line: string) => void;

export async function tellStory({ cluster, server }: InstalledCluster, say: Say): Promise<DemoFigures> {
  const sourceSeen = await tellSource(cluster, say);
  const denied = await tellRefusals(cluster, say);
  const failover = await tellFailover(cluster, say);
  const drain = await tellDrain(cluster, say, async () => (await server.report()).flows.at(-1));
  say('\n6. What kubectl shows');
  say((await cluster.kubectl(['get', 'cegp,eip,gwn'])).stdout);
  return { sourceSeen, ...denied, failover, drain };
}

async function tellSource(cluster: Cluster, say: Say): Promise<string> {
  say('\n1. A pod of my-app asks the outside host which address it sees');
  await createPod(cluster, { name: 'my-app', app: 'my-app', node: 'worker-1' });
  await createPod(cluster, { name: 'other', app: 'other', node: 'worker-1' });
  await createPod(cluster, { name: 'peer', app: 'peer', node: 'worker-2' });
  say(`   ${await sourceOf(cluster, 'my-app')}: the address of the node it runs on`);
  say('\n2. The policy is applied, as it stands in the README');
  say(MANIFEST.replace(/^/gm, '   | ').trimEnd());
  await apply(cluster, MANIFEST);
  await waitProgrammed(cluster, 'egress-gateway-policy');
  const source = await sourceOf(cluster, 'my-app');
  say(`   my-app leaves with ${source}; another app still with ${await sourceOf(cluster, 'other')}`);
  const { own, direct, service } = await seenByPeer(cluster, 'my-app');
  const reached = direct === own && service === own;
  say(
    `   to another pod, directly and through a service, my-app comes with its own address: ${reached ? 'yes' : 'NO'}`,
  );
  say(await picture(cluster));
  return source;
}

async function tellRefusals(
  cluster: Cluster,
  say: Say,
): Promise<Pick<DemoFigures, 'conflictDenied' | 'unroutableDenied'>> {
  say('\n3. Two pools that cannot work are refused at kubectl apply');
  const conflict = await refusal(cluster, policy('overlap', 'other', [`${EGRESS}/32`]));
  say(`   ${conflict.trim()}`);
  const unroutable = await refusal(cluster, policy('unroutable', 'other', ['192.0.2.10/32']));
  say(`   ${unroutable.trim()}`);
  return {
    conflictDenied: conflict.includes('overlaps'),
    unroutableDenied: unroutable.includes('on-link at no gateway'),
  };
}

async function tellFailover(cluster: Cluster, say: Say): Promise<DemoFigures['failover']> {
  const before = await holderOf(cluster, EGRESS);
  say(
    `\n4. 20 connections on which my-app talks, 20 on which only the server talks; then the power of ${before} is cut`,
  );
  const traffic = await startPodTraffic(cluster, 'my-app', CONNECTIONS);
  await cluster.powerCut(before);
  const after = await waitMoved(cluster, EGRESS, before);
  const { udp, podPush, serverPush } = await stopWhenFlowing(cluster, traffic);
  const gapMs = Math.round(Math.max(udp.longestGapUpMs, udp.longestGapDownMs));
  say(`   ${after} took over; the longest silence was ${gapMs} ms`);
  say(`   alive: ${podPush.alive} of ${podPush.opened} and ${serverPush.alive} of ${serverPush.opened}`);
  await powerOnToStandby(cluster, EGRESS, before);
  say(`   ${before} has its power again and stands by; the address stays where it is`);
  say(await picture(cluster));
  const survival = ({ opened, alive }: ClientReport['podPush']): Survival => ({ opened, alive });
  return { gapMs, tcpPodPush: survival(podPush), tcpServerPush: survival(serverPush) };
}

async function tellDrain(
  cluster: Cluster,
  say: Say,
  served: () => Promise<ServedFlow | undefined>,
): Promise<DemoFigures['drain']> {
  const before = await holderOf(cluster, EGRESS);
  say(`\n5. A planned move: ${before} shall be a gateway no more`);
  const traffic = await startPodTraffic(cluster, 'my-app', CONNECTIONS);
  await cluster.kubectl(['label', 'node', before, 'sallyport.dev/gateway=false', '--overwrite']);
  const after = await waitMoved(cluster, EGRESS, before);
  const { udp } = await stopWhenFlowing(cluster, traffic);
  await cluster.kubectl(['label', 'node', before, 'sallyport.dev/gateway=true', '--overwrite']);
  const lost = lostOnTheWay(udp, await served());
  const sent = udp.sent + udp.receivedDown + udp.lostDown;
  say(`   ${after} took over; ${lost} of ${sent} packets were lost`);
  say(await picture(cluster));
  return { sent, lost };
}

/** Who holds the address, who is next. */
async function picture(cluster: Cluster): Promise<string> {
  const fields = '{.status.gateway} {.status.standbyNames}';
  const { stdout } = await cluster.kubectl(['get', 'eip', EGRESS, '-o', `jsonpath=${fields}`]);
  const [holder = '', standbys = ''] = stdout.split(' ');
  const gateways = cluster.nodes.filter(({ role }) => role === 'gateway');
  const lines = gateways.map(({ name, zone }) => {
    const rank = standbys.split(',').indexOf(name);
    const role = name === holder ? `◄── ${EGRESS}` : rank >= 0 ? `standby ${rank + 1}` : 'no standby';
    return `     ${name === holder ? '●' : '○'} ${name} (${zone})  ${role}`;
  });
  return ['', ...lines].join('\n');
}
