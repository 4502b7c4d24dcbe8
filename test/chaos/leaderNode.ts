import { CONTROLLER_LEASE } from '../../policy/names.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { NAMESPACE } from '../scenarios/installedCluster.ts';

/** The node on which the controller that leads runs. */
export async function leaderNode(cluster: Cluster): Promise<string> {
  const fields = ['-n', NAMESPACE, '-o'];
  const holder = 'jsonpath={.spec.holderIdentity}';
  const lease = await cluster.kubectl(['get', 'lease', CONTROLLER_LEASE, ...fields, holder]);
  const pod = lease.stdout.split('_')[0] ?? '';
  return (await cluster.kubectl(['get', 'pod', pod, ...fields, 'jsonpath={.spec.nodeName}'])).stdout;
}
