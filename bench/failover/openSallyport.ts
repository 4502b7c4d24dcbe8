/** Sallyport as its chart installs it, on a Kubernetes cluster of five nodes, with one pod that leaves by one address. */
import { readlinkSync } from 'node:fs';
import { waitWhole } from '../../test/chaos/faultRun.ts';
import type { Cluster } from '../../test/cluster/cluster.ts';
import { ClusterError } from '../../test/cluster/command.ts';
import { listProcesses } from '../../test/cluster/memberProcesses.ts';
import {
  apply,
  createPod,
  type InstalledCluster,
  installCluster,
  MANIFEST,
  waitProgrammed,
} from '../../test/scenarios/installedCluster.ts';
import { startPodClient } from './probes.ts';
import type { System } from './system.ts';

/** The one of MANIFEST. */
const ADDRESS = '203.0.113.10';
const POLICY = 'egress-gateway-policy';
const POD = 'my-app';
const WORKER = 'worker-1';

/** On failure everything made so far is removed. */
export async function openSallyport(id: string, onProgress: (line: string) => void): Promise<System> {
  const installed = await installCluster({ id, onProgress });
  try {
    // The bench starts servers of its own on the same ports.
    await installed.server.stop();
    await createPod(installed.cluster, { name: POD, app: POD, node: WORKER });
    await apply(installed.cluster, MANIFEST);
    await waitProgrammed(installed.cluster, POLICY);
    return systemOf(installed, await findPodProcess(installed.cluster));
  } catch (error) {
    await installed.destroy();
    throw error;
  }
}

function systemOf(installed: InstalledCluster, podProcess: number): System {
  const { cluster } = installed;
  return {
    name: 'sallyport',
    cluster,
    address: ADDRESS,
    pod: POD,
    waitWhole: () => waitWhole(installed, ADDRESS),
    startTraffic: () => startPodClient(['nsenter', '--net', '--target', String(podProcess)]),
    // Not by `installed`: its server has ended already.
    close: () => cluster.destroy(),
  };
}

/** A process of the pod's as the machine numbers it: what enters its network lives on without the API server. */
async function findPodProcess(cluster: Cluster): Promise<number> {
  const { stdout } = await cluster.podExec('default', POD, ['readlink', '/proc/self/ns/net']);
  const found = listProcesses(cluster.id, WORKER).find((pid) => networkOf(pid) === stdout.trim());
  if (found === undefined) throw new ClusterError('entering the pod', `no process of ${POD} was found`);
  return found;
}

/** As the kernel names it: `net:[4026532…]`. */
function networkOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return ''; // It ended meanwhile.
  }
}
