/**
 * `GatewayNode` as the programs see it: what one node's agent says of itself, and of itself only. Every node has one;
 * the name is the node's name and everything stands in `status`.
 */
import type { Address, Cidr } from '../../policy/model.ts';
import type { SessionRef } from './egressIp.ts';
import type { LostAssignment } from './ownership/assignment.ts';
import type { VoterConfig } from './ownership/voterConfig.ts';
import type { PeerKeyIds } from './peerKeys.ts';

/**
 * What the agent states about one egress IP.
 * `Answering`: the kernel answers ARP for it, confirmed. `Released`: it does not and will not at this epoch.
 * `Standby`: port map is in the kernel, not answering.
 */
export type AddressState = 'Answering' | 'Released' | 'Standby';

export interface AddressStatement {
  readonly address: Address;
  readonly state: AddressState;
  /** Of the right it answers by; otherwise it will never answer by a right of a lower epoch. */
  readonly epoch: number;
  /** The rank of that right in the assignment's order; 0 where it does not answer. */
  readonly index: number;
  /** The session under which it is said. */
  readonly session: number;
  /** The highest `blocksVersion` of the EgressIP whose blocks this node's kernel forwards. */
  readonly blocksVersion: number;
  /** What its agent goes on by and the API does not show any more. */
  readonly lost?: LostAssignment;
}

export interface PortDemand {
  readonly address: Address;
  /** Ports this node wants in all; 0 or absent: none. */
  readonly ports: number;
  /** The `blocksVersion` up to which it uses none of its blocks any more, and never will again. */
  readonly returned?: number;
}

export interface SelectedPods {
  readonly policyUid: string;
  readonly pods: number;
  /** The policy's generation that this node's kernel holds; 0: none yet. Absent: its agent does not say. */
  readonly generation?: number;
}

export interface GatewayNode {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** The running agent's session; 0 before its first. */
  readonly session: number;
  /** The highest number that a session of this node has had, as far as it ever said: none is used twice. */
  readonly lastSession?: number;
  /** The node's tunnel end: its InternalIP, the device it lies on, the MAC of `egress0` there. Absent before the first report. */
  readonly underlay?: {
    readonly address: Address;
    readonly interfaceName: string;
    readonly tunnelMac: string;
  };
  readonly interfaces: readonly {
    readonly name: string;
    readonly addresses: readonly { readonly address: Address; readonly prefix: number }[];
  }[];
  readonly onLink: readonly { readonly cidr: Cidr; readonly interfaceName: string }[];
  readonly nextHops: readonly { readonly address: Address; readonly interfaceName: string }[];
  /** Egress IPs this node can hold at the most. */
  readonly capacity: number;
  readonly dataPlaneReady: boolean;
  /** Why not, for people; empty when ready. */
  readonly dataPlaneMessage: string;
  /** False only where the agent says so: a node that is no gateway, or has not looked yet, says nothing of it. */
  readonly healthy: boolean;
  /** Why not, for people; empty when healthy. */
  readonly healthMessage: string;
  readonly addresses: readonly AddressStatement[];
  /** Sessions of others that a majority of voters called dead, as this node heard it. */
  readonly dead: readonly SessionRef[];
  /** The newest voter configuration that this node knows; version 0: none. */
  readonly voterConfig: VoterConfig;
  /** The keys its datagrams are accepted and signed with. Absent: it has not said, as agents before their first key. */
  readonly peerKeys?: PeerKeyIds;
  readonly demand: readonly PortDemand[];
  /** Pods on this node that each policy selects. */
  readonly selected: readonly SelectedPods[];
  readonly versions: { readonly agent: string; readonly kernel: string; readonly nftables: string };
}
