/**
 * A copy of etcd's data, and etcd put back to it: what an administrator does after a disaster, without the tools for it. Nothing
 * is added to the revisions (`etcdutl snapshot restore --bump-revision` would), so that versions go back as well.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { ClusterError, runCommand } from './command.ts';
import { findProcesses, signalProcesses } from './memberProcesses.ts';
import { CONTROL_PLANE } from './topology.ts';

const ETCD = /^\S*etcd /;
/** They keep what they have watched, as Kubernetes' own documentation warns: whoever restores etcd restarts them. */
const WATCHERS = /^\S*(kube-controller-manager|kube-scheduler) /;
const KUBELET = /^\S*kubelet /;

/** As it is on the disk at one moment: etcd stands still meanwhile. */
export async function saveEtcd(cluster: Cluster): Promise<void> {
  const { data, snapshot } = places(cluster);
  cluster.freeze(CONTROL_PLANE, ETCD);
  try {
    await inControlPlane(cluster, `rm -rf ${snapshot} && cp -a ${data} ${snapshot}`);
  } finally {
    cluster.thaw(CONTROL_PLANE, ETCD);
  }
}

/** With every API server stopped; afterwards Kubernetes' programs are restarted, and nothing of Sallyport. */
export async function restoreEtcd(cluster: Cluster): Promise<void> {
  const { data, snapshot, stopped } = places(cluster);
  if (!existsSync(snapshot)) throw new ClusterError('restoring etcd', 'nothing was saved');
  cluster.stopApiServer();
  writeFileSync(stopped, '');
  signalProcesses(cluster.id, CONTROL_PLANE, ETCD, 'SIGKILL');
  await cluster.waitFor('etcd to have ended', async () =>
    findProcesses(cluster.id, CONTROL_PLANE, ETCD).length === 0 ? true : undefined,
  );
  await inControlPlane(cluster, `rm -rf ${data}/* && cp -a ${snapshot}/. ${data}/`);
  rmSync(stopped, { force: true });
  await cluster.startApiServer();
  cluster.kill(CONTROL_PLANE, WATCHERS);
  for (const { name } of cluster.nodes) cluster.kill(name, KUBELET);
}

function places({ folder }: Cluster) {
  const disk = join(folder, CONTROL_PLANE);
  return {
    data: join(disk, 'etcd'),
    snapshot: join(disk, 'etcd-snapshot'),
    /** The supervisor of boot.sh looks for it. */
    stopped: join(disk, 'etcd.log.stopped'),
  };
}

/** etcd's data are on a file system that only the control plane's processes see. */
async function inControlPlane({ id }: Cluster, script: string): Promise<void> {
  const [boot] = findProcesses(id, CONTROL_PLANE, /^sh \S+\/boot\.sh /);
  if (boot === undefined) throw new ClusterError('reaching etcd', 'the control plane does not run');
  await runCommand('reaching etcd', ['nsenter', '-t', `${boot}`, '--mount', 'sh', '-c', script]);
}
