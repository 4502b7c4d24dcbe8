/** The disk that a node's containers log to, in a cluster whose nodes have one of their own (`logDiskMegabytes`). */
import type { Cluster } from './cluster.ts';
import { ClusterError, runCommand } from './command.ts';
import { findProcesses } from './memberProcesses.ts';

/** Returns the bytes that are left: none. */
export async function fillLogDisk(cluster: Cluster, node: string): Promise<number> {
  const fill = 'cat /dev/zero >/var/log/full 2>/dev/null; df --output=avail -B1 /var/log | tail -1';
  return Number(await inNode(cluster, node, fill));
}

export async function freeLogDisk(cluster: Cluster, node: string): Promise<void> {
  await inNode(cluster, node, 'rm -f /var/log/full');
}

async function inNode({ id }: Cluster, node: string, script: string): Promise<string> {
  const step = `the log disk of ${node}`;
  const [boot] = findProcesses(id, node, /^sh \S+\/boot\.sh /);
  if (boot === undefined) throw new ClusterError(step, 'the node does not run');
  const { stdout } = await runCommand(step, ['nsenter', '-t', `${boot}`, '--mount', 'sh', '-c', script]);
  return stdout.trim();
}
