/**
 * Each class of failure on a real cluster, under traffic both ways and with a third party watching who answers ARP: never
 * two at once, every connection lives, and what is planned or harmless loses no packet. How fast it is, is the bench's to
 * say; here a move only has to be over long before anything else than the peers' own detection could have noticed.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type InstalledCluster, PATIENT_SESSION_MS } from '../scenarios/installedCluster.ts';
import { CHAOS_ROWS, judgeRun, UDP_RATE } from './chaosRows.ts';
import { describeResult, runFault } from './faultRun.ts';
import { CHAOS_ADDRESS, CHAOS_POD, openChaosCluster } from './openChaosCluster.ts';

let installed: InstalledCluster;

beforeAll(async () => {
  installed = await openChaosCluster({
    id: 'chaos',
    onProgress: (line) => console.log(line),
    sessionMilliseconds: PATIENT_SESSION_MS,
  });
}, 1_800_000);
afterAll(async () => {
  await installed?.destroy();
});

test.each(CHAOS_ROWS)('$name: one answers, every connection lives', async (row) => {
  const target = { address: CHAOS_ADDRESS, pod: CHAOS_POD, udpRate: UDP_RATE };
  const result = await runFault(installed, row.fault, target);
  console.log(describeResult(row.name, result));
  expect(judgeRun(row, result, CHAOS_ADDRESS)).toEqual([]);
});
