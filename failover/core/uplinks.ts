/**
 * Decides which devices of a node are uplinks, that is, lead outside, and on which of them an egress IP lies: answered for, sent
 * out, checked. The device of the node's own address is always one and comes first; the tunnel goes over it. Another is one for
 * a family of which it has a next hop.
 */
import { cidrRange, rangeContains } from '../../policy/cidr.ts';
import type { Address, Cidr, Family } from '../../policy/model.ts';

export interface Uplink {
  readonly device: string;
  /** On-link subnets: their egress IPs are this uplink's. */
  readonly networks: readonly Cidr[];
}

/** The node's own first. */
export type Uplinks = readonly [Uplink, ...Uplink[]];

/** Each but the first needs a meaning of the packet mark (dataplane/marks.ts), which has room for two. */
export const UPLINKS_MAX = 3;

/** One of a node that has no other; whatever lies nowhere else is its. */
export function soleUplink(device: string): Uplinks {
  return [{ device, networks: [] }];
}

/** A default route of the main table that has a next hop. */
export interface DefaultHop {
  readonly device: string;
  readonly family: Family;
}

/**
 * @param own the device of the node's address
 * @param places devices that neighbours can be on, with the subnets of their addresses
 */
export function chooseUplinks(
  own: string,
  { hops, places }: { readonly hops: readonly DefaultHop[]; readonly places: readonly Uplink[] },
): Uplinks {
  const networksOf = (device: string): readonly Cidr[] =>
    places.flatMap((place) => (place.device === device ? place.networks : []));
  const others = [...new Set(hops.map(({ device }) => device))].filter((device) => device !== own);
  const reached = (device: string) => (network: Cidr) =>
    hops.some((hop) => hop.device === device && hop.family === network.family);
  const leading = others
    .toSorted()
    .map((device) => ({ device, networks: networksOf(device).filter(reached(device)) }))
    .filter(({ networks }) => networks.length > 0);
  return [{ device: own, networks: networksOf(own) }, ...leading.slice(0, UPLINKS_MAX - 1)];
}

/** Subnet and whose it is, by its place among the uplinks: the first that holds an address decides. */
export function networksByLength(
  uplinks: Uplinks,
): readonly { readonly network: Cidr; readonly at: number }[] {
  return uplinks
    .flatMap(({ networks }, at) => networks.map((network) => ({ network, at })))
    .toSorted((a, b) => b.network.prefix - a.network.prefix || a.at - b.at);
}

/** The place among the uplinks of that whose smallest subnet holds the address; 0, the node's own: none does. */
export function uplinkOf(address: Address, uplinks: Uplinks): number {
  if (uplinks.length === 1) return 0;
  return networksByLength(uplinks).find(({ network }) => rangeContains(cidrRange(network), address))?.at ?? 0;
}

export function deviceOf(address: Address, uplinks: Uplinks): string {
  return (uplinks[uplinkOf(address, uplinks)] ?? uplinks[0]).device;
}

export function sameUplinks(a: Uplinks, b: Uplinks): boolean {
  return a === b || textOf(a) === textOf(b);
}

function textOf(uplinks: Uplinks): string {
  return uplinks
    .map(({ device, networks }) =>
      [device, ...networks.map(({ family, network, prefix }) => `${family} ${network}/${prefix}`)].join(' '),
    )
    .join(', ');
}
