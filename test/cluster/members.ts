import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cgroupsOf, clusterFolder, identifyProcess, type ProcessIdentity } from './clusterState.ts';
import { ClusterError } from './command.ts';
import { CONTROL_PLANE, namespaceName } from './topology.ts';

const RELAY_START_TIMEOUT_MS = 10_000;
const UNSHARE = ['unshare', '--mount', '--pid', '--fork', '--kill-child=KILL', '--propagation', 'private'];

/** Makes a member's cgroups; a cpuset takes no process before it has CPUs and memory nodes. */
async function makeCgroups(id: string, member: string): Promise<readonly string[]> {
  const cgroups = cgroupsOf(namespaceName(id, member));
  for (const cgroup of cgroups) {
    await mkdir(cgroup, { recursive: true });
    if (!cgroup.startsWith('/sys/fs/cgroup/cpuset/')) continue;
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      await writeFile(join(cgroup, file), await readFile(join(cgroup, '..', file)));
    }
    await writeFile(join(cgroup, 'cgroup.clone_children'), '1');
  }
  return cgroups;
}

/** Starts `argv` in the member's cgroups and network namespace; `exec` all the way keeps the pid. */
function joiningCommand(
  id: string,
  member: string,
  cgroups: readonly string[],
  argv: readonly string[],
): readonly string[] {
  const joins = cgroups.map((cgroup) => `echo $$ > ${cgroup}/cgroup.procs`).join(' && ');
  return [
    'sh',
    '-c',
    `${joins} && exec nsenter --net=/run/netns/${namespaceName(id, member)} "$@"`,
    'sh',
    ...argv,
  ];
}

function identify(step: string, pid: number | undefined): ProcessIdentity {
  const identity = pid === undefined ? undefined : identifyProcess(pid);
  if (identity === undefined) throw new ClusterError(step, 'the process ended at once');
  return identity;
}

/** Starts a node or the control plane: one `unshare` process whose end takes every process of the member with it. */
export async function startMember(id: string, member: string): Promise<ProcessIdentity> {
  const cgroups = await makeCgroups(id, member);
  const isolation = member === CONTROL_PLANE ? UNSHARE : [...UNSHARE, '--uts', '--ipc', '--cgroup'];
  const disk = join(clusterFolder(id), member);
  const boot = [...isolation, 'sh', join(disk, 'boot.sh')];
  const [program, ...args] = joiningCommand(id, member, cgroups, boot);
  const log = openSync(join(disk, 'boot.log'), 'a');
  const child = spawn(program ?? 'sh', args, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  child.on('error', () => {
    // identify() below reports it.
  });
  child.unref();
  return identify(`starting ${member}`, child.pid);
}

export interface Relay {
  readonly identity: ProcessIdentity;
  readonly port: number;
}

/** Opens a free port on the machine's 127.0.0.1 that leads to the API server, for as long as the relay process lives. */
export async function startRelay(id: string): Promise<Relay> {
  const cgroups = await makeCgroups(id, CONTROL_PLANE);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string')
    throw new ClusterError('starting the relay', 'no port');
  const relay = [process.execPath, join(import.meta.dirname, 'relay.ts')];
  const [program, ...args] = joiningCommand(id, CONTROL_PLANE, cgroups, relay);
  const child = spawn(program ?? 'sh', args, {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const serving = new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve()).once('error', reject);
    child.once('exit', () => reject(new ClusterError('starting the relay', 'it ended at once')));
  });
  child.send('serve', server);
  const deadline = new AbortController();
  const late = delay(RELAY_START_TIMEOUT_MS, undefined, { signal: deadline.signal }).then(() => {
    throw new ClusterError('starting the relay', `not serving after ${RELAY_START_TIMEOUT_MS} ms`);
  });
  await Promise.race([serving, late]).finally(() => deadline.abort());
  late.catch(() => {
    // Aborted: the relay was in time.
  });
  server.close();
  child.unref();
  return { identity: identify('starting the relay', child.pid), port: address.port };
}
