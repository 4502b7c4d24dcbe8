/** One fault under traffic: what was lost, how long the silence was, which connections live, and who answered meanwhile. */

import { GATEWAY_LEASE_PREFIX } from '../../policy/names.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { lostOnTheWay } from '../probe/lostOnTheWay.ts';
import type { RunningClient } from '../probe/probeProcess.ts';
import {
  type InstalledCluster,
  NAMESPACE,
  startNamespaceTraffic,
  until,
} from '../scenarios/installedCluster.ts';
import { type Answer, type AnswerWatch, answerersOf, overlapsOf, watchAnswers } from './answerWatch.ts';

export interface Fault {
  /** Done before the traffic begins; `restore` undoes it. */
  prepare?(installed: InstalledCluster): Promise<void>;
  /** Does it to the cluster; returns when it is done, not when it is over. */
  inject(run: FaultContext): Promise<void> | void;
  /** Waited for before the result is taken: by default only that traffic flows again. */
  settled?(run: FaultContext): Promise<void>;
  /** Puts the cluster back; the next run begins when it is whole again. */
  restore?(run: FaultContext): Promise<void>;
}

export interface FaultContext extends InstalledCluster {
  /** Who answered for the address before the fault. */
  readonly holder: string;
  readonly address: string;
  readonly pod: string;
}

export interface FaultResult {
  readonly before: string;
  /** Of both directions, the longest silence, milliseconds. */
  readonly gapMs: number;
  readonly lostPackets: number;
  readonly sentPackets: number;
  readonly opened: number;
  readonly alive: number;
  readonly resets: number;
  /** Source addresses that the outside saw of the connections. */
  readonly sources: readonly string[];
  /** Who answered ARP, in order. */
  readonly answerers: readonly string[];
  /** Two answering at once. */
  readonly overlaps: readonly string[];
  /** The longest that the probe itself was not run by the machine, milliseconds: a gap is no truer than that. */
  readonly stallMs: number;
}

export interface FaultOptions {
  readonly address: string;
  readonly pod: string;
  /** UDP packets a second each way. */
  readonly udpRate?: number;
}

const CONNECTIONS = { podPush: 20, serverPush: 20 };
const UDP_RATE = 1000;
/** A connection is alive that was heard within the last second. */
const ALIVE_WINDOW_SECONDS = 1.1;

export async function runFault(
  installed: InstalledCluster,
  fault: Fault,
  { address, pod, udpRate = UDP_RATE }: FaultOptions,
): Promise<FaultResult> {
  const { cluster, server } = installed;
  await fault.prepare?.(installed);
  const watch = await watchAnswers(cluster, address);
  const context: FaultContext = { ...installed, holder: await answererSeen(cluster, watch), address, pod };
  const { holder } = context;
  let traffic: RunningClient | undefined;
  try {
    traffic = await startNamespaceTraffic(cluster, pod, { ...CONNECTIONS, udpRate });
    await waitFlowing(installed, traffic, 0);
    traffic.mark();
    await fault.inject(context);
    await fault.settled?.(context);
    const { seconds } = await traffic.snapshot();
    await waitFlowing(installed, traffic, seconds + ALIVE_WINDOW_SECONDS);
    const report = await traffic.stop();
    const up = (await server.report()).flows.at(-1);
    return {
      before: holder,
      gapMs: Math.max(report.udp.longestGapUpMs, report.udp.longestGapDownMs),
      lostPackets: lostOnTheWay(report.udp, up),
      sentPackets: report.udp.sent + report.udp.receivedDown + report.udp.lostDown,
      opened: report.podPush.opened + report.serverPush.opened,
      alive: report.podPush.alive + report.serverPush.alive,
      resets: report.podPush.reset + report.serverPush.reset,
      sources: Object.keys({
        ...report.podPush.sources,
        ...report.serverPush.sources,
        ...report.udp.sources,
      }),
      ...judge(watch.answers()),
      stallMs: report.loopStallMs,
    };
  } finally {
    traffic?.kill();
    await watch.stop();
    await fault.restore?.(context);
    await waitWhole(installed, address);
  }
}

