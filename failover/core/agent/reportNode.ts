/**
 * Decides what the agent says of its own node: the `status` of its GatewayNode, as the wire has it. Only what the
 * kernel confirmed is stated; an address whose command is still under way is left out, so nobody acts on a guess.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { AgentView } from './agentView.ts';
import { demandOf } from './planNode.ts';
import { selectPods } from './selectPods.ts';

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
  readonly capacity: number;
  readonly versions: { readonly agent: string; readonly kernel: string; readonly nftables: string };
  readonly dataPlaneReady: boolean;
  readonly dataPlaneMessage: string;
}

export interface NodeReport {
  readonly session: number;
  readonly underlay?: ObservedNode['underlay'];
  readonly interfaces: ObservedNode['interfaces'];
  readonly onLink: ObservedNode['onLink'];
  readonly nextHops: ObservedNode['nextHops'];
  readonly capacity: number;
  readonly holding: number;
  readonly addresses: readonly {
    readonly address: string;
    readonly state: 'Answering' | 'Released' | 'Standby';
    readonly epoch: number;
    readonly session: number;
    readonly blocksVersion: number;
  }[];
  readonly demand: readonly { readonly address: string; readonly ports: number }[];
  readonly selected: readonly { readonly policyUid: string; readonly pods: number }[];
  readonly versions: ObservedNode['versions'];
  readonly dataPlaneReady: boolean;
  readonly dataPlaneMessage: string;
}

/** One granule: "some ports, please". The controller starts a node with its `INITIAL_PORTS`. */
const MINIMUM_DEMAND_PORTS = 64;

export function reportNode(known: {
  readonly view: AgentView;
  readonly observed: ObservedNode;
  readonly session: number;
  readonly answered: ReadonlyMap<string, number>;
  readonly changing: ReadonlySet<string>;
  readonly confirmed: ReadonlyMap<string, number>;
}): NodeReport {
  const { view, observed, session } = known;
  const selection = selectPods(view);
  const addresses: NodeReport['addresses'][number][] = [];
  for (const egressIp of sortedEgressIps(view)) {
    const blocksVersion = known.confirmed.get(egressIp.name);
    if (session === 0 || blocksVersion === undefined || known.changing.has(egressIp.name)) continue;
    const answeredAt = known.answered.get(egressIp.name);
    const fenced = egressIp.fence.some(({ gateway }) => gateway === view.node);
    const state = answeredAt !== undefined ? 'Answering' : fenced ? 'Released' : 'Standby';
    const epoch = answeredAt ?? egressIp.epoch;
    addresses.push({ address: formatAddress(egressIp.address), state, epoch, session, blocksVersion });
  }
  return {
    session,
    ...(observed.underlay === undefined ? {} : { underlay: observed.underlay }),
    interfaces: observed.interfaces,
    onLink: observed.onLink,
    nextHops: observed.nextHops,
    capacity: observed.capacity,
    holding: known.answered.size,
    addresses,
    demand: demandOf(view, selection.wanted).map(({ address }) => ({
      address: formatAddress(address),
      ports: MINIMUM_DEMAND_PORTS,
    })),
    selected: [...selection.selected].map(([policyUid, pods]) => ({ policyUid, pods })),
    versions: observed.versions,
    dataPlaneReady: observed.dataPlaneReady,
    dataPlaneMessage: observed.dataPlaneMessage,
  };
}

function sortedEgressIps(view: AgentView) {
  return [...view.egressIps.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
