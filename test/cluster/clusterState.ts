import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { ClusterNode } from './topology.ts';

/** A pid alone may belong to another process tomorrow; with its start time (clock ticks since boot) it cannot. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

/** All that exists on the machine because of one cluster, written before it is made. */
export interface ClusterState {
  readonly id: string;
  /** The process whose end makes the cluster garbage; null for one that stays until it is taken down. */
  readonly owner: ProcessIdentity | null;
  readonly nodes: readonly ClusterNode[];
  readonly networkNamespaces: readonly string[];
  readonly cgroups: readonly string[];
  readonly processes: readonly ProcessIdentity[];
  /** Port on 127.0.0.1 that leads to the API server. */
  readonly port: number;
}

export function clustersFolder(): string {
  const base = process.env.XDG_STATE_HOME ?? join(homedir(), '.local/state');
  return join(base, 'sallyport', 'clusters');
}

export function clusterFolder(id: string): string {
  return join(clustersFolder(), id);
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)); undefined when there is no such process or only its zombie. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const startTime = fields[19];
    return startTime === undefined || fields[0] === 'Z' ? undefined : { pid, startTime };
  } catch {
    return undefined;
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTime === identity.startTime;
}

export async function writeState(state: ClusterState): Promise<void> {
  const folder = clusterFolder(state.id);
  await mkdir(folder, { recursive: true });
  const partial = join(folder, `state.json.${process.pid}`);
  await writeFile(partial, JSON.stringify(state, null, 2));
  await rename(partial, join(folder, 'state.json'));
}

export async function readState(id: string): Promise<ClusterState | undefined> {
  try {
    // Written by writeState alone.
    return JSON.parse(await readFile(join(clusterFolder(id), 'state.json'), 'utf8')) as ClusterState;
  } catch {
    return undefined;
  }
}

export async function listClusters(): Promise<readonly string[]> {
  try {
    return await readdir(clustersFolder());
  } catch {
    return [];
  }
}

export async function removeState(id: string): Promise<void> {
  await rm(clusterFolder(id), { recursive: true, force: true });
}

const HIERARCHIES = ['cpu', 'cpuacct', 'cpuset', 'memory', 'devices', 'freezer', 'blkio', 'pids', 'systemd'];

/** One cgroup in each hierarchy, below the caller's own, so that limits set on whoever started the cluster still hold. */
export function cgroupsOf(name: string): readonly string[] {
  const own = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n');
  return HIERARCHIES.flatMap((hierarchy) => {
    const controller = hierarchy === 'systemd' ? 'name=systemd' : hierarchy;
    const line = own.map((text) => text.split(':')).find(([, list]) => list?.split(',').includes(controller));
    return line === undefined ? [] : [join('/sys/fs/cgroup', hierarchy, line[2] ?? '/', name)];
  });
}

/** Every process in a cgroup or below it. */
export function processesIn(cgroup: string): readonly number[] {
  try {
    const own = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    const children = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own, ...children.flatMap((child) => processesIn(join(cgroup, child.name)))];
  } catch {
    return [];
  }
}
