/** What the kernel holds for each egress IP: its mark, where its packets go, whose its ports are, and how to translate to it. */
import { formatAddress } from '../../../policy/address.ts';
import type { Address } from '../../../policy/model.ts';
import type { EgressAddressPlan, NodeDataPlane, PortRange } from '../dataPlane.ts';
import { uplinkOf } from '../uplinks.ts';
import { contentHash } from './contentHash.ts';
import { WORDS } from './familyWords.ts';
import { ofFamily } from './kernelState.ts';
import { egressMark, type Indices, leavingBy, ROUTE_FLAG, returnMark, SELF_INDEX } from './marks.ts';
import { rangeKey, rangesName } from './portElements.ts';
import { limitChain } from './portLimits.ts';
import { granulesOf, heldRanges } from './portRanges.ts';
import type { NamedChain, Rendered } from './rendered.ts';
import { gatewayMark } from './tunnelMac.ts';

/** An egress IP and all else that its elements depend on. */
export interface AddressInput {
  readonly plan: EgressAddressPlan;
  readonly name: string;
  readonly index: number;
  /** MAC of the gateway that its packets go to; undefined where that is this node, or nobody that is known. */
  readonly mac: string | undefined;
  readonly isHere: boolean;
  /** Place among the node's uplinks of the one that it leaves by. */
  readonly uplink: number;
  /** The indices of nodes. */
  readonly nodes: Indices['nodes'];
}

export function renderAddress({ plan, name, index, mac, isHere, uplink, nodes }: AddressInput): Rendered {
  const { address, blocks, usable } = plan;
  const { family } = address;
  const mark = egressMark(index);
  const [chain, chains] = usable.length === 0 ? [undefined, []] : translationChains(address, usable);
  const limit = limitChain(family, usable);
  const held = heldRanges(blocks, nodes);
  const own = held.filter(({ holder }) => holder === SELF_INDEX).flatMap(granulesOf);
  return {
    elements: [
      [ofFamily('inet egress_ips', family), name, ''],
      [ofFamily('inet egress_marks', family), name, String(mark)],
      ['inet steering', String(mark), String(isHere ? leavingBy(mark, uplink) : mark | ROUTE_FLAG)],
      ...(mac === undefined
        ? []
        : [[ofFamily('netdev egress_gateways', family), name, String(gatewayMark(mac))] as const]),
      ...held.map(
        ({ first, last, holder }) =>
          [rangesName(family), rangeKey(name, { first, last }), String(returnMark(holder))] as const,
      ),
      ...own.map((port) => [ofFamily('inet own_ports', family), `${name} . ${port}`, ''] as const),
      ...(chain === undefined ? [] : [['inet translations', String(mark), `goto ${chain}`] as const]),
      ...(limit === undefined ? [] : [['inet port_limits', String(mark), `jump ${limit[0]}`] as const]),
    ],
    chains: limit === undefined ? chains : [...chains, limit],
  };
}

/** By name, of those that have an index. */
export function addressInputs(
  { addresses, peers, self, uplinks }: NodeDataPlane,
  { egress, nodes }: Indices,
): ReadonlyMap<string, AddressInput> {
  const macs = new Map(peers.map(({ node, mac }) => [node, mac]));
  const inputs = new Map<string, AddressInput>();
  for (const plan of addresses) {
    const name = formatAddress(plan.address);
    const index = egress.get(name);
    if (index === undefined) continue;
    const { holder } = plan;
    const mac = holder === undefined ? undefined : macs.get(holder);
    const uplink = uplinkOf(plan.address, uplinks);
    inputs.set(name, { plan, name, index, mac, isHere: holder === self.node, uplink, nodes });
  }
  return inputs;
}

export interface EgressMark {
  readonly mark: number;
  /** New connections can be translated to it now. */
  readonly isReady: boolean;
}

/** By name. */
export function egressMarks(inputs: Iterable<AddressInput>): ReadonlyMap<string, EgressMark> {
  const marks = new Map<string, EgressMark>();
  for (const { plan, name, index, mac, isHere } of inputs)
    marks.set(name, {
      mark: egressMark(index),
      isReady: (isHere || mac !== undefined) && plan.usable.length > 0,
    });
  return marks;
}

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
    const [choices, count] = drawn(usable.map(({ first, last }) => `${name} . ${first}-${last}`));
    const chain = chainOf([
      `${translated(address)} snat ip to numgen random mod ${count} map { ${choices} }`,
    ]);
    return [chain[0], [chain]];
  }
  const ranges = usable.map(({ first, last }) =>
    chainOf([`${translated(address)} snat ip6 to [${name}]:${first}-${last}`]),
  );
  if (only === undefined || ranges.length === 1) return [ranges[0]?.[0] ?? '', ranges];
  const [choices, count] = drawn(ranges.map(([chain]) => `goto ${chain}`));
  const chain = chainOf([`numgen random mod ${count} vmap { ${choices} }`]);
  return [chain[0], [...ranges, chain]];
}

/**
 * Which range a number leads to, and how many numbers there are. Of several the last is as large as all others together and came
 * when those were filling up: it gets three of four connections, so that it has most of them when more is asked for
 * (portLimits.ts), and whoever finds a full range is likely to find the other when it tries again.
 */
function drawn(ranges: readonly string[]): readonly [choices: string, count: number] {
  const others = ranges.length - 1;
  const drawn = [...ranges.slice(0, others), ...Array(Math.max(1, 3 * others)).fill(ranges.at(-1))];
  return [drawn.map((range, number) => `${number} : ${range}`).join(', '), drawn.length];
}

function chainOf(rules: readonly string[]): NamedChain {
  const whole = [...rules, 'counter name no_block drop'];
  return [`translate_${contentHash(whole.join('\n'))}`, whole];
}

/** An echo request has an id in place of a port; the rest has no ports to translate. */
function translated({ family }: Address): string {
  return `meta l4proto { tcp, udp, ${WORDS[family].icmp}, sctp }`;
}
