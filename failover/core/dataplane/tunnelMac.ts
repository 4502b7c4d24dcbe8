/** The MAC of `egress0` on a node: every node can work out every other's, so nothing has to be learned or exchanged. */
import { formatAddress } from '../../../policy/address.ts';
import type { Address } from '../../../policy/model.ts';
import { contentHash } from './contentHash.ts';

/** Locally administered, unicast; the second octet only makes it recognisable in a capture. */
const PREFIX = ['02', '53'] as const;

/**
 * `02:53:` and the four octets of the node's underlay IPv4. Of an IPv6 address they are made of all bits: nodes that have a
 * network each often end in the same ones.
 */
export function tunnelMac(address: Address): string {
  const number = address.family === 4 ? address.value : BigInt(`0x${contentHash(formatAddress(address))}`);
  const octets = [24n, 16n, 8n, 0n].map((shift) => ((number >> shift) & 0xffn).toString(16).padStart(2, '0'));
  return [...PREFIX, ...octets].join(':');
}

/** The same MAC as the number that raw payload keys of nft carry. */
export function macNumber(mac: string): number {
  return Number.parseInt(mac.replaceAll(':', ''), 16);
}

/** What tells gateways apart in a packet's mark: the node's own part of that MAC. */
export function gatewayMark(mac: string): number {
  return macNumber(mac) % 2 ** 32;
}