/** Who answers on the wire. */
async function answererSeen(cluster: Cluster, watch: AnswerWatch): Promise<string> {
  return cluster.waitFor('somebody to answer', async () => watch.answers().at(-1)?.node);
}

function judge(answers: readonly Answer[]): Pick<FaultResult, 'answerers' | 'overlaps'> {
  return { answerers: answerersOf(answers), overlaps: overlapsOf(answers) };
}

/** @param fromSeconds on the probe's clock: not judged before */
function waitFlowing(
  { cluster }: InstalledCluster,
  traffic: RunningClient,
  fromSeconds: number,
): Promise<void> {
  return until(cluster, 'all connections to carry data', async () => {
    const { seconds, podPush, serverPush, udp } = await traffic.snapshot();
    const alive = podPush.alive === podPush.asked && serverPush.alive === serverPush.asked;
    return alive && udp.receivedDown > 0 && seconds >= fromSeconds;
  });
}

/** Every gateway has a session of its present life, one answers, and the others stand by for the address. */
export async function waitWhole({ cluster }: InstalledCluster, address: string): Promise<void> {
  const gateways = cluster.nodes.filter(({ role }) => role === 'gateway').map(({ name }) => name);
  await Promise.all(gateways.map((name) => cluster.waitForNodeReady(name)));
  await until(cluster, 'the cluster to be whole again', async () => {
    const seen = await cluster.kubectl(
      ['get', `eip/${address}`, ...gateways.map((name) => `gwn/${name}`), '-o', 'json'],
      { allowFailure: true },
    );
    const leases = await cluster.kubectl(['get', 'leases', '-n', NAMESPACE, '-o', 'json'], {
      allowFailure: true,
    });
    if (seen.code !== 0 || leases.code !== 0) return false;
    return isWhole({ seen: JSON.parse(seen.stdout), leases: JSON.parse(leases.stdout), gateways });
  });
}

/** A Lease that was renewed this lately is of a gateway that lives; its agent renews four times as often. */
const RENEWED_WITHIN_MS = 3000;

interface Listed {
  readonly items: readonly {
    readonly kind: string;
    readonly metadata: { readonly name: string };
    readonly spec?: {
      readonly order?: readonly { readonly gateway: string; readonly session: number }[];
      readonly fence?: readonly unknown[];
      readonly renewTime?: string;
      readonly leaseTransitions?: number;
    };
    readonly status?: { readonly phase?: string; readonly session?: number; readonly gateway?: string };
  }[];
}

function isWhole(found: {
  readonly seen: Listed;
  readonly leases: Listed;
  readonly gateways: readonly string[];
}): boolean {
  const { seen, leases, gateways } = found;
  const eip = seen.items.find(({ kind }) => kind === 'EgressIP');
  const sessionOf = (gateway: string): number | undefined =>
    seen.items.find(({ kind, metadata }) => kind === 'GatewayNode' && metadata.name === gateway)?.status
      ?.session;
  const renewed = gateways.every((gateway) => {
    const lease = leases.items.find(
      ({ metadata }) => metadata.name === `${GATEWAY_LEASE_PREFIX}${gateway}`,
    )?.spec;
    const age = Date.now() - Date.parse(lease?.renewTime ?? '');
    return age < RENEWED_WITHIN_MS && lease?.leaseTransitions === sessionOf(gateway);
  });
  const order = eip?.spec?.order ?? [];
  const current = order.every(({ gateway, session }) => session === sessionOf(gateway));
  const settled = eip?.status?.phase === 'Announced' && eip.status.gateway === order[0]?.gateway;
  return (
    renewed && current && settled && order.length === gateways.length && (eip?.spec?.fence ?? []).length === 0
  );
}

export function describeResult(name: string, result: FaultResult): string {
  const { before, answerers, gapMs, lostPackets, alive, opened, stallMs } = result;
  return `${name}: ${before}, answered by ${answerers.join(' → ')}; gap ${gapMs.toFixed(0)} ms, ${lostPackets} of ${result.sentPackets} packets lost, ${alive} of ${opened} connections alive, the probe stalled ${stallMs.toFixed(0)} ms`;
}
