/**
 * Turns a node's plan into what our sets, maps and content-named chains hold. Decides nothing about policy: which
 * address, holder or route is right was decided by the planner. What the plan cannot carry out (no holder, no usable
 * port) becomes a refusal here, so that a new connection fails at once instead of leaving with another address.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { NodeDataPlane } from '../dataPlane.ts';
import { mergedRanges } from './addressRanges.ts';
import { type Elements, type KernelState, type ManagedName, NO_ELEMENTS, ofFamily } from './kernelState.ts';
import { allocateIndices, type Indices, indexOf, returnMark, SELF_INDEX } from './marks.ts';
import { addressInputs, egressMarks, renderAddress } from './renderAddresses.ts';
import { asElements, collect, type NamedElement, type Rendered } from './rendered.ts';
import { renderPod } from './renderRoutes.ts';
import { renderUnknown } from './renderUnknown.ts';
import { gatewayMark, macNumber } from './tunnelMac.ts';

/**
 * All of it at once. What a change of the plan changes is renderedPlan.ts's to say, which must come to the same.
 * @param current what the kernel holds: indices that are in use there keep their meaning
 */
export function renderElements(plan: NodeDataPlane, current: KernelState): KernelState {
  const indices = chooseIndices(plan, indicesIn(current, plan.peers));
  const addresses = addressInputs(plan, indices);
  const marks = egressMarks(addresses.values());
  const { elements, chains } = collect([
    renderDirect(plan.direct),
    renderMesh(plan, indices),
    renderUnknown(plan.unknownPods),
    ...[...addresses.values()].map(renderAddress),
    // Where two pods have one address, the later one has it: the other is on its way out.
    ...new Map(plan.pods.map((pod) => [formatAddress(pod.address), renderPod(pod, marks)])).values(),
  ]);
  return { elements, chains };
}

/** The indices that packets on their way may carry. */
export function indicesIn({ elements }: KernelState, peers: NodeDataPlane['peers']): Indices {
  const of = (name: ManagedName): Elements => elements.get(name) ?? NO_ELEMENTS;
  const egress = [...of('inet egress_marks'), ...of('inet egress_marks6')].map(
    ([key, mark]) => [key, indexOf(Number(mark))] as const,
  );
  const byMac = new Map([...of('netdev node_macs')].map(([mark, mac]) => [mac, indexOf(Number(mark))]));
  const nodes = peers.flatMap(({ node, mac }) => {
    const index = byMac.get(mac);
    return index === undefined ? [] : [[node, index] as const];
  });
  return { egress: new Map(egress), nodes: new Map(nodes) };
}

export function chooseIndices({ addresses, peers, self }: NodeDataPlane, before: Indices): Indices {
  const [names, nodes] = [
    addresses.map(({ address }) => formatAddress(address)),
    peers.map(({ node }) => node),
  ];
  const others = new Map([...before.nodes].filter(([node]) => node !== self.node));
  return {
    egress: allocateIndices(before.egress, names, 1),
    nodes: new Map([...allocateIndices(others, nodes, SELF_INDEX + 1), [self.node, SELF_INDEX]]),
  };
}

export function renderDirect(direct: NodeDataPlane['direct']): Rendered {
  return {
    elements: [
      ...asElements('inet direct', mergedRanges(direct, 4)),
      ...asElements('inet direct6', mergedRanges(direct, 6)),
    ],
    chains: [],
  };
}

/** Whoever has no address of the family that the tunnel goes over cannot be reached through it. */
export function renderMesh(
  { self, peers }: Pick<NodeDataPlane, 'self' | 'peers'>,
  { nodes }: Pick<Indices, 'nodes'>,
): Rendered {
  const { family } = self.address;
  const elements = peers
    .filter(({ node, address }) => nodes.has(node) && address.family === family)
    .flatMap(({ node, address, mac }): readonly NamedElement[] => {
      const mark = String(returnMark(nodes.get(node) ?? SELF_INDEX));
      return [
        ['inet senders', `${mark} . ${mac}`, ''],
        [ofFamily('inet peers', family), `${formatAddress(address)} . ${macNumber(mac)}`, ''],
        ['netdev node_macs', mark, mac],
        ['netdev gateway_macs', String(gatewayMark(mac)), mac],
      ];
    });
  return { elements, chains: [] };
}

/** What `holdersIn` is read from. */
export const HOLDER_MAPS: readonly ManagedName[] = [
  'netdev egress_gateways',
  'netdev egress_gateways6',
  'netdev gateway_macs',
];

/** Egress IP → MAC of the gateway that the kernel sends to, as its maps say. */
export function holdersIn({ elements }: KernelState): ReadonlyMap<string, string> {
  const of = (name: ManagedName): Elements => elements.get(name) ?? NO_ELEMENTS;
  const macs = of('netdev gateway_macs');
  return new Map(
    [...of('netdev egress_gateways'), ...of('netdev egress_gateways6')].flatMap(([address, mark]) => {
      const mac = macs.get(mark);
      return mac === undefined ? [] : [[address, mac] as const];
    }),
  );
}
