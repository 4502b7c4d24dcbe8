/**
 * What the controller has observed, as immutable values: the objects of each collection with the parts that its
 * decisions read, and their own status as it stands, so that a status is written only when it changes.
 */
import type { NodeFacts, Policy, Violation } from '../../../policy/model.ts';
import type { PolicyKind } from '../../../policy/names.ts';
import type { Result } from '../../../policy/result.ts';
import type { EgressIp } from '../egressIp.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import type { VoterConfig } from '../ownership/voterConfig.ts';
import type { GatewayLease, SessionsState } from './sessions.ts';

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
}

export interface PolicyStatus {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly addresses: readonly {
    readonly address: string;
    readonly gateway: string;
    readonly standbys: readonly string[];
    readonly since: string;
  }[];
  /** One line for `kubectl get`: `203.0.113.10@gw-1`. */
  readonly egress: string;
  readonly selectedPods: number;
  /** The newest value of the rebalance annotation that was carried out; empty: none. */
  readonly rebalanced: string;
}

export interface PolicyObject {
  readonly kind: PolicyKind;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly deleting: boolean;
  readonly finalizers: readonly string[];
  /** What the parser that the webhook runs too made of it. */
  readonly parsed: Result<Policy, readonly Violation[]>;
  /** Undefined before the first was written. */
  readonly status: PolicyStatus | undefined;
}

export type Phase = 'Announced' | 'Moving' | 'Pending' | 'Unplaced';

/** Times are RFC 3339; empty where that was not reached or is not known. */
export interface Failover {
  readonly from: string;
  readonly to: string;
  readonly reason: string;
  readonly detectedAt: string;
  readonly assignedAt: string;
  readonly announcedAt: string;
}

export interface EgressIpStatus {
  /** Who states that it answers; empty where nobody does. */
  readonly gateway: string;
  readonly standbys: readonly string[];
  readonly phase: Phase;
  readonly since: string;
  readonly message: string;
  readonly lastFailover: Failover | undefined;
}

export interface EgressIpObject {
  readonly egressIp: EgressIp;
  readonly status: EgressIpStatus | undefined;
}

/** The one object that says which agents vote. */
export interface VotersObject {
  readonly config: VoterConfig;
  readonly resourceVersion: string;
}

/** The watched collections and what is kept of an object of each. Keys are object names; leases go by gateway. */
export interface Collections {
  readonly CiliumEgressGatewayPolicy: PolicyObject;
  readonly EgressPolicy: PolicyObject;
  readonly nodes: NodeFacts;
  readonly gatewayNodes: GatewayNode;
  readonly egressIps: EgressIpObject;
  readonly leases: GatewayLease;
  readonly voters: VotersObject;
}
export type CollectionName = keyof Collections;

/** Everything synced once: what a decision is made from. */
export interface ControllerView {
  readonly policies: readonly PolicyObject[];
  readonly nodes: ReadonlyMap<string, NodeFacts>;
  readonly gatewayNodes: ReadonlyMap<string, GatewayNode>;
  readonly egressIps: ReadonlyMap<string, EgressIpObject>;
  readonly sessions: SessionsState;
  /** Gateways whose Lease was not renewed in time. */
  readonly silent: ReadonlySet<string>;
  /** Undefined: there is no configuration yet. */
  readonly voters: VotersObject | undefined;
  /** EgressIPs as we asked for them to be written and have no answer yet: they may stand so already. */
  readonly asked: ReadonlyMap<string, EgressIp>;
}
