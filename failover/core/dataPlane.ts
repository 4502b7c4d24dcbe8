/**
 * The port between the agent's decisions and the kernel: what one node's data plane should hold, as data, and the few
 * timed operations of the dead-man switch. `failover/io` implements it over nftables and iproute2; a second
 * implementation (steering Cilium's own gateway) has to fit behind the same port.
 */
import type { Address, AddressRange, Affinity, Cidr } from '../../policy/model.ts';
import type { Uplinks } from './uplinks.ts';

/** One end of the tunnel mesh. */
export interface TunnelEndpoint {
  readonly node: string;
  /** Underlay address of the node: outer source and destination of the tunnel. */
  readonly address: Address;
  /** MAC of `egress0` there: `tunnelMac(address)`. */
  readonly mac: string;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** One egress IP as this node has to know it. */
export interface EgressAddressPlan {
  readonly address: Address;
  /** The node that answers for it now and gets this node's packets; absent: nobody, packets are refused. */
  readonly holder?: string;
  /** Who holds which ports, all nodes: the stateless gateway's map. */
  readonly blocks: readonly (PortRange & { readonly node: string })[];
  /** This node's own ports that the holder has confirmed: SNAT picks from these. Empty: packets are refused. */
  readonly usable: readonly PortRange[];
}

export type PodAction =
  /** Source NAT to one of these: for `Pod` affinity exactly one, chosen by the planner; for `Connection` any, per connection. */
  | {
      readonly kind: 'egress';
      readonly addresses: readonly Address[];
      readonly affinity: Affinity;
      /** Connections that have one of these stay as they are, whatever new ones get; all others end. Absent: `addresses`. */
      readonly keeps?: readonly Address[];
    }
  /** As if no policy applied. */
  | { readonly kind: 'direct' }
  /** Fail closed: ICMP/RST at once, counted. */
  | { readonly kind: 'refuse' };

/**
 * A pod's traffic to destinations in `range`. The ranges of a pod are disjoint and sorted; what is in none is direct. A connection
 * that left otherwise than its route says now cannot go on: it is reset.
 */
export interface PodRoute {
  readonly range: AddressRange;
  readonly action: PodAction;
}

export interface PodPlan {
  readonly address: Address;
  readonly routes: readonly PodRoute[];
}

/**
 * What holds for addresses of this node's pod networks that no pod is known to have yet: a new pod sends before the API says which
 * address it has. New connections to these destinations are held (dropped, so that a SYN is sent again), and leave as they should
 * once the address is known.
 */
export interface UnknownPods {
  /** This node's pod networks. */
  readonly networks: readonly Cidr[];
  /** Where a pod that is known, but not its address, must not leave with the node's address. Disjoint and sorted. */
  readonly awaited: readonly AddressRange[];
  /** Held while no agent attends to the node: where some pod, if it came, must not. Disjoint and sorted. */
  readonly closed: readonly AddressRange[];
}

export interface NodeDataPlane {
  readonly self: TunnelEndpoint;
  /** Where egress IPs are answered and their packets leave. The first holds `self.address`. */
  readonly uplinks: Uplinks;
  /** All other nodes with an agent. */
  readonly peers: readonly TunnelEndpoint[];
  /** Pod networks, service networks, node addresses: traffic to them is never touched. */
  readonly direct: readonly Cidr[];
  readonly addresses: readonly EgressAddressPlan[];
  /** All pods of the node that have an address; one that no policy selects has no routes. */
  readonly pods: readonly PodPlan[];
  /** Absent: nothing is held. */
  readonly unknownPods?: UnknownPods;
}

/** `unknown`: the kernel may or may not hold it; apply again before relying on it. */
export type KernelOutcome =
  | { readonly kind: 'ok' }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'unknown'; readonly message: string };

/**
 * The dead-man switch: address → session → granted lately. The kernel answers for an address only while the whole
 * chain holds (ARP, and neighbour discovery), and a grant holds only if its heartbeat was sent lately, so a frozen, crashed
 * or cut-off agent falls silent by itself.
 */
export interface AnswerGate {
  /** Ends every right to answer that the kernel holds. First thing a new process does, before it opens a session. */
  flush(): Promise<KernelOutcome>;
  /** All egress IPs of the cluster: nobody answers for one of them but by a session. */
  guard(addresses: readonly Address[]): Promise<KernelOutcome>;
  /** Of these this node may have to answer some day: all that takes time is done ahead. */
  standBy(addresses: readonly Address[]): Promise<KernelOutcome>;
  /** Before a heartbeat is sent: from now on, for a while, its grant would count. */
  beat(session: number, seq: number): Promise<KernelOutcome>;
  /** A majority granted the heartbeat: without effect where it was sent too long ago. */
  grant(session: number, seq: number): void;
  /** The address hangs on the session from now on; also puts it on the uplink. `ok` means the kernel has it. */
  arm(address: Address, session: number): Promise<KernelOutcome>;
  /** `ok` means the kernel answers no more; forwarding goes on. */
  disarm(address: Address): Promise<KernelOutcome>;
  /** Gratuitous ARP or unsolicited advertisements, repeated; fire and forget, never waited for. */
  announce(addresses: readonly Address[]): void;
  /** The same, once: nothing has changed. */
  refresh(addresses: readonly Address[]): void;
}

export interface DataPlaneCounters {
  /** Packets by named reason: `unmapped`, `spoofed`, `no_block`, `unsolicited`, `refused`, `ended`, `held`, `exhausted`, `unknown_peer`, `no_holder`. */
  readonly packets: Readonly<Record<string, number>>;
}

export interface DataPlane {
  /** Looks for what is missing (NET_ADMIN, nft too old, no VXLAN, unwritable sysctl, no egress hook); empty: ready. */
  selfTest(): Promise<readonly string[]>;
  /** Level-triggered: makes the kernel equal to the plan in one atomic transaction, touching only what differs. */
  apply(plan: NodeDataPlane): Promise<KernelOutcome>;
  /** Somebody knows of every pod that comes: until `ATTENDED_SECONDS` from now, what no pod is awaited for is not held. */
  attend(): Promise<KernelOutcome>;
  /** Nobody does from now on. */
  leave(): Promise<KernelOutcome>;
  /** Somebody else may have changed the kernel: the next apply reads it first. */
  forget(): void;
  readCounters(): Promise<DataPlaneCounters>;
  /**
   * Egress IP as text → how many ports this node had of it when, within the last minute, most of them were in use towards one
   * destination.
   */
  readPressed(): Promise<ReadonlyMap<string, number>>;
  /** Egress IP as text → `TunnelEndpoint.mac` of the gateway that this node sends to, as a former run left it. */
  readHolders(): Promise<ReadonlyMap<string, string>>;
  /** Ends the tools that are kept running; the kernel goes on forwarding. */
  close(): Promise<void>;
}
