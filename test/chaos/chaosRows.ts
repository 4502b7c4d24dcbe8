/**
 * What can happen to a cluster, class by class, and what has to hold then: never two that answer at once, every connection
 * lives, and what is planned or harmless loses no packet.
 */
import type { Fault, FaultResult } from './faultRun.ts';
import * as faults from './faults.ts';
import { clockStepped } from './steppedClock.ts';

export interface ChaosRow {
  /** As the command line calls it. */
  readonly key: string;
  readonly name: string;
  readonly fault: Fault;
  /** Somebody else has to answer afterwards. Where it need not be, a machine that stalls may move it: that is no fault. */
  readonly moves: boolean;
  /** Undefined: nothing may be lost. */
  readonly gapMaxMs?: number;
  /** Whose sessions it ends. A new session of anybody else is one that was called dead without cause. */
  readonly hits: 'nobody' | 'holder' | 'several';
}

/** Slow enough that a machine busy with a whole cluster drops none of it by itself. */
export const UDP_RATE = 200;
/** Kubernetes' Leases would take three seconds, a Lease and a controller more. */
const DETECTED_MS = 2900;

/** Somebody else answers, and nothing was lost. */
const HANDED_OVER = { moves: true, hits: 'nobody' } as const;
/** The agent alone is struck: its kernel goes on forwarding. */
const AGENT_LOST = { moves: true, hits: 'holder' } as const;
/** Somebody else answers after a silence. */
const FAILED_OVER = { ...AGENT_LOST, gapMaxMs: DETECTED_MS } as const;
/** Nothing happens. */
const UNMOVED = { moves: false, hits: 'nobody' } as const;

export const CHAOS_ROWS: readonly ChaosRow[] = [
  { key: 'powerCut', name: 'a power cut', fault: faults.powerCut, ...FAILED_OVER },
  { key: 'uplinkUnplugged', name: 'an unplugged uplink', fault: faults.uplinkUnplugged, ...FAILED_OVER },
  { key: 'agentKilled', name: 'an agent killed', fault: faults.agentKilled, ...AGENT_LOST },
  { key: 'agentFrozen', name: 'an agent frozen', fault: faults.agentFrozen, ...AGENT_LOST },
  { key: 'agentThawed', name: 'an agent frozen and thawed', fault: faults.agentThawed, ...AGENT_LOST },
  {
    key: 'cutOffFromVoters',
    name: 'an owner cut off from the voters',
    fault: faults.cutOffFromVoters,
    ...FAILED_OVER,
  },
  {
    key: 'deafToVoters',
    name: 'an owner that hears no voter',
    fault: faults.deafToVoters,
    ...FAILED_OVER,
  },
  {
    key: 'unheardByVoters',
    name: 'an owner that no voter hears',
    fault: faults.unheardByVoters,
    ...FAILED_OVER,
  },
  { key: 'kubeletKilled', name: 'a kubelet killed', fault: faults.kubeletKilled, ...UNMOVED },
  { key: 'apiServerStopped', name: 'the API server stopped', fault: faults.apiServerStopped, ...UNMOVED },
  { key: 'etcdStopped', name: 'etcd stopped', fault: faults.etcdStopped, ...UNMOVED },
  {
    key: 'powerCutWithoutApi',
    name: 'a power cut without an API server',
    fault: faults.powerCutWithoutApi,
    ...FAILED_OVER,
  },
  {
    key: 'powerCutWithoutLeader',
    name: 'a power cut together with the death of the controller that leads',
    fault: faults.powerCutWithoutLeader,
    ...FAILED_OVER,
  },
  {
    key: 'powerCutOfTwo',
    name: 'a power cut of one of two gateways',
    fault: faults.powerCutOfTwo,
    ...FAILED_OVER,
  },
  // A machine that gives nobody its turn loses packets by itself.
  {
    key: 'starvedProcessors',
    name: 'processors oversubscribed three times',
    fault: faults.starved(),
    ...UNMOVED,
    gapMaxMs: DETECTED_MS,
  },
  {
    key: 'powerCutOnStarvedProcessors',
    name: 'a power cut on oversubscribed processors',
    fault: faults.starved(faults.powerCut),
    ...FAILED_OVER,
    gapMaxMs: 2 * DETECTED_MS,
  },
  {
    key: 'twoPowerCuts',
    name: 'two power cuts within a second',
    fault: faults.twoPowerCuts(),
    moves: true,
    hits: 'several',
    gapMaxMs: 2 * DETECTED_MS,
  },
  { key: 'drain', name: 'a cordon', fault: faults.drained, ...HANDED_OVER },
  { key: 'labelRemoved', name: 'the gateway label removed', fault: faults.labelRemoved, ...HANDED_OVER },
  {
    key: 'agentsReplaced',
    name: 'all agents replaced',
    fault: faults.agentsReplaced,
    moves: false,
    hits: 'several',
  },
  // All agents are replaced before and after, for ones whose clock can be set.
  {
    key: 'clockStepped',
    name: "steps of the owner's wall clock",
    fault: clockStepped(),
    ...UNMOVED,
    hits: 'several',
  },
  // A node boots, its kubelet starts the agent, the agent hears from the API: all of that is in the gap.
  {
    key: 'allGoneOneBack',
    name: 'all gateways gone and one back',
    fault: faults.allGoneOneBack,
    moves: false,
    hits: 'several',
    gapMaxMs: 60_000,
  },
];

/** What of it did not hold, in words; empty: all did. */
export function judgeRun(row: ChaosRow, result: FaultResult, address: string): readonly string[] {
  const { opened, alive, resets, gapMs, lostPackets, before, answerers, sources, overlaps } = result;
  const { moves, gapMaxMs } = row;
  const problems: readonly (readonly [boolean, string])[] = [
    [overlaps.length > 0, `two answered at once: ${overlaps.join('; ')}`],
    [opened < CONNECTIONS_MIN, `only ${opened} connections were opened`],
    [alive < opened || resets > 0, `${alive} of ${opened} connections are alive, ${resets} were reset`],
    [sources.join() !== address, `sources other than ${address} were seen: ${sources.join(', ')}`],
    [answerers[0] !== before, `${before} did not answer at first`],
    [moves && answerers.at(-1) === before, `${before} answers still`],
    [gapMaxMs === undefined && lostPackets > 0, `${lostPackets} packets were lost`],
    [gapMaxMs !== undefined && gapMs > gapMaxMs, `a gap of ${gapMs.toFixed(0)} ms`],
  ];
  return problems.filter(([holds]) => holds).map(([, text]) => text);
}

/** What faultRun.ts opens: fewer would say less. */
const CONNECTIONS_MIN = 40;
