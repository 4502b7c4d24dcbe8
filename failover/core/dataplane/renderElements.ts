/**
 * Turns a node's plan into what our sets, maps and content-named chains hold. Decides nothing about policy: which
 * address, holder or route is right was decided by the planner. What the plan cannot carry out (no holder, no usable
 * port) becomes a refusal here, so that a new connection fails at once instead of leaving with another address.
 *
 * IPv4 only: plans of IPv6 are left out, as their rules are (Address carries its family, so that they can be told).
 */
import { formatAddress, makeAddress } from '../../../policy/address.ts';
import { cidrRange } from '../../../policy/cidr.ts';
import type { Cidr } from '../../../policy/model.ts';
import type { EgressAddressPlan, NodeDataPlane, PodRoute, PortRange } from '../dataPlane.ts';
import { contentHash } from './contentHash.ts';
import type { Elements, KernelState, ManagedName } from './kernelState.ts';
import { NO_ELEMENTS } from './kernelState.ts';
import { allocateIndices, egressMark, indexOf, ROUTE_FLAG, returnMark, SELF_INDEX } from './marks.ts';
import { gatewayMark, macNumber } from './tunnelMac.ts';

/** Ports are mapped by granule: address and port without its low 6 bits. */
const GRANULE_PORTS = 64;
/** An echo request has an id in place of a port; the rest has no ports to translate. */
const TRANSLATED = 'meta l4proto { tcp, udp, icmp, sctp }';
const EVERYTHING_V4 = 0xffff_ffffn;

interface Indices {
  readonly egress: ReadonlyMap<string, number>;
  /** By node name. */
  readonly nodes: ReadonlyMap<string, number>;
}

