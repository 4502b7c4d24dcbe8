import { readFileSync } from 'node:fs';
import type { Cluster } from '../cluster/cluster.ts';
import { findProcesses } from '../cluster/memberProcesses.ts';

export interface ProgramMemory {
  readonly node: string;
  readonly program: string;
  /** The most that it ever had resident, MiB. */
  readonly peakMiB: number;
}

/** Of each process of our programs on every node, by the kernel's own book-keeping (VmHWM, proc_pid_status(5)). */
export function programMemory(cluster: Cluster): readonly ProgramMemory[] {
  return cluster.nodes.flatMap(({ name: node }) =>
    ['agent', 'controller', 'webhook'].flatMap((program) =>
      findProcesses(cluster.id, node, new RegExp(`/app/${program}\\.js`)).map((pid) => {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        const kilobytes = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]);
        return { node, program, peakMiB: Math.round(kilobytes / 1024) };
      }),
    ),
  );
}
