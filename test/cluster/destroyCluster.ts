import { existsSync, readdirSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type ClusterState,
  isAlive,
  listClusters,
  processesIn,
  readState,
  removeState,
} from './clusterState.ts';
import { ClusterError, runCommand } from './command.ts';

const POLL_MS = 20;
/** A killed pid namespace is gone within a tenth of a second; containers' mounts take the kernel a little longer. */
const TEAR_DOWN_TIMEOUT_MS = 20_000;

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

async function removeCgroup(cgroup: string): Promise<void> {
  if (!existsSync(cgroup)) return;
  const children = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const child of children) await removeCgroup(join(cgroup, child.name));
  await rmdir(cgroup).catch(() => undefined);
}

/** Ends every process in the cgroups, whatever namespace it hides in, then removes the cgroups. */
export async function emptyCgroups(
  cgroups: readonly string[],
  deadlineMs = TEAR_DOWN_TIMEOUT_MS,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    for (const cgroup of cgroups) for (const pid of processesIn(cgroup)) killQuietly(pid);
    for (const cgroup of cgroups) await removeCgroup(cgroup);
    const left = cgroups.filter((cgroup) => existsSync(cgroup));
    if (left.length === 0) return;
    if (performance.now() > end) {
      const pids = left.flatMap(processesIn).join(', ');
      throw new ClusterError('removing cgroups', `still there: ${left.join(', ')} (processes: ${pids})`);
    }
    await delay(POLL_MS);
  }
}

async function destroyRecorded(state: ClusterState): Promise<void> {
  for (const identity of state.processes) if (isAlive(identity)) killQuietly(identity.pid);
  await emptyCgroups(state.cgroups);
  for (const namespace of state.networkNamespaces) {
    if (!existsSync(join('/run/netns', namespace))) continue;
    await runCommand('removing network namespaces', ['ip', 'netns', 'del', namespace]);
  }
  await removeState(state.id);
}

/** Removes a cluster by its records: processes, cgroups, network namespaces, files. Nothing to do when there is none. */
export async function destroyCluster(id: string): Promise<void> {
  const state = await readState(id);
  if (state === undefined) await removeState(id);
  else await destroyRecorded(state);
}

/** Removes the clusters whose owning process ended without taking them down. */
export async function destroyAbandoned(): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const id of await listClusters()) {
    const state = await readState(id);
    if (state === undefined || state.owner === null || isAlive(state.owner)) continue;
    await destroyRecorded(state);
    removed.push(id);
  }
  return removed;
}
