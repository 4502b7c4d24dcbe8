/** The blocks that can never be an egress address, and what they are for. */
import { cidrRange, parseCidr, rangesOverlap } from './cidr.ts';
import type { AddressRange, Cidr } from './model.ts';

export interface SpecialUse {
  readonly range: AddressRange;
  readonly text: string;
  readonly meaning: string;
}

/**
 * Blocks of the IANA special-purpose registries that can never be an egress address. Documentation ranges, RFC 1918,
 * ULA and 100.64.0.0/10 are left out: people have them.
 * https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry
 */
const SPECIAL_USE: readonly (readonly [string, string])[] = [
  ['0.0.0.0/8', '"this network" (RFC 791)'],
  ['127.0.0.0/8', 'loopback (RFC 1122)'],
  ['169.254.0.0/16', 'link-local (RFC 3927)'],
  ['192.0.0.0/24', 'IETF protocol assignments (RFC 6890)'],
  ['224.0.0.0/4', 'multicast (RFC 5771)'],
  ['240.0.0.0/4', 'reserved, with the limited broadcast address (RFC 1112, RFC 919)'],
  ['::/128', 'unspecified (RFC 4291)'],
  ['::1/128', 'loopback (RFC 4291)'],
  ['64:ff9b::/96', 'IPv4/IPv6 translation (RFC 6052)'],
  ['64:ff9b:1::/48', 'IPv4/IPv6 translation (RFC 8215)'],
  ['100::/64', 'discard-only (RFC 6666)'],
  ['2001::/32', 'Teredo (RFC 4380)'],
  ['2002::/16', '6to4 (RFC 3056)'],
  ['fe80::/10', 'link-local (RFC 4291)'],
  ['ff00::/8', 'multicast (RFC 4291)'],
];
/** Their prefixes alone, for the rules that the API server holds by itself. */
export const SPECIAL_USE_BLOCKS: readonly string[] = SPECIAL_USE.map(([text]) => text);

const SPECIAL_RANGES = SPECIAL_USE.map(([text, meaning]) => ({
  text,
  meaning,
  range: cidrRange(literalCidr(text)),
}));

function literalCidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed.kind === 'refused') throw new Error(`SPECIAL_USE: ${parsed.error.message}`);
  return parsed.value;
}

/** The first special-purpose block that a range touches. */
export function findSpecialUse(range: AddressRange): SpecialUse | undefined {
  return SPECIAL_RANGES.find((special) => rangesOverlap(special.range, range));
}
