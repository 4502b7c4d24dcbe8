/**
 * Turns a node's plan into what our sets, maps and content-named chains hold. Decides nothing about policy: which
 * address, holder or route is right was decided by the planner. What the plan cannot carry out (no holder, no usable
 * port) becomes a refusal here, so that a new connection fails at once instead of leaving with another address.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { EgressAddressPlan, NodeDataPlane } from '../dataPlane.ts';
import { mergedRanges } from './addressRanges.ts';
import { type Elements, type KernelState, type ManagedName, NO_ELEMENTS, ofFamily } from './kernelState.ts';
import { allocateIndices, type Indices, indexOf, returnMark, SELF_INDEX } from './marks.ts';
import { renderAddresses } from './renderAddresses.ts';
import { renderRoutes } from './renderRoutes.ts';
import { gatewayMark, macNumber } from './tunnelMac.ts';

/** @param current what the kernel holds: indices that are in use there keep their meaning. */
export function renderElements(plan: NodeDataPlane, current: KernelState): KernelState {
  const indices = chooseIndices(plan, plan.addresses, current);
  const marked = plan.addresses.filter(({ address }) => indices.egress.has(formatAddress(address)));
  const egress = renderAddresses(plan, marked, indices);
  const pods = renderRoutes(plan, marked, indices);
  return {
    elements: new Map<ManagedName, Elements>([
      ['inet direct', mergedRanges(plan.direct, 4)],
      ['inet direct6', mergedRanges(plan.direct, 6)],
      ...renderMesh(plan, indices),
      ...egress.elements,
      ...pods.elements,
    ]),
    chains: new Map([...egress.chains, ...pods.chains]),
  };
}

function chooseIndices(
  plan: NodeDataPlane,
  addresses: readonly EgressAddressPlan[],
  current: KernelState,
): Indices {
  const before = (name: ManagedName): Elements => current.elements.get(name) ?? NO_ELEMENTS;
  const egressBefore = [...before('inet egress_marks'), ...before('inet egress_marks6')].map(
    ([key, mark]) => [key, indexOf(Number(mark))] as const,
  );
  const macBefore = new Map(
    [...before('netdev node_macs')].map(([mark, mac]) => [mac, indexOf(Number(mark))]),
  );
  const nodesBefore = plan.peers.flatMap(({ node, mac }) => {
    const index = macBefore.get(mac);
    return index === undefined ? [] : [[node, index] as const];
  });
  const peers = allocateIndices(
    new Map(nodesBefore),
    plan.peers.map(({ node }) => node),
    SELF_INDEX + 1,
  );
  return {
    egress: allocateIndices(
      new Map(egressBefore),
      addresses.map(({ address }) => formatAddress(address)),
      1,
    ),
    nodes: new Map([...peers, [plan.self.node, SELF_INDEX]]),
  };
}

/** Whoever has no address of the family that the tunnel goes over cannot be reached through it. */
function renderMesh(plan: NodeDataPlane, { nodes }: Indices): readonly (readonly [ManagedName, Elements])[] {
  const { family } = plan.self.address;
  const peers = plan.peers.filter(({ node, address }) => nodes.has(node) && address.family === family);
  const mark = (node: string): string => String(returnMark(nodes.get(node) ?? SELF_INDEX));
  return [
    ['inet senders', new Map(peers.map(({ node, mac }) => [`${mark(node)} . ${mac}`, '']))],
    [
      ofFamily('inet peers', family),
      new Map(peers.map(({ address, mac }) => [`${formatAddress(address)} . ${macNumber(mac)}`, ''])),
    ],
    ['netdev node_macs', new Map(peers.map(({ node, mac }) => [mark(node), mac]))],
    ['netdev gateway_macs', new Map(peers.map(({ mac }) => [String(gatewayMark(mac)), mac]))],
  ];
}

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
