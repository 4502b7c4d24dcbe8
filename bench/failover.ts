/**
 * What failures cost, on a real cluster, and keepalived with conntrackd beside it: both stand on this machine at the same
 * time, and in each run of a class that both have, both lose their holder in the same instant, under the same load and the
 * same traffic, and are measured by the same probe for the same time. Which is hit first, by a hair, alternates.
 *
 * What is not the same, and cannot be: a gateway of ours is a Kubernetes node of some thirty processes, one of keepalived's
 * is keepalived and conntrackd in a namespace. Since both run at once, what ending those thirty costs the machine meets both;
 * but our agent shares its node's share of the CPU with kubelet, containerd and the rest, and keepalived shares the same
 * with nobody.
 */
import type { Bench, Figures } from './bench.ts';
import { FAILOVER_CLASSES, type FailoverClass } from './failover/failoverClasses.ts';
import { type ClassOutcome, renderOutcomes } from './failover/failoverTable.ts';
import { openSallyport } from './failover/openSallyport.ts';
import { type RunResult, runTogether } from './failover/runTogether.ts';
import { summarizeRuns } from './failover/summarizeRuns.ts';
import type { System } from './failover/system.ts';
import { SystemLane } from './failover/systemLane.ts';
import { createKeepalivedFaults } from './keepalived/keepalivedFaults.ts';
import { type KeepalivedRig, openKeepalivedRig } from './keepalivedRig.ts';

const ID = 'bench';
/** A system that failed this often in a row will not come back by itself, and each try takes minutes. */
const FAILURES_IN_A_ROW_MAX = 3;

type Say = (line: string) => void;

interface Both {
  readonly ours: System;
  readonly peer: KeepalivedRig;
}

export const failover: Bench = {
  about: 'gaps, losses and connections in each class of failure, beside keepalived with conntrackd',
  classes: FAILOVER_CLASSES.map(({ name }) => name),
  async run(say, { runs, classes }) {
    const chosen = FAILOVER_CLASSES.filter(({ name }) => classes?.includes(name) ?? true);
    const { outcomes, version } = await measureClasses(say, { chosen, runs });
    say(`\n${renderOutcomes(outcomes)}\n\n${describeConditions(version)}`);
    return figuresOf(outcomes);
  },
};

async function measureClasses(
  say: Say,
  { chosen, runs }: { readonly chosen: readonly FailoverClass[]; readonly runs: number },
): Promise<{ readonly outcomes: readonly ClassOutcome[]; readonly version: string }> {
  const progress = (line: string): void => say(`  … ${line}`);
  const peer = await openKeepalivedRig({ id: ID, onProgress: progress });
  try {
    const ours = await openSallyport(ID, progress);
    try {
      const outcomes: ClassOutcome[] = [];
      for (const [index, one] of chosen.entries())
        outcomes.push(await measureClass({ ours, peer }, one, { runs, turn: index * runs, say }));
      return { outcomes, version: peer.version };
    } finally {
      await ours.close();
    }
  } finally {
    await peer.close();
  }
}

/** @param turn runs before these: whose fault comes first alternates over all of them */
async function measureClass(
  systems: Both,
  { name, fault, peer }: FailoverClass,
  { runs, turn, say }: { readonly runs: number; readonly turn: number; readonly say: Say },
): Promise<ClassOutcome> {
  const faults = createKeepalivedFaults((before) => systems.peer.waitMoved(before));
  const ours: RunResult[] = [];
  const theirs: RunResult[] = [];
  for (let run = 1; run <= runs; run += 1) {
    const lanes = [new SystemLane(systems.ours, fault)];
    if (peer !== undefined) lanes.push(new SystemLane(systems.peer, faults[peer]));
    const [own, other] = await runTogether(lanes, (turn + run - 1) % lanes.length);
    const label = `${name} ${run}/${runs}`;
    if (own !== undefined) ours.push(own);
    if (own !== undefined) say(`  ${label}: ${describeRun(own)}`);
    if (other !== undefined) theirs.push(other);
    if (other !== undefined) say(`  ${label} keepalived ${peer}: ${describeRun(other)}`);
    if (failsAlways(ours) || failsAlways(theirs)) {
      say(
        `  ${name}: given up after ${FAILURES_IN_A_ROW_MAX} failures in a row, ${runs - run} runs not begun`,
      );
      break;
    }
  }
  const own = { name, ours: summarizeRuns(ours) };
  return peer === undefined ? own : { ...own, peer: { name: peer, summary: summarizeRuns(theirs) } };
}

function failsAlways(results: readonly RunResult[]): boolean {
  const last = results.slice(-FAILURES_IN_A_ROW_MAX);
  return last.length === FAILURES_IN_A_ROW_MAX && last.every(({ failure }) => failure !== undefined);
}

function describeRun(result: RunResult): string {
  const { gapMs, lostPackets, alive, opened, answerers, answerersMax, stallMs, failure, leftBroken } = result;
  const gap = gapMs === null ? `FAILED, ${failure}; no gap` : `gap ${gapMs.toFixed(0)} ms`;
  const together = answerersMax > 1 ? ` (${answerersMax} at once)` : '';
  return [
    `${answerers.join(' → ') || 'nobody'}${together}: ${gap}`,
    `${lostPackets} packets lost`,
    `${alive} of ${opened} connections alive`,
    `the probe itself stalled ${stallMs.toFixed(0)} ms`,
    ...(leftBroken === undefined ? [] : [`could not be put back: ${leftBroken}`]),
  ].join(', ');
}

function describeConditions(version: string): string {
  return `${version}: stood on this machine at the same time as the cluster, and where a class has a line of
keepalived's, both lost their holder in the same instant of each run, under the same load and the same traffic, seen by the
same probe; which was hit first alternated. A gateway of the cluster is a Kubernetes node of some thirty processes, one of
keepalived's is keepalived and conntrackd in a namespace: what it costs the machine to end the thirty met both, but our agent
has the CPU share of a node together with kubelet, containerd and the rest, and keepalived has such a share for itself.
A dash: too few runs to tell (p99 needs 100), a failed run whose silence had no end, or a division by nothing. Failed runs
count as runs, and rank behind every gap. Where no packet was lost, the gap is how long this machine kept packets or probes
waiting, and its ratio says nothing of the two. Answerers: how many answered ARP at once at the most, on the wire.`;
}

function figuresOf(outcomes: readonly ClassOutcome[]): Figures {
  return {
    classes: Object.fromEntries(outcomes.map(({ name, ours }) => [name, { ...ours.figures }])),
    keepalived: Object.fromEntries(
      outcomes.flatMap(({ peer }) => (peer === undefined ? [] : [[peer.name, { ...peer.summary.figures }]])),
    ),
  };
}
