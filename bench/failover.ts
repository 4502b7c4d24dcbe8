/**
 * What failures cost, on a real cluster: the same faults as the chaos tests, again and again under traffic, and beside them
 * keepalived with conntrackd on the same topology in the same run. UDP goes at 1,000 packets a second each way, and of 40
 * TCP connections half talk from the pod only and half from the server only.
 */
import { type Fault, type FaultResult, runFault, waitWhole } from '../test/chaos/faultRun.ts';
import * as faults from '../test/chaos/faults.ts';
import {
  apply,
  createPod,
  type InstalledCluster,
  installCluster,
  MANIFEST,
  waitProgrammed,
} from '../test/scenarios/installedCluster.ts';
import type { Bench } from './bench.ts';
import { measureKeepalived, type PowerCutFigures, summarize } from './keepalivedFailover.ts';
import { renderTable } from './renderTable.ts';

const CLASSES: Readonly<Record<string, Fault>> = {
  powerCut: faults.powerCut,
  uplinkUnplugged: faults.uplinkUnplugged,
  ownerCutOffFromVoters: faults.cutOffFromVoters,
  powerCutWithoutApi: faults.powerCutWithoutApi,
  agentKill: faults.agentKilled,
  agentFreeze: faults.agentFrozen,
  drain: faults.drained,
  rollingUpgrade: faults.agentsReplaced,
  apiServerStop: faults.apiServerStopped,
};
const ADDRESS = '203.0.113.10';
const POD = 'my-app';

interface ClassFigures extends PowerCutFigures {
  /** How many answered ARP at once at the most, as a third party saw it. */
  readonly answerersMax: number;
}

export const failover: Bench = {
  about: 'gaps, losses and connections in each class of failure, beside keepalived with conntrackd',
  async run(say, { runs }) {
    const classes = await measureClasses(say, runs);
    const keepalived = await measureKeepalived({ runs, onProgress: (line) => say(`  keepalived ${line}`) });
    const peer = keepalived.powerCut;
    const rows = [
      ...Object.entries(classes).map(([name, figures]) => rowOf(name, figures)),
      rowOf(`keepalived ${keepalived.version}: powerCut`, peer),
    ];
    say(renderTable([['class', 'runs', 'p50 ms', 'p99 ms', 'max ms', 'packets lost', 'TCP alive'], ...rows]));
    const ours = classes.powerCut?.p50Ms;
    if (ours != null && peer.p50Ms !== null)
      say(`\npower cut, keepalived ÷ ours: ${(peer.p50Ms / ours).toFixed(2)} (medians)`);
    const plain = Object.fromEntries(
      Object.entries(classes).map(([name, figures]) => [name, { ...figures }]),
    );
    return { classes: plain, keepalived: { powerCut: { ...peer } } };
  },
};

async function measureClasses(
  say: (line: string) => void,
  runs: number,
): Promise<Readonly<Record<string, ClassFigures>>> {
  const installed = await installCluster({ id: 'bench', onProgress: (line) => say(`  … ${line}`) });
  try {
    await createPod(installed.cluster, { name: POD, app: POD, node: 'worker-1' });
    await apply(installed.cluster, MANIFEST);
    await waitProgrammed(installed.cluster, 'egress-gateway-policy');
    await waitWhole(installed, ADDRESS);
    const figures: Record<string, ClassFigures> = {};
    for (const [name, fault] of Object.entries(CLASSES))
      figures[name] = summarizeFaults(await repeat(installed, { name, fault, runs, say }));
    return figures;
  } finally {
    await installed.destroy();
  }
}

async function repeat(
  installed: InstalledCluster,
  {
    name,
    fault,
    runs,
    say,
  }: {
    readonly name: string;
    readonly fault: Fault;
    readonly runs: number;
    readonly say: (line: string) => void;
  },
): Promise<readonly FaultResult[]> {
  const results: FaultResult[] = [];
  for (let run = 1; run <= runs; run += 1) {
    const result = await runFault(installed, fault, { address: ADDRESS, pod: POD });
    results.push(result);
    const { gapMs, lostPackets, alive, opened, answerers, stallMs } = result;
    say(
      `  ${name} ${run}/${runs}: ${answerers.join(' → ')}, gap ${gapMs.toFixed(0)} ms, ${lostPackets} packets lost, ${alive} of ${opened} connections alive, the probe itself stalled ${stallMs.toFixed(0)} ms`,
    );
  }
  return results;
}

function summarizeFaults(results: readonly FaultResult[]): ClassFigures {
  const answerersMax = Math.max(...results.map(({ overlaps }) => (overlaps.length > 0 ? 2 : 1)));
  return { ...summarize(results), answerersMax };
}

function rowOf(name: string, figures: PowerCutFigures): readonly string[] {
  const ms = (value: number | null | undefined): string => (value == null ? '–' : value.toFixed(0));
  const { runs, p50Ms, p99Ms, maxMs, lostPackets, tcpOpened, tcpAlive } = figures;
  return [name, `${runs}`, ms(p50Ms), ms(p99Ms), ms(maxMs), `${lostPackets}`, `${tcpAlive} of ${tcpOpened}`];
}
