/**
 * What changes in our tables, as data: elements of sets and maps, and chains named after their content. The rules that
 * never change are in staticRuleset.ts. Both the wanted state and the one read back from the kernel have this shape,
 * with keys and values in one spelling, so that equal means equal.
 */

import type { Family } from '../../../policy/model.ts';
import { ADDRESSES_MAX, TOKEN_SET, writtenByPackets } from './kernelCommands.ts';

export const TABLE = 'sallyport';

/** Sets and maps whose elements follow from the plan, with their nft declaration. Both sides of a diff know all. */
export const MANAGED = {
  'inet egress_ips': 'type ipv4_addr;',
  'inet direct': 'type ipv4_addr; flags interval;',
  /** Who holds which ports, by address, first and last port: what GRANULE_MAPS are filled from, and known by. */
  'inet block_ranges': 'type ipv4_addr . inet_service . inet_service : mark;',
  /** The granules that this node has: connections that have another port end. */
  'inet own_ports': 'type ipv4_addr . inet_service;',
  'inet senders': 'type mark . ether_addr;',
  /** What does not leave by the uplink's one next hop: fastRoutes.ts. */
  'inet detours': 'type ipv4_addr; flags interval;',
  'inet peers': 'typeof ip saddr . @th,176,48;',
  'inet egress_marks': 'type ipv4_addr : mark;',
  'inet steering': 'type mark : mark;',
  'inet translations': 'type mark : verdict;',
  /** What a new connection is counted by, where it is to be translated. */
  'inet port_limits': 'type mark : verdict;',
  'inet pods': 'type ipv4_addr : verdict;',
  'inet egress_ips6': 'type ipv6_addr;',
  'inet direct6': 'type ipv6_addr; flags interval;',
  'inet block_ranges6': 'type ipv6_addr . inet_service . inet_service : mark;',
  'inet own_ports6': 'type ipv6_addr . inet_service;',
  'inet peers6': 'typeof ip6 saddr . @th,176,48;',
  'inet egress_marks6': 'type ipv6_addr : mark;',
  'inet pods6': 'type ipv6_addr : verdict;',
  'inet detours6': 'type ipv6_addr; flags interval;',
  'netdev tokens': TOKEN_SET,
  'netdev egress_gateways': `type ipv4_addr : mark; ${writtenByPackets(ADDRESSES_MAX)}`,
  'netdev egress_gateways6': `type ipv6_addr : mark; ${writtenByPackets(ADDRESSES_MAX)}`,
  'netdev gateway_macs': 'type mark : ether_addr;',
  'netdev node_macs': 'type mark : ether_addr;',
  'netdev next_hops': 'type mark : ipv4_addr;',
  'netdev next_hops6': 'type mark : ipv6_addr;',
} as const;
export type ManagedName = keyof typeof MANAGED;
export const MANAGED_NAMES = Object.keys(MANAGED) as readonly ManagedName[]; // Object.keys forgets the literal type.

/**
 * What packets find the holder of a port in: an element for each granule of 64 ports that a range has. A large cluster has
 * 760,000 of them, which nft takes half a minute and a gigabyte to list. So they change only together with their range, in one
 * transaction, and are never read.
 */
export const GRANULE_MAPS = {
  'inet blocks': 'type ipv4_addr . inet_service : mark;',
  'inet block_ids': 'typeof ip daddr . icmp id : meta mark;',
  'inet blocks6': 'type ipv6_addr . inet_service : mark;',
  'inet block_ids6': 'typeof ip6 daddr . icmpv6 id : meta mark;',
} as const;

export type GranuleMap = keyof typeof GRANULE_MAPS;

/** Those that each family has one of. */
type FamilyName = { readonly [N in ManagedName]: `${N}6` extends ManagedName ? N : never }[ManagedName];

export function ofFamily(name: FamilyName, family: Family): ManagedName {
  return family === 4 ? name : `${name}6`;
}

/** Key → value; a set's elements have the value ''. */
export type Elements = ReadonlyMap<string, string>;

export interface KernelState {
  readonly elements: ReadonlyMap<ManagedName, Elements>;
  /** Chain name → rules; of the kernel's chains only the names are known, and they are enough. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

export const NO_ELEMENTS: Elements = new Map();
/** Content-named chains start so; all others belong to the static ruleset. */
export const CONTENT_CHAIN = /^(?:routes|translate|limit)_[0-9a-f]{16}$/;

/** `inet blocks` → the object of a command: `inet sallyport blocks`. */
export function qualified(name: ManagedName | GranuleMap): string {
  const [family, object] = name.split(' ');
  return `${family} ${TABLE} ${object}`;
}
