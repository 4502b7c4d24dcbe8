/** What a rig makes on the machine, recorded among the test clusters before it is made. */
import { existsSync } from 'node:fs';
import {
  type ClusterState,
  cgroupsOf,
  clusterFolder,
  identifyProcess,
  isAlive,
  listClusters,
  readState,
  writeState,
} from '../../test/cluster/clusterState.ts';
import { ClusterError } from '../../test/cluster/command.ts';
import { destroyCluster } from '../../test/cluster/destroyCluster.ts';
import {
  type ClusterNode,
  CONTROL_PLANE,
  namespaceName,
  OUTSIDE,
  ROUTER,
} from '../../test/cluster/topology.ts';
import { podName } from './buildPeerNetwork.ts';

/** Tells rigs from clusters. */
const ID_PREFIX = 'peer-';

export function recordId(given: string): string {
  return `${ID_PREFIX}${given}`;
}

/** Throws where a rig of that id is open. */
export async function recordRig(id: string, nodes: readonly ClusterNode[]): Promise<ClusterState> {
  if (existsSync(clusterFolder(id)))
    throw new ClusterError('building the keepalived rig', `'${id}' is in use by another process`);
  const state = describe(id, nodes);
  await writeState(state);
  return state;
}

/** Rigs whose process ended without closing them, by their records. */
export async function destroyAbandonedRigs(): Promise<void> {
  for (const id of await listClusters()) {
    const state = id.startsWith(ID_PREFIX) ? await readState(id) : undefined;
    if (state?.owner && !isAlive(state.owner)) await destroyCluster(id);
  }
}

export const isGateway = ({ role }: ClusterNode): boolean => role === 'gateway';

/** All that will exist on the machine, written before it is made. */
function describe(id: string, nodes: readonly ClusterNode[]): ClusterState {
  const pods = nodes.filter((node) => !isGateway(node)).map(podName);
  const members = ['switch', ROUTER, OUTSIDE, CONTROL_PLANE, ...nodes.map(({ name }) => name), ...pods];
  return {
    id,
    owner: identifyProcess(process.pid) ?? null,
    nodes,
    networkNamespaces: members.map((member) => namespaceName(id, member)),
    cgroups: nodes.filter(isGateway).flatMap(({ name }) => cgroupsOf(namespaceName(id, name))),
    processes: [],
    port: 0,
  };
}
