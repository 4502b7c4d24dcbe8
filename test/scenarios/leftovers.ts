/** What a release has in a cluster's API and in its nodes' kernels, read without knowing what Sallyport would look for. */
import type { Cluster } from '../cluster/cluster.ts';
import { NAMESPACE } from './installedCluster.ts';

const NAMESPACED =
  'deploy,ds,rs,job,pod,svc,cm,secret,sa,role,rolebinding,lease,pdb,controllerrevision,endpointslice';
const CLUSTER_WIDE =
  'clusterrole,clusterrolebinding,validatingwebhookconfiguration,mutatingwebhookconfiguration,validatingadmissionpolicy,validatingadmissionpolicybinding,flowschema';
/** Of every namespace. */
const OF_KUBERNETES = new Set(['configmap/kube-root-ca.crt', 'serviceaccount/default']);

/** Objects that are there and do not go already, but for CRDs and policies. */
export async function readLeftovers(cluster: Cluster): Promise<readonly string[]> {
  const labelled = ['-l', 'app.kubernetes.io/name=sallyport'];
  const named = '{range .items[*]}{.metadata.deletionTimestamp}|{.kind}/{.metadata.name}{"\\n"}{end}';
  const read = async (...words: readonly string[]): Promise<readonly string[]> => {
    const { stdout } = await cluster.kubectl(['get', ...words, '-o', `jsonpath=${named}`]);
    return stdout
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.slice(1));
  };
  const found = await Promise.all([
    read(NAMESPACED, '-n', NAMESPACE),
    read(CLUSTER_WIDE, ...labelled),
    read('egressips,gatewaynodes'),
  ]);
  return found
    .flat()
    .filter((name) => !OF_KUBERNETES.has(name.replace(/^\w+/, (kind) => kind.toLowerCase())));
}

const LOOKS = [
  'ip -4 rule show',
  'ip -6 rule show',
  'ip -4 route show table 7777',
  'ip -4 route show table 7778',
  'ip -6 route show table 7777',
  'ip -6 route show table 7778',
  'ip -4 neigh show proxy',
  'ip -6 neigh show proxy',
  'ip -o link show type vxlan',
  'ip -o -4 address show dev eth0',
  'ip -4 route show table local dev eth0',
  'nft list tables',
];

/** A node's network as far as Sallyport could have changed it, but for sysctls. */
export async function readNodeState(cluster: Cluster, node: string): Promise<string> {
  const seen = LOOKS.map(async (look) => {
    // A routing table that was never used is an error.
    const { stdout } = await cluster.nodeExec(node, look.split(' '), { allowFailure: true });
    // Tables of kube-proxy and the pod network come and go.
    const lines = stdout
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('table ') || line.includes('sallyport'));
    return `${look}\n${lines.join('\n')}`;
  });
  const device = await cluster.nodeExec(node, ['ip', 'link', 'show', 'egress0'], { allowFailure: true });
  return [`${node}`, ...(await Promise.all(seen)), `egress0: ${device.code === 0}`].join('\n');
}
