/**
 * What can happen to a gateway of keepalived's. A power cut and an unplugged uplink are the very functions that hit our
 * gateways. Of the others, facts relied on:
 *
 * - SIGTERM to the parent stops it in order (keepalived(8), SIGNALS): the addresses are given up, and an advertisement of
 *   priority 0 makes the next backup take over after its skew time alone (RFC 5798, 6.4.3).
 * - SIGKILL and SIGSTOP leave the addresses on the interface, by design (acassen/keepalived#2361): the kernel goes on
 *   answering ARP for them while a backup takes over.
 * - Debian's unit does not restart keepalived, so here nobody does either until the run is over.
 */
import { readFileSync } from 'node:fs';
import type { Fault } from '../../test/chaos/faultRun.ts';
import * as faults from '../../test/chaos/faults.ts';
import type { Cluster } from '../../test/cluster/cluster.ts';
import { ClusterError } from '../../test/cluster/command.ts';
import { findProcesses } from '../../test/cluster/memberProcesses.ts';

export type KeepalivedClass = 'powerCut' | 'uplinkUnplugged' | 'processKill' | 'processFreeze' | 'drain';

/** The parent and its VRRP child. */
export const KEEPALIVED = /^keepalived /;

/** @param waitMoved until another gateway than the one given has the addresses; throws at its deadline */
export function createKeepalivedFaults(
  waitMoved: (before: string) => Promise<unknown>,
): Readonly<Record<KeepalivedClass, Fault>> {
  const settled: NonNullable<Fault['settled']> = async ({ holder }) => void (await waitMoved(holder));
  return {
    powerCut: { ...faults.powerCut, settled },
    uplinkUnplugged: { ...faults.uplinkUnplugged, settled },
    processKill: { inject: killAtOnce, settled, restore: powerCycle },
    processFreeze: {
      inject: ({ cluster, holder }) => cluster.freeze(holder, KEEPALIVED),
      settled,
      restore: async ({ cluster, holder }) => cluster.thaw(holder, KEEPALIVED),
    },
    drain: { inject: ({ cluster, holder }) => stop(cluster, holder), settled, restore: powerCycle },
  };
}

/** The child is told to stop in order when its parent dies: frozen first, it dies before it can. */
const killAtOnce: Fault['inject'] = ({ cluster, holder }) => {
  cluster.freeze(holder, KEEPALIVED);
  cluster.kill(holder, KEEPALIVED);
};

/** As `systemctl stop` does it; the parent passes it on. */
function stop(cluster: Cluster, gateway: string): void {
  const pids = findProcesses(cluster.id, gateway, KEEPALIVED);
  const parent = pids.find((pid) => !pids.includes(parentOf(pid)));
  if (parent === undefined) throw new ClusterError(`SIGTERM in ${gateway}`, 'keepalived does not run');
  process.kill(parent, 'SIGTERM');
}

/** proc_pid_status(5). */
function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** The shortest way back to a gateway whose keepalived runs, and on which no address was left behind. */
const powerCycle: NonNullable<Fault['restore']> = async ({ cluster, holder }) => {
  await cluster.powerCut(holder);
  await cluster.powerOn(holder);
};
