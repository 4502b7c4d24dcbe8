import { readFileSync } from 'node:fs';
import { cgroupsOf, processesIn } from './clusterState.ts';
import { ClusterError } from './command.ts';
import { namespaceName } from './topology.ts';

/**
 * Every process of a node or of the control plane, its containers' too. Found by cgroup: containers have pid and network
 * namespaces of their own, but never leave the node's cgroup.
 */
export function listProcesses(id: string, member: string): readonly number[] {
  const cgroups = cgroupsOf(namespaceName(id, member));
  const pids = cgroups.find((cgroup) => cgroup.startsWith('/sys/fs/cgroup/pids/'));
  return pids === undefined ? [] : processesIn(pids);
}

/** Arguments joined by spaces; empty for a process that has ended. */
export function readCommandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

export function findProcesses(id: string, member: string, pattern: RegExp): readonly number[] {
  return listProcesses(id, member).filter((pid) => pattern.test(readCommandLine(pid)));
}

/** Throws when nothing matches: a fault that hits nobody would let a test pass for nothing. */
export function signalProcesses(id: string, member: string, pattern: RegExp, signal: NodeJS.Signals): void {
  const pids = findProcesses(id, member, pattern);
  if (pids.length === 0) throw new ClusterError(`${signal} in ${member}`, `no process matches ${pattern}`);
  for (const pid of pids) process.kill(pid, signal);
}
