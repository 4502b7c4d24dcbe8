/** Switch, router, outside host and workers as in the test cluster, each worker with one pod beside it. */
import { runCommand } from '../../test/cluster/command.ts';
import { attachNode, buildBackbone, execIn } from '../../test/cluster/network.ts';
import { type ClusterNode, namespaceName } from '../../test/cluster/topology.ts';
import { INNER_ADDRESS } from './gatewayFiles.ts';

const STEP = 'building the network of the pods';
/** The table of the pods' way out. */
const EGRESS_TABLE = 100;
/** The same as the cluster scenarios': only an announcement moves an address at a router that remembers this long. */
const ROUTER_ARP_TIMEOUT_MS = 1_200_000;

/** Member name of the pod on a worker: `pod-1` on worker-1. */
export function podName(worker: ClusterNode): string {
  return worker.name.replace('worker', 'pod');
}

/** All but the gateways, which come with their power. */
export async function buildPeerNetwork(id: string, nodes: readonly ClusterNode[]): Promise<void> {
  await buildBackbone(id, { nodes, routerArpTimeoutMs: ROUTER_ARP_TIMEOUT_MS });
  for (const worker of nodes.filter(({ role }) => role === 'worker')) {
    await attachNode(id, worker, nodes);
    await routeThroughGateways(id, worker);
    await addPod(id, worker);
  }
}

/** What leaves the cluster goes to whoever has the inner address, with the pod's own source: the gateway translates. */
async function routeThroughGateways(id: string, worker: ClusterNode): Promise<void> {
  await execIn(id, worker.name, ['nft', 'delete', 'table', 'ip', 'cni-masquerade']);
  await ipBatch(namespaceName(id, worker.name), [
    `route add default via ${INNER_ADDRESS} table ${EGRESS_TABLE}`,
    'rule add pref 100 lookup main suppress_prefixlength 0',
    `rule add pref 101 from ${worker.podCidr} lookup ${EGRESS_TABLE}`,
  ]);
}

/** A bridge and a veth pair, as the cluster's CNI plugin makes them. */
async function addPod(id: string, worker: ClusterNode): Promise<void> {
  const pod = namespaceName(id, podName(worker));
  const subnet = worker.podCidr.replace(/\.0\/24$/, '');
  await runCommand(STEP, ['ip', 'netns', 'add', pod]);
  await ipBatch(namespaceName(id, worker.name), [
    'link add cni0 type bridge',
    `address add ${subnet}.1/24 dev cni0`,
    'link set cni0 up',
    `link add pod0 type veth peer name eth0 netns ${pod}`,
    'link set pod0 master cni0 up',
  ]);
  await ipBatch(pod, [
    'link set lo up',
    `address add ${subnet}.2/24 dev eth0`,
    'link set eth0 up',
    `route add default via ${subnet}.1`,
  ]);
}

async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  await runCommand(STEP, ['ip', '-n', namespace, '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
}
