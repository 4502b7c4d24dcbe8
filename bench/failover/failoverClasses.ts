/** The classes of failure, and what is done to keepalived in the same instant where it has such a failure too. */
import type { Fault } from '../../test/chaos/faultRun.ts';
import * as faults from '../../test/chaos/faults.ts';
import type { KeepalivedClass } from '../keepalived/keepalivedFaults.ts';

export interface FailoverClass {
  readonly name: string;
  readonly fault: Fault;
  /** Absent: keepalived has no voters, no API and no agents to replace. */
  readonly peer?: KeepalivedClass;
}

export const FAILOVER_CLASSES: readonly FailoverClass[] = [
  { name: 'powerCut', fault: faults.powerCut, peer: 'powerCut' },
  { name: 'uplinkUnplugged', fault: faults.uplinkUnplugged, peer: 'uplinkUnplugged' },
  { name: 'ownerCutOffFromVoters', fault: faults.cutOffFromVoters },
  { name: 'powerCutWithoutApi', fault: faults.powerCutWithoutApi },
  { name: 'agentKill', fault: faults.agentKilled, peer: 'processKill' },
  { name: 'agentFreeze', fault: faults.agentFrozen, peer: 'processFreeze' },
  { name: 'drain', fault: faults.drained, peer: 'drain' },
  { name: 'rollingUpgrade', fault: faults.agentsReplaced },
  { name: 'apiServerStop', fault: faults.apiServerStopped },
];
