/**
 * What rules may look at outside the object under review. Everything here is parsed. A source that nobody asked is
 * `'unknown'`, which is not the same as empty: a rule that needs it is then not judged, and `unjudgedCodes` says so.
 */
import type { Address, AddressRange, Cidr, Policy, WorkloadSelector } from './model.ts';

/** `'unknown'`: nobody looked. An empty list: somebody looked, and there is none. */
export type Known<T> = T | 'unknown';

/** What is known of a list; nothing where nobody looked. For those who would do nothing in either case. */
export function listed<T>(source: Known<readonly T[]>): readonly T[] {
  return source === 'unknown' ? [] : source;
}

export interface NodeTaint {
  readonly key: string;
  /** `NoSchedule`, `PreferNoSchedule`, `NoExecute`, or what comes after this was written. */
  readonly effect: string;
}

/** A node as Kubernetes reports it. */
export interface NodeFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly Address[];
  readonly podCidrs: readonly Cidr[];
  readonly unschedulable: boolean;
  /** Somebody asked by annotation that it holds no egress IPs. */
  readonly drained: boolean;
  readonly taints: readonly NodeTaint[];
  /** The cluster's own judgement, which takes its time. */
  readonly ready: boolean;
}

export interface InterfaceAddress {
  readonly address: Address;
  readonly interfaceName: string;
}

/** What a node's agent reports of its own node. */
export interface GatewayFacts {
  readonly node: string;
  /** Of the interfaces; the egress IPs that the agent put there are left out. */
  readonly addresses: readonly InterfaceAddress[];
  readonly onLink: readonly { readonly cidr: Cidr; readonly interfaceName: string }[];
  /** The routers of its routes. */
  readonly nextHops: readonly InterfaceAddress[];
  /** Egress IPs that it can hold at the most; 0: it has not said. */
  readonly capacity: number;
  /** Egress IPs that pods of the node leave with: the agent asks for ports of them. */
  readonly using: readonly Address[];
}

/** A network that belongs to the cluster itself. */
export interface ClusterNetwork {
  readonly cidr: Cidr;
  readonly use: 'pods' | 'services';
  /** Who says so, for messages: `ServiceCIDR kubernetes`, `the chart's values`. */
  readonly source: string;
}

/** Addresses that a load balancer gives out, or one that a Service has. */
export interface LoadBalancerRange {
  readonly range: AddressRange;
  /** For messages: `IPAddressPool metallb-system/main`, `Service shop/front`. */
  readonly owner: string;
  /** As it stands there. */
  readonly text: string;
}

/** An egress IP as it is served. */
export interface EgressIpFacts {
  readonly address: Address;
  /** Uids of the policies that it serves. */
  readonly policyUids: readonly string[];
  /** Nodes that hold ports of it. */
  readonly nodes: readonly string[];
}

/** A running pod with a network of its own. */
export interface PodFacts {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly node: string;
}

export interface NamespaceFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A cilium.io/v2 CiliumEgressGatewayPolicy that a user wrote; what of it does not parse is left out. */
export interface CiliumPolicyFacts {
  readonly name: string;
  readonly selectors: readonly WorkloadSelector[];
  readonly destinations: readonly Cidr[];
  readonly gateways: readonly CiliumGatewayFacts[];
}

export interface CiliumGatewayFacts {
  /** Field path: `spec.egressGateway` or `spec.egressGateways[1]`. */
  readonly path: string;
  readonly interfaceName?: string;
  /** As it is written. */
  readonly egressIp?: string;
}

/** Everything outside the reviewed object that a rule may look at. */
export interface ClusterFacts {
  readonly policies: Known<readonly Policy[]>;
  readonly nodes: Known<readonly NodeFacts[]>;
  readonly gateways: Known<readonly GatewayFacts[]>;
  /** Beside the pod networks that nodes have. */
  readonly networks: Known<readonly ClusterNetwork[]>;
  readonly loadBalancers: Known<readonly LoadBalancerRange[]>;
  readonly egressIps: Known<readonly EgressIpFacts[]>;
  readonly pods: Known<readonly PodFacts[]>;
  readonly namespaces: Known<readonly NamespaceFacts[]>;
  readonly ciliumPolicies: Known<readonly CiliumPolicyFacts[]>;
  /** Configured networks that are routed to the gateways although they are on-link at none. */
  readonly routable: readonly Cidr[];
}

/** Where nobody asked a cluster: only what the object itself shows is judged. Spread it and add what is known. */
export const UNKNOWN_FACTS: ClusterFacts = {
  policies: 'unknown',
  nodes: 'unknown',
  gateways: 'unknown',
  networks: 'unknown',
  loadBalancers: 'unknown',
  egressIps: 'unknown',
  pods: 'unknown',
  namespaces: 'unknown',
  ciliumPolicies: 'unknown',
  routable: [],
};
