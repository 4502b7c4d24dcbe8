/** What the kernel holds for each egress IP: its mark, where its packets go, whose its ports are, and how to translate to it. */
import { formatAddress } from '../../../policy/address.ts';
import type { Address } from '../../../policy/model.ts';
import type { EgressAddressPlan, NodeDataPlane, PortRange } from '../dataPlane.ts';
import { contentHash } from './contentHash.ts';
import { WORDS } from './familyWords.ts';
import { type Elements, type ManagedName, ofFamily } from './kernelState.ts';
import { egressMark, type Indices, ROUTE_FLAG, returnMark } from './marks.ts';
import { gatewayMark } from './tunnelMac.ts';

/** Ports are mapped by granule: address and port without its low 6 bits. */
const GRANULE_PORTS = 64;

export interface Rendered {
  readonly elements: ReadonlyMap<ManagedName, Elements>;
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** @param addresses those of the plan that have an index */
export function renderAddresses(
  plan: NodeDataPlane,
  addresses: readonly EgressAddressPlan[],
  indices: Indices,
): Rendered {
  const macs = new Map(plan.peers.map(({ node, mac }) => [node, mac]));
  const elements = new Map<ManagedName, Map<string, string>>();
  const chains = new Map<string, readonly string[]>();
  const set = (name: ManagedName, key: string, value: string): void => {
    const held = elements.get(name);
    if (held === undefined) elements.set(name, new Map([[key, value]]));
    else held.set(key, value);
  };
  for (const { address, holder, blocks, usable } of addresses) {
    const name = formatAddress(address);
    const mark = egressMark(indices.egress.get(name) ?? 0);
    set(ofFamily('inet egress_ips', address.family), name, '');
    set(ofFamily('inet egress_marks', address.family), name, String(mark));
    set('inet steering', String(mark), String(holder === plan.self.node ? mark : mark | ROUTE_FLAG));
    const mac = holder === undefined ? undefined : macs.get(holder);
    if (mac !== undefined)
      set(ofFamily('netdev egress_gateways', address.family), name, String(gatewayMark(mac)));
    for (const [port, owner] of granuleOwners(blocks, indices))
      for (const map of ['inet blocks', 'inet block_ids'] as const)
        set(ofFamily(map, address.family), `${name} . ${port}`, owner);
    if (usable.length === 0) continue;
    const [chain, rendered] = translationChains(address, usable);
    for (const [it, rules] of rendered) chains.set(it, rules);
    set('inet translations', String(mark), `goto ${chain}`);
  }
  return { elements, chains };
}

/** The first port of each granule, and the mark of the node that holds it. */
function granuleOwners(
  blocks: EgressAddressPlan['blocks'],
  { nodes }: Indices,
): readonly (readonly [number, string])[] {
  return blocks.flatMap((block) => {
    const node = nodes.get(block.node);
    return node === undefined ? [] : granules(block).map((port) => [port, String(returnMark(node))] as const);
  });
}

function granules({ first, last }: PortRange): readonly number[] {
  const start = Math.floor(first / GRANULE_PORTS);
  return Array.from(
    { length: Math.floor(last / GRANULE_PORTS) - start + 1 },
    (_, index) => (start + index) * GRANULE_PORTS,
  );
}

type NamedChain = readonly [name: string, rules: readonly string[]];

/**
 * The chain that translates to the address, and those that it needs. A range is drawn per try, not per connection: a repeated
 * SYN may land in a block with room. What has no ports to translate is dropped, else it would leave with another address.
 * nft 1.0.6 has no maps of IPv6 addresses with ports, so there each range has a chain.
 */
function translationChains(
  address: Address,
  usable: readonly PortRange[],
): readonly [name: string, chains: readonly NamedChain[]] {
  const [only] = usable;
  const name = formatAddress(address);
  if (address.family === 4) {
    const choices = usable.map(({ first, last }, index) => `${index} : ${name} . ${first}-${last}`);
    const chain = chainOf([
      `${translated(address)} snat ip to numgen random mod ${usable.length} map { ${choices.join(', ')} }`,
    ]);
    return [chain[0], [chain]];
  }
  const ranges = usable.map(({ first, last }) =>
    chainOf([`${translated(address)} snat ip6 to [${name}]:${first}-${last}`]),
  );
  if (only === undefined || ranges.length === 1) return [ranges[0]?.[0] ?? '', ranges];
  const choices = ranges.map(([chain], index) => `${index} : goto ${chain}`);
  const chain = chainOf([`numgen random mod ${ranges.length} vmap { ${choices.join(', ')} }`]);
  return [chain[0], [...ranges, chain]];
}

function chainOf(rules: readonly string[]): NamedChain {
  const whole = [...rules, 'counter name no_block drop'];
  return [`translate_${contentHash(whole.join('\n'))}`, whole];
}

/** An echo request has an id in place of a port; the rest has no ports to translate. */
function translated({ family }: Address): string {
  return `meta l4proto { tcp, udp, ${WORDS[family].icmp}, sctp }`;
}
