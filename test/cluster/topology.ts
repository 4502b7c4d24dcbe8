import { ClusterError } from './command.ts';

/** Addresses every cluster uses; clusters never meet, since each has a switch of its own. */
export const CONTROL_PLANE = 'control-plane';
export const ROUTER = 'router';
export const OUTSIDE = 'outside';
export const CONTROL_PLANE_ADDRESS = '203.0.113.2';
export const ROUTER_ADDRESS = '203.0.113.1';
export const ROUTER_OUTSIDE_ADDRESS = '198.51.100.1';
export const OUTSIDE_ADDRESS = '198.51.100.10';
export const UNDERLAY_CIDR = '203.0.113.0/24';
export const POD_CIDR = '10.244.0.0/16';
export const SERVICE_CIDR = '10.96.0.0/16';
/** What a dual-stack cluster has beside them. */
export const IPV6 = {
  controlPlaneAddress: '2001:db8:cb::2',
  routerAddress: '2001:db8:cb::1',
  routerOutsideAddress: '2001:db8:c6::1',
  outsideAddress: '2001:db8:c6::10',
  underlayCidr: '2001:db8:cb::/64',
  podCidr: 'fd00:10:244::/48',
  serviceCidr: 'fd00:10:96::/112',
} as const;

/** A switch port's interface name is `p-<node>`, and Linux allows 15 characters. */
const NODE_NAME_LENGTH_MAX = 13;
/** The namespace `sp-<id>-control-plane` and the folders stay readable. */
const CLUSTER_ID = /^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$/;
const NODE_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const RESERVED = new Set([CONTROL_PLANE, ROUTER, OUTSIDE, 'switch']);
const FIRST_GATEWAY = 11;
const FIRST_WORKER = 21;
const PER_ROLE_MAX = 10;

export type NodeRole = 'gateway' | 'worker';

export interface NodeShape {
  readonly name: string;
  readonly role: NodeRole;
  readonly zone: string;
}

export interface ClusterNode extends NodeShape {
  /** 203.0.113.11 upwards for gateways, .21 upwards for workers. */
  readonly address: string;
  /** 10.244.N.0/24 with N from 1 in the order given. */
  readonly podCidr: string;
  /** Of a dual-stack cluster: 2001:db8:cb::11 upwards and ::21 upwards, and fd00:10:244:N::/64. */
  readonly ipv6?: { readonly address: string; readonly podCidr: string };
  /** Kept over a power cut, as a real network card's is. */
  readonly mac: string;
}

export const DEFAULT_SHAPE: readonly NodeShape[] = [
  { name: 'gw-1', role: 'gateway', zone: 'zone-a' },
  { name: 'gw-2', role: 'gateway', zone: 'zone-a' },
  { name: 'gw-3', role: 'gateway', zone: 'zone-b' },
  { name: 'worker-1', role: 'worker', zone: 'zone-a' },
  { name: 'worker-2', role: 'worker', zone: 'zone-b' },
];

/** Gives each node its addresses. Throws on names that cannot be interfaces or are taken. */
export function placeNodes(
  id: string,
  shape: readonly NodeShape[],
  options: { readonly dualStack?: boolean } = {},
): readonly ClusterNode[] {
  if (!CLUSTER_ID.test(id))
    throw new ClusterError('checking the cluster', `'${id}' is no cluster id (${CLUSTER_ID})`);
  const count = { gateway: 0, worker: 0 };
  const seen = new Set<string>();
  return shape.map((node, index) => {
    const fit = NODE_NAME.test(node.name) && node.name.length <= NODE_NAME_LENGTH_MAX;
    if (!fit || RESERVED.has(node.name) || seen.has(node.name)) {
      throw new ClusterError('checking the cluster', `'${node.name}' is no free node name`);
    }
    seen.add(node.name);
    const ordinal = count[node.role]++;
    if (ordinal >= PER_ROLE_MAX)
      throw new ClusterError('checking the cluster', `more than ${PER_ROLE_MAX} ${node.role}s`);
    const host = (node.role === 'gateway' ? FIRST_GATEWAY : FIRST_WORKER) + ordinal;
    return {
      ...node,
      address: `203.0.113.${host}`,
      podCidr: `10.244.${index + 1}.0/24`,
      ...(options.dualStack === true
        ? { ipv6: { address: `2001:db8:cb::${host}`, podCidr: `fd00:10:244:${index + 1}::/64` } }
        : {}),
      mac: `02:00:cb:00:71:${host.toString(16).padStart(2, '0')}`,
    };
  });
}

/** One entry for each family that the node has, IPv4 first. */
export function podCidrsOf({ podCidr, ipv6 }: ClusterNode): readonly string[] {
  return ipv6 === undefined ? [podCidr] : [podCidr, ipv6.podCidr];
}

export function addressesOf({ address, ipv6 }: ClusterNode): readonly string[] {
  return ipv6 === undefined ? [address] : [address, ipv6.address];
}

/** The network namespace of a node, the router, the outside host, the switch or the control plane. */
export function namespaceName(id: string, member: string): string {
  return `sp-${id}-${member}`;
}

/** The Node objects, made before any kubelet registers so that labels and pod range are there from the first moment. */
export function renderNodes(nodes: readonly ClusterNode[]): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: nodes.map((node) => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: node.name,
        labels: {
          'kubernetes.io/hostname': node.name,
          'topology.kubernetes.io/zone': node.zone,
          ...(node.role === 'gateway' ? { 'sallyport.dev/gateway': 'true' } : {}),
        },
      },
      spec: { podCIDR: node.podCidr, podCIDRs: podCidrsOf(node) },
    })),
  });
}
