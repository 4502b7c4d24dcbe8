/** What a lane has to know of a system, whichever it is. */
import type { Cluster } from '../../test/cluster/cluster.ts';
import type { RunningClient } from '../../test/probe/probeProcess.ts';

export interface System {
  readonly name: string;
  /** Its namespaces and processes, and what can be done to them. */
  readonly cluster: Cluster;
  /** Which the outside sees as the source. */
  readonly address: string;
  /** Whose traffic it is. */
  readonly pod: string;
  /** One gateway holds the address, every other one stands by. */
  waitWhole(): Promise<void>;
  /** From the pod to the outside host. */
  startTraffic(): Promise<RunningClient>;
  close(): Promise<void>;
}
