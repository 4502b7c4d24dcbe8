/**
 * Each class of failure on a real cluster, under traffic both ways and with a third party watching who answers ARP: never
 * two at once, every connection lives, and what is planned or harmless loses no packet. How fast it is, is the bench's to
 * say; here a move only has to be over long before anything else than the peers' own detection could have noticed.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  apply,
  createPod,
  type InstalledCluster,
  installCluster,
  MANIFEST,
  PATIENT_SESSION_MS,
  waitProgrammed,
} from '../scenarios/installedCluster.ts';
import { describeResult, type Fault, runFault, waitWhole } from './faultRun.ts';
import * as faults from './faults.ts';

const ADDRESS = '203.0.113.10';
const POD = 'my-app';
/** Slow enough that a machine busy with a whole cluster drops none of it by itself. */
const UDP_RATE = 200;
/** Kubernetes' Leases would take three seconds, a Lease and a controller more. */
const DETECTED_MS = 2900;
let installed: InstalledCluster;

beforeAll(async () => {
  installed = await installCluster({
    id: 'chaos',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: PATIENT_SESSION_MS,
  });
  await createPod(installed.cluster, { name: POD, app: POD, node: 'worker-1' });
  await apply(installed.cluster, MANIFEST);
  await waitProgrammed(installed.cluster, 'egress-gateway-policy');
  await waitWhole(installed, ADDRESS);
}, 1_800_000);
afterAll(async () => {
  await installed?.destroy();
});

interface Row {
  readonly name: string;
  readonly fault: Fault;
  /** Somebody else has to answer afterwards. Where it need not be, a machine that stalls may move it: that is no fault. */
  readonly moves: boolean;
  /** Undefined: nothing may be lost. */
  readonly gapMaxMs?: number;
}

const ROWS: readonly Row[] = [
  { name: 'a power cut', fault: faults.powerCut, moves: true, gapMaxMs: DETECTED_MS },
  { name: 'an unplugged uplink', fault: faults.uplinkUnplugged, moves: true, gapMaxMs: DETECTED_MS },
  { name: 'an agent killed', fault: faults.agentKilled, moves: true },
  { name: 'an agent frozen', fault: faults.agentFrozen, moves: true },
  { name: 'an agent frozen and thawed', fault: faults.agentThawed, moves: true },
  {
    name: 'an owner cut off from the voters',
    fault: faults.cutOffFromVoters,
    moves: true,
    gapMaxMs: DETECTED_MS,
  },
  { name: 'an owner that hears no voter', fault: faults.deafToVoters, moves: true, gapMaxMs: DETECTED_MS },
  { name: 'an owner that no voter hears', fault: faults.unheardByVoters, moves: true, gapMaxMs: DETECTED_MS },
  { name: 'a kubelet killed', fault: faults.kubeletKilled, moves: false },
  { name: 'the API server stopped', fault: faults.apiServerStopped, moves: false },
  { name: 'etcd stopped', fault: faults.etcdStopped, moves: false },
  {
    name: 'a power cut without an API server',
    fault: faults.powerCutWithoutApi,
    moves: true,
    gapMaxMs: DETECTED_MS,
  },
  {
    name: 'a power cut together with the death of the controller that leads',
    fault: faults.powerCutWithoutLeader,
    moves: true,
    gapMaxMs: DETECTED_MS,
  },
  {
    name: 'a power cut of one of two gateways',
    fault: faults.powerCutOfTwo,
    moves: true,
    gapMaxMs: DETECTED_MS,
  },
  // A machine that gives nobody its turn loses packets by itself.
  {
    name: 'processors oversubscribed three times',
    fault: faults.starved(),
    moves: false,
    gapMaxMs: DETECTED_MS,
  },
  {
    name: 'a power cut on oversubscribed processors',
    fault: faults.starved(faults.powerCut),
    moves: true,
    gapMaxMs: 2 * DETECTED_MS,
  },
  {
    name: 'two power cuts within a second',
    fault: faults.twoPowerCuts(),
    moves: true,
    gapMaxMs: 2 * DETECTED_MS,
  },
  { name: 'a cordon', fault: faults.drained, moves: true },
  { name: 'the gateway label removed', fault: faults.labelRemoved, moves: true },
  { name: 'all agents replaced', fault: faults.agentsReplaced, moves: false },
  // A node boots, its kubelet starts the agent, the agent hears from the API: all of that is in the gap.
  { name: 'all gateways gone and one back', fault: faults.allGoneOneBack, moves: false, gapMaxMs: 60_000 },
];

test.each(ROWS)('$name: one answers, every connection lives', async ({ name, fault, moves, gapMaxMs }) => {
  const result = await runFault(installed, fault, { address: ADDRESS, pod: POD, udpRate: UDP_RATE });
  console.log(describeResult(name, result));
  expect(result.overlaps).toEqual([]);
  expect({ opened: result.opened, alive: result.alive, resets: result.resets }).toEqual({
    opened: 40,
    alive: 40,
    resets: 0,
  });
  expect(result.sources).toEqual([ADDRESS]);
  expect(result.answerers[0]).toBe(result.before);
  if (moves) expect(result.answerers.at(-1)).not.toBe(result.before);
  if (gapMaxMs === undefined) expect(result.lostPackets).toBe(0);
  else expect(result.gapMs).toBeLessThanOrEqual(gapMaxMs);
});