/** @param current what the kernel holds: indices that are in use there keep their meaning. */
export function renderElements(plan: NodeDataPlane, current: KernelState): KernelState {
  const addresses = plan.addresses.filter(({ address }) => address.family === 4);
  const indices = chooseIndices(plan, addresses, current);
  const marked = addresses.filter(({ address }) => indices.egress.has(formatAddress(address)));
  const egress = renderAddresses(plan, marked, indices);
  const pods = renderPods(plan, marked, indices);
  const names = new Map(marked.map(({ address }) => [formatAddress(address), '']));
  return {
    elements: new Map<ManagedName, Elements>([
      ['inet egress_ips', names],
      ['inet direct', mergedRanges(plan.direct)],
      ...renderMesh(plan, indices),
      ...egress.elements,
      ['inet pods', pods.elements],
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
  const egressBefore = [...before('inet egress_marks')].map(
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

function renderMesh(plan: NodeDataPlane, { nodes }: Indices): readonly (readonly [ManagedName, Elements])[] {
  const peers = plan.peers.filter(({ node, address }) => nodes.has(node) && address.family === 4);
  const mark = (node: string): string => String(returnMark(nodes.get(node) ?? SELF_INDEX));
  return [
    ['inet senders', new Map(peers.map(({ node, mac }) => [`${mark(node)} . ${mac}`, '']))],
    [
      'inet peers',
      new Map(peers.map(({ address, mac }) => [`${formatAddress(address)} . ${macNumber(mac)}`, ''])),
    ],
    ['netdev node_macs', new Map(peers.map(({ node, mac }) => [mark(node), mac]))],
    ['netdev gateway_macs', new Map(peers.map(({ mac }) => [String(gatewayMark(mac)), mac]))],
  ];
}

interface Rendered {
  readonly elements: readonly (readonly [ManagedName, Elements])[];
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

function renderAddresses(
  plan: NodeDataPlane,
  addresses: readonly EgressAddressPlan[],
  indices: Indices,
): Rendered {
  const macs = new Map(plan.peers.map(({ node, mac }) => [node, mac]));
  const blocks = new Map<string, string>();
  const marks = new Map<string, string>();
  const steering = new Map<string, string>();
  const gateways = new Map<string, string>();
  const translations = new Map<string, string>();
  const chains = new Map<string, readonly string[]>();
  for (const egress of addresses) {
    const name = formatAddress(egress.address);
    const mark = egressMark(indices.egress.get(name) ?? 0);
    marks.set(name, String(mark));
    steering.set(String(mark), String(egress.holder === plan.self.node ? mark : mark | ROUTE_FLAG));
    const mac = egress.holder === undefined ? undefined : macs.get(egress.holder);
    if (mac !== undefined) gateways.set(name, String(gatewayMark(mac)));
    for (const block of egress.blocks) {
      const node = indices.nodes.get(block.node);
      if (node === undefined) continue;
      for (const port of granules(block)) blocks.set(`${name} . ${port}`, String(returnMark(node)));
    }
    if (egress.usable.length > 0) {
      const rules = translationRules(name, egress.usable);
      const chain = `translate_${contentHash(rules.join('\n'))}`;
      chains.set(chain, rules);
      translations.set(String(mark), `goto ${chain}`);
    }
  }
  return {
    elements: [
      ['inet blocks', blocks],
      ['inet block_ids', blocks],
      ['inet egress_marks', marks],
      ['inet steering', steering],
      ['netdev egress_gateways', gateways],
      ['inet translations', translations],
    ],
    chains,
  };
}

function granules({ first, last }: PortRange): readonly number[] {
  const start = Math.floor(first / GRANULE_PORTS);
  return Array.from(
    { length: Math.floor(last / GRANULE_PORTS) - start + 1 },
    (_, index) => (start + index) * GRANULE_PORTS,
  );
}

/** A range is drawn per try, not per connection: a repeated SYN may land in a block with room. */
function translationRules(name: string, usable: readonly PortRange[]): readonly string[] {
  const choices = usable.map(({ first, last }, index) => `${index} : ${name} . ${first}-${last}`);
  return [`${TRANSLATED} snat ip to numgen random mod ${usable.length} map { ${choices.join(', ')} }`];
}

function renderPods(
  plan: NodeDataPlane,
  addresses: readonly EgressAddressPlan[],
  { egress }: Indices,
): { readonly elements: Elements; readonly chains: ReadonlyMap<string, readonly string[]> } {
  const nodes = new Set([plan.self.node, ...plan.peers.map(({ node }) => node)]);
  const ready = new Map(
    addresses
      .filter(({ holder, usable }) => holder !== undefined && nodes.has(holder) && usable.length > 0)
      .map(({ address }) => formatAddress(address))
      .map((name) => [name, egressMark(egress.get(name) ?? 0)]),
  );
  const chains = new Map<string, readonly string[]>();
  const elements = new Map<string, string>();
  for (const pod of plan.pods) {
    const routes = pod.routes.filter(({ range, action }) => range.family === 4 && action.kind !== 'direct');
    if (pod.address.family !== 4 || routes.length === 0) continue;
    const rules = routes.map((route) => routeRule(route, ready));
    const chain = `routes_${contentHash(rules.join('\n'))}`;
    chains.set(chain, rules);
    elements.set(formatAddress(pod.address), `goto ${chain}`);
  }
  return { elements, chains };
}

function routeRule({ range, action }: PodRoute, ready: ReadonlyMap<string, number>): string {
  const whole = range.first === 0n && range.last === EVERYTHING_V4;
  const match = whole ? '' : `ip daddr ${rangeText(range.first, range.last)} `;
  if (action.kind !== 'egress') return `${match}goto refuse`;
  const marks = action.addresses.flatMap((address) => ready.get(formatAddress(address)) ?? []);
  const [only] = marks;
  if (only === undefined) return `${match}goto refuse`;
  if (marks.length === 1) return `${match}meta mark set ${only} goto steer`;
  const choices = marks.map((mark, index) => `${index} : ${mark}`).join(', ');
  return `${match}meta mark set numgen random mod ${marks.length} map { ${choices} } goto steer`;
}

/** The kernel refuses overlapping intervals and joins neighbours when it lists them: so neither is left. */
function mergedRanges(cidrs: readonly Cidr[]): Elements {
  const ranges = cidrs
    .filter(({ family }) => family === 4)
    .map(cidrRange)
    .toSorted((a, b) => (a.first < b.first ? -1 : 1));
  const merged: { readonly first: bigint; readonly last: bigint }[] = [];
  for (const range of ranges) {
    const before = merged.at(-1);
    if (before === undefined || range.first > before.last + 1n) merged.push(range);
    else if (range.last > before.last) merged[merged.length - 1] = { first: before.first, last: range.last };
  }
  return new Map(merged.map(({ first, last }) => [rangeText(first, last), '']));
}

export function rangeText(first: bigint, last: bigint): string {
  const start = formatAddress(makeAddress(4, first));
  return first === last ? start : `${start}-${formatAddress(makeAddress(4, last))}`;
}

/** Egress IP → MAC of the gateway that the kernel sends to, as its maps say. */
export function holdersIn({ elements }: KernelState): ReadonlyMap<string, string> {
  const macs = elements.get('netdev gateway_macs') ?? NO_ELEMENTS;
  return new Map(
    [...(elements.get('netdev egress_gateways') ?? NO_ELEMENTS)].flatMap(([address, mark]) => {
      const mac = macs.get(mark);
      return mac === undefined ? [] : [[address, mac] as const];
    }),
  );
}
