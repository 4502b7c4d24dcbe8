/**
 * Decides what the agent says of its own node: the `status` of its GatewayNode, as the wire has it. Only what the
 * kernel confirmed is stated; an address whose command is still under way is left out, so nobody acts on a guess.
 */
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { OwnershipWord } from '../ownership/ownershipWord.ts';
import type { PeerKeyIds } from '../peerKeys.ts';
import type { Uplinks } from '../uplinks.ts';
import type { AgentView } from './agentView.ts';
import type { Health } from './health.ts';
import type { Claim } from './holders.ts';
import { ownBlocks } from './portReturns.ts';
import type { PodSelection } from './selectPods.ts';
import { type StatedAddress, stateAddresses } from './stateAddresses.ts';

/** What `failover/io` reads from the node itself. */
export interface ObservedNode {
  readonly underlay?: {
    readonly address: string;
    readonly interfaceName: string;
    readonly tunnelMac: string;
  };
  readonly interfaces: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  readonly onLink: readonly { readonly cidr: string; readonly interfaceName: string }[];
  readonly nextHops: readonly { readonly address: string; readonly interfaceName: string }[];
  /** What `onLink` and `nextHops` say of devices that lead outside. Not reported. */
  readonly uplinks: Uplinks;
  /** Of the uplinks, link-local ones too: what the node may ask from. Not reported. */
  readonly ownAddresses: readonly {
    readonly address: string;
    readonly prefix: number;
    readonly dynamic: boolean;
    readonly interfaceName: string;
  }[];
  readonly capacity: number;
  readonly versions: { readonly agent: string; readonly kernel: string; readonly nftables: string };
  readonly dataPlaneReady: boolean;
  readonly dataPlaneMessage: string;
  /** Somebody else's rules that are in the way, and what helps; empty or absent: none were seen. */
  readonly forwardingMessage?: string;
}

/** One granule: "some ports, please". The controller starts a node with its `INITIAL_PORTS`. */
const MINIMUM_DEMAND_PORTS = 64;

interface StatedDemand {
  readonly address: string;
  readonly ports: number;
  readonly returned?: number;
}

export interface PortNeeds {
  /** What `DataPlane.readPressed` said last. */
  readonly pressed: ReadonlyMap<string, number>;
  /** EgressIP name → the version up to which the kernel uses no block of this node any more. */
  readonly returned: ReadonlyMap<string, number>;
}

export interface NodeReport {
  readonly session: number;
  readonly lastSession: number;
  readonly underlay?: ObservedNode['underlay'];
  readonly interfaces: ObservedNode['interfaces'];
  readonly onLink: ObservedNode['onLink'];
  readonly nextHops: ObservedNode['nextHops'];
  readonly capacity: number;
  readonly holding: number;
  readonly addresses: readonly StatedAddress[];
  readonly dead: readonly SessionRef[];
  readonly voterConfigVersion: number;
  readonly voterSets: readonly (readonly string[])[];
  readonly peerKeys: readonly number[];
  readonly peerSigningKey: number;
  readonly demand: readonly StatedDemand[];
  readonly selected: readonly {
    readonly policyUid: string;
    readonly pods: number;
    readonly generation: number;
  }[];
  readonly versions: ObservedNode['versions'];
  readonly dataPlaneReady: boolean;
  readonly dataPlaneMessage: string;
  readonly forwardingMessage: string;
  /** Of a gateway only. */
  readonly health?: Health;
}

export function reportNode(known: {
  readonly view: AgentView;
  /** By address as text, sorted by name. */
  readonly egressIps: ReadonlyMap<string, EgressIp>;
  /** As `AgentState` has them. */
  readonly newest: ReadonlyMap<string, EgressIp>;
  readonly heard: ReadonlyMap<string, readonly Claim[]>;
  readonly selection: PodSelection;
  readonly observed: ObservedNode;
  readonly ownership: OwnershipWord;
  readonly confirmed: ReadonlyMap<string, number>;
  /** Uid of a policy → its generation that the kernel holds. */
  readonly programmed: ReadonlyMap<string, number>;
  readonly health: Health | undefined;
  readonly peerKeys: PeerKeyIds;
  readonly ports: PortNeeds;
  /** The highest number of a session of this run. */
  readonly lastSession: number;
}): NodeReport {
  const { view, selection, observed, ownership, programmed, health, peerKeys, ports } = known;
  return {
    session: ownership.session,
    lastSession: Math.max(known.lastSession, view.gatewayNodes.get(view.node)?.lastSession ?? 0),
    ...(observed.underlay === undefined ? {} : { underlay: observed.underlay }),
    interfaces: observed.interfaces,
    onLink: observed.onLink,
    nextHops: observed.nextHops,
    capacity: observed.capacity,
    holding: ownership.holdings.length,
    addresses: stateAddresses(view.node, known),
    dead: standingVerdicts(view, ownership.dead),
    voterConfigVersion: ownership.config?.version ?? 0,
    voterSets: ownership.config?.sets ?? [],
    peerKeys: peerKeys.accepted,
    peerSigningKey: peerKeys.signing,
    demand: stateDemand(known, ports),
    selected: [...selection.selected].map(([policyUid, pods]) => ({
      policyUid,
      pods,
      generation: programmed.get(policyUid) ?? 0,
    })),
    versions: observed.versions,
    dataPlaneReady: observed.dataPlaneReady,
    dataPlaneMessage: observed.dataPlaneMessage,
    forwardingMessage: observed.forwardingMessage ?? '',
    ...(health === undefined ? {} : { health }),
  };
}

/** Of addresses that pods here want, and of those whose ports were given back. */
function stateDemand(
  known: {
    readonly view: AgentView;
    readonly egressIps: ReadonlyMap<string, EgressIp>;
    readonly selection: PodSelection;
  },
  { pressed, returned }: PortNeeds,
): readonly StatedDemand[] {
  const { view, egressIps, selection } = known;
  return [...egressIps].flatMap(([address, egressIp]) => {
    const version = returned.get(egressIp.name);
    const ports = selection.wanted.has(address) ? wantedPorts(egressIp, view.node, pressed.get(address)) : 0;
    if (ports === 0 && version === undefined) return [];
    return [{ address, ports, ...(version === undefined ? {} : { returned: version }) }];
  });
}

/**
 * Twice what this node has, where most of that is in use towards one destination. What it has and does not use yet, because
 * the holder has not confirmed it, is not asked for again.
 */
function wantedPorts(egressIp: EgressIp, node: string, pressedAt = 0): number {
  const held = ownBlocks(egressIp, node).reduce((sum, { first, last }) => sum + last - first + 1, 0);
  return held > 0 && pressedAt >= held ? 2 * held : MINIMUM_DEMAND_PORTS;
}

/** A verdict is worth saying until its gateway has opened a later session, which says the same to everybody. */
function standingVerdicts({ gatewayNodes }: AgentView, dead: readonly SessionRef[]): readonly SessionRef[] {
  return dead
    .filter(({ gateway, session }) => session >= (gatewayNodes.get(gateway)?.session ?? 0))
    .toSorted((a, b) => (a.gateway < b.gateway ? -1 : 1));
}
