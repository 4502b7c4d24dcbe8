/** `status`: reads what controller and agents say, and renders it. */
import { collectionPath, EGRESS_IP, GATEWAY_NODE, type PolicyKind } from '../../policy/names.ts';
import { readStatus } from '../core/clusterStatus.ts';
import { type Command, EXIT_FINE } from '../core/command.ts';
import { renderStatus } from '../core/renderStatus.ts';
import { type Cluster, listAll, listServed } from './connectCluster.ts';
import { POLICY_PATHS } from './runRebalance.ts';
import type { Terminal } from './terminal.ts';

export async function runStatus(
  { format }: Extract<Command, { readonly kind: 'status' }>,
  cluster: Cluster,
  terminal: Terminal,
): Promise<number> {
  const policiesOf = async (kind: PolicyKind): Promise<readonly unknown[]> => {
    const listed = await listAll(cluster, POLICY_PATHS[kind]);
    return listed.kind === 'ok' ? listed.items : [];
  };
  const [egressIps, gatewayNodes, nodes, own, cilium] = await Promise.all([
    listServed(cluster, collectionPath(EGRESS_IP)),
    listServed(cluster, collectionPath(GATEWAY_NODE)),
    listServed(cluster, '/api/v1/nodes'),
    policiesOf('EgressPolicy'),
    policiesOf('CiliumEgressGatewayPolicy'),
  ]);
  const policies = { EgressPolicy: own, CiliumEgressGatewayPolicy: cilium };
  terminal.out(renderStatus(readStatus({ egressIps, gatewayNodes, nodes, policies }), format));
  return EXIT_FINE;
}
