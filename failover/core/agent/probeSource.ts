/**
 * Decides which of its own addresses a node asks from. Relies on whoever observes to leave out egress IPs that are on the
 * uplink and addresses that are soon gone.
 */
import type { Address } from '../../../policy/model.ts';

/** An address of the uplink that is the node's, and lasts. */
export interface OwnAddress {
  readonly address: Address;
  /** Bits, as it is configured. */
  readonly prefix: number;
  /** From a router's advertisement or by DHCP. */
  readonly dynamic: boolean;
}

/** The identifier of an interface, the lower half of an address, says nothing of the way to it; nor does one of IPv4, here. */
const NETWORK_SHIFT = 64n;
const NETWORK_BITS = 64;
const LINK_LOCAL_SHIFT = 118n;
/** fe80::/10 (RFC 4291, 2.5.6). */
const LINK_LOCAL = 0x3fan;

export function isLinkLocal({ family, value }: Address): boolean {
  return family === 6 && value >> LINK_LOCAL_SHIFT === LINK_LOCAL;
}

/**
 * What probes of a target leave from. Of IPv6 that has most of its network's bits in common with the target (RFC 6724, rule 8,
 * which also keeps unique local addresses among themselves): answers find no other. Where that says nothing, and of IPv4
 * always, the node's own address; then one of a network before one that stands alone, as a virtual one that somebody may move;
 * then one that was configured; then the lowest, so that every look chooses the same.
 * @param node the address that the node is known by
 * @returns undefined: the node has none of the target's family
 */
export function chooseProbeSource(
  target: Address,
  own: readonly OwnAddress[],
  node: Address,
): Address | undefined {
  const usable = own.filter(({ address }) => address.family === target.family && !isLinkLocal(address));
  const shared = ({ address }: OwnAddress): number => sharedNetworkBits(address, target);
  return usable.toSorted((a, b) => shared(b) - shared(a) || compareOwn(a, b, node))[0]?.address;
}

/**
 * What neighbours are asked from by neighbour discovery: the link-local address, whatever the neighbour's is, as the kernel
 * asks for what it forwards. And what comes to it comes from this link: no router forwards to it.
 */
export function chooseSolicitationSource(own: readonly OwnAddress[], node: Address): Address | undefined {
  return own.filter(({ address }) => isLinkLocal(address)).toSorted((a, b) => compareOwn(a, b, node))[0]
    ?.address;
}

function sharedNetworkBits(a: Address, b: Address): number {
  const difference = (a.value ^ b.value) >> NETWORK_SHIFT;
  return difference === 0n ? NETWORK_BITS : NETWORK_BITS - difference.toString(2).length;
}

/** Negative: `a` is the better one. */
function compareOwn(a: OwnAddress, b: OwnAddress, node: Address): number {
  const rank = ({ address, prefix, dynamic }: OwnAddress): number => {
    if (address.family === node.family && address.value === node.value) return 0;
    const alone = prefix === (address.family === 4 ? 32 : 128);
    return 1 + (alone ? 2 : 0) + (dynamic ? 1 : 0);
  };
  return rank(a) - rank(b) || (a.address.value < b.address.value ? -1 : 1);
}
