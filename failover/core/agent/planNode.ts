/**
 * Decides what this node's data plane should hold: the tunnel mesh, every egress IP with its ports and its holder, and
 * the routes of this node's pods. Pure function of the view and of what our own kernel is known to answer; the kernel
 * port makes it so.
 */

import { formatAddress } from '../../../policy/address.ts';
import { formatCidr, hostCidr } from '../../../policy/cidr.ts';
import type { Address, Cidr } from '../../../policy/model.ts';
import type { EgressAddressPlan, NodeDataPlane, TunnelEndpoint, UnknownPods } from '../dataPlane.ts';
import type { EgressIp } from '../egressIp.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import { compareRights, type Holding } from '../ownership/messages.ts';
import type { Uplinks } from '../uplinks.ts';
import type { AgentView } from './agentView.ts';
import { type Claim, decideHolder, statementOf } from './holders.ts';
import type { PodSelection } from './selectPods.ts';

/** Where a node sends an address's packets, and the newest `blocksVersion` that was confirmed from there. */
export interface Holder {
  readonly node: string;
  readonly blocksVersion: number;
}

export interface NodePlan {
  readonly dataPlane: NodeDataPlane;
  /** EgressIP name → the `blocksVersion` that the plan carries: confirmed to others once the kernel holds it. */
  readonly versions: ReadonlyMap<string, number>;
  /** EgressIP name → where the plan sends: given back at the next planning. */
  readonly holders: ReadonlyMap<string, Holder>;
}

export interface KnownAnswers {
  /** As the node was observed last. */
  readonly uplinks: Uplinks;
  /** What our own kernel answers for. */
  readonly holdings: readonly Holding[];
  /** Address as text → what other gateways said by datagram. */
  readonly heard: ReadonlyMap<string, readonly Claim[]>;
  /** Where the last plan sent. */
  readonly holders: ReadonlyMap<string, Holder>;
  /** Egress IP as text → tunnel MAC of the gateway that a former run of this agent left in the kernel. */
  readonly recalled: ReadonlyMap<string, string>;
  /** EgressIP name → the version up to which this node's blocks are given back: they are used no more. */
  readonly givenBack: ReadonlyMap<string, number>;
}

/** From the view alone, each time anew; nodePlanner.ts keeps up with changes. */
export function planNode(view: AgentView, selection: PodSelection, known: KnownAnswers): NodePlan {
  const others = [...view.gatewayNodes.values()].filter(({ name }) => name !== view.node);
  const addresses: EgressAddressPlan[] = [];
  const versions = new Map<string, number>();
  const holders = new Map<string, Holder>();
  for (const egressIp of view.egressIps.values()) {
    const text = formatAddress(egressIp.address);
    const remote = decideHolder(egressIp, others, known.heard.get(text) ?? []);
    const own = known.holdings.find(({ address }) => address === text);
    const holder = chooseHolder(view, egressIp, { ...known, remote, own });
    versions.set(egressIp.name, egressIp.blocksVersion);
    if (holder !== undefined) holders.set(egressIp.name, holder);
    const usableAfter = known.givenBack.get(egressIp.name) ?? 0;
    addresses.push(planAddress(egressIp, holder, { node: view.node, usableAfter }));
  }
  return {
    dataPlane: {
      self: view.self,
      uplinks: known.uplinks,
      peers: others.flatMap(peerOf),
      direct: directNetworks(view),
      addresses: addresses.toSorted((a, b) => compareAddresses(a.address, b.address)),
      pods: selection.pods,
      unknownPods: unknownPods(view.nodes.get(view.node)?.podCidrs, selection.awaited, selection.closed),
    },
    versions,
    holders,
  };
}

/**
 * Ourselves if we answer, else whoever says that it answers. Between a holder's release and its successor's word nobody
 * says so: then it stays where it was, because a gateway goes on forwarding when it has stopped answering.
 */
export function chooseHolder(
  view: AgentView,
  egressIp: EgressIp,
  known: Pick<KnownAnswers, 'holders' | 'recalled'> & {
    /** What another gateway says, and what our own kernel does. */
    readonly remote: Claim | undefined;
    readonly own: Holding | undefined;
  },
): Holder | undefined {
  const { remote, own } = known;
  if (own !== undefined && (remote === undefined || compareRights(own.right, remote.right) >= 0)) {
    return { node: view.node, blocksVersion: egressIp.blocksVersion };
  }
  if (remote !== undefined) return { node: remote.node, blocksVersion: remote.blocksVersion };
  if (egressIp.order.length === 0) return undefined;
  return known.holders.get(egressIp.name) ?? recallHolder(view, egressIp, known.recalled);
}

/**
 * Where this agent's former run sent: the kernel still knows the gateway's MAC, and our own last report whether it was
 * we. A gateway that has not stated which ports it forwards had them all in its kernel before.
 */
function recallHolder(
  view: AgentView,
  egressIp: EgressIp,
  recalled: KnownAnswers['recalled'],
): Holder | undefined {
  const mac = recalled.get(formatAddress(egressIp.address));
  const ours = view.gatewayNodes.get(view.node);
  const own = ours === undefined ? undefined : statementOf(ours, egressIp);
  if (mac === undefined) {
    return own?.state === 'Answering' ? { node: view.node, blocksVersion: own.blocksVersion } : undefined;
  }
  for (const gateway of view.gatewayNodes.values()) {
    if (gateway === ours || gateway.underlay?.tunnelMac !== mac) continue;
    const statement = statementOf(gateway, egressIp);
    return { node: gateway.name, blocksVersion: statement?.blocksVersion ?? egressIp.blocksVersion };
  }
  return undefined;
}

export function planAddress(
  egressIp: EgressIp,
  holder: Holder | undefined,
  { node, usableAfter }: { readonly node: string; readonly usableAfter: number },
): EgressAddressPlan {
  const { address, blocks } = egressIp;
  const base = {
    address,
    blocks: blocks.map(({ node: owner, first, last }) => ({ node: owner, first, last })),
  };
  if (holder === undefined) return { ...base, usable: [] };
  const usable = blocks
    .filter((block) => block.node === node && block.version <= holder.blocksVersion)
    .filter((block) => block.version > usableAfter)
    .map(({ first, last }) => ({ first, last }));
  return { ...base, holder: holder.node, usable };
}

export function peerOf(gateway: GatewayNode): readonly TunnelEndpoint[] {
  if (gateway.underlay === undefined) return [];
  return [{ node: gateway.name, address: gateway.underlay.address, mac: gateway.underlay.tunnelMac }];
}

export function unknownPods(
  networks: readonly Cidr[] = [],
  awaited: PodSelection['awaited'],
  closed: PodSelection['closed'],
): UnknownPods {
  return { networks, awaited, closed };
}

/** Traffic that is never touched: to pods, services and every address a node reports. */
export function directNetworks(view: Pick<AgentView, 'nodes' | 'serviceCidrs'>): readonly Cidr[] {
  const networks = new Map<string, Cidr>();
  const add = (cidr: Cidr): void => {
    networks.set(formatCidr(cidr), cidr);
  };
  for (const cidr of view.serviceCidrs) add(cidr);
  for (const node of view.nodes.values()) {
    for (const cidr of node.podCidrs) add(cidr);
    for (const address of node.addresses) add(hostCidr(address));
  }
  return [...networks.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, cidr]) => cidr);
}

export function compareAddresses(a: Address, b: Address): number {
  return a.family - b.family || (a.value < b.value ? -1 : 1);
}
