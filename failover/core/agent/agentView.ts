/** Everything one node's agent has observed, as one immutable value: what its decisions are made from. */
import type { Address, Cidr, NodeFacts, Policy } from '../../../policy/model.ts';
import type { TunnelEndpoint } from '../dataPlane.ts';
import type { EgressIp } from '../egressIp.ts';
import type { GatewayNode } from '../gatewayNode.ts';

/** A pod of this node. Pods on the host network and finished pods are left out by the parser. */
export interface LocalPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent until the pod's network is set up. */
  readonly addresses: readonly Address[];
}

export interface AgentView {
  readonly node: string;
  readonly self: TunnelEndpoint;
  readonly nodes: ReadonlyMap<string, NodeFacts>;
  /** Namespace name → labels. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly pods: ReadonlyMap<string, LocalPod>;
  /** By uid, both kinds; only those that parse. */
  readonly policies: ReadonlyMap<string, Policy>;
  readonly egressIps: ReadonlyMap<string, EgressIp>;
  /** All nodes' reports, our own as the API server last showed it. */
  readonly gatewayNodes: ReadonlyMap<string, GatewayNode>;
  readonly serviceCidrs: readonly Cidr[];
}
