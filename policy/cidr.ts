/**
 * Prefixes and ranges. A prefix is read only in canonical text without host bits; the message of a refusal says what
 * would be accepted. Ranges are inclusive; two prefixes are nested or disjoint, two ranges may overlap in part.
 */
import { addressBits, formatAddress, makeAddress, parseAddress } from './address.ts';
import type { Address, AddressRange, Cidr, Family } from './model.ts';
import { ok, type Result, refused } from './result.ts';

/** 43 characters of the longest prefix; a longer text is not repeated in a message. */
const TEXT_LENGTH_MAX = 64;

export interface CidrProblem {
  readonly code: 'cidr-syntax' | 'cidr-host-bits';
  readonly message: string;
}

export function parseCidr(text: string): Result<Cidr, CidrProblem> {
  if (text.length > TEXT_LENGTH_MAX)
    return syntax(`${JSON.stringify(text.slice(0, TEXT_LENGTH_MAX))}… is too long to be a prefix`);
  const slash = text.indexOf('/');
  if (slash < 0) {
    const address = parseAddress(text);
    if (address.kind === 'refused') return refused({ code: 'cidr-syntax', message: address.error.message });
    return syntax(`${text} has no prefix length; write ${text}/${addressBits(address.value.family)}`);
  }
  const address = parseAddress(text.slice(0, slash));
  const prefixText = text.slice(slash + 1);
  if (address.kind === 'refused') {
    const { canonical, message } = address.error;
    const fitting = canonical !== undefined && /^(?:0|[1-9]\d{0,2})$/.test(prefixText);
    return syntax(fitting ? `${text} is not canonical; write ${canonical}/${prefixText}` : message);
  }
  const { family, value } = address.value;
  const bits = addressBits(family);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(prefixText)) {
    return syntax(
      `${JSON.stringify(text)} has the prefix length ${JSON.stringify(prefixText)}; write a number from 0 to ${bits} without leading zeros`,
    );
  }
  const prefix = Number(prefixText);
  if (prefix > bits) return syntax(`${text} has a prefix length over ${bits}`);
  const network = value & ~hostMask(family, prefix);
  if (network !== value) {
    const plain = formatAddress(address.value);
    const whole = `${formatAddress(makeAddress(family, network))}/${prefix}`;
    return refused({
      code: 'cidr-host-bits',
      message: `${text} has host bits; write ${whole} for the network or ${plain}/${bits} for the one address`,
    });
  }
  return ok(makeCidr(family, network, prefix));
}

export function formatCidr({ family, network, prefix }: Cidr): string {
  return `${formatAddress(makeAddress(family, network))}/${prefix}`;
}

/** The one maker of prefixes from bits; throws on host bits, which is a programmer error. */
export function makeCidr(family: Family, network: bigint, prefix: number): Cidr {
  if (prefix < 0 || prefix > addressBits(family) || (network & hostMask(family, prefix)) !== 0n) {
    throw new RangeError(`makeCidr: ${network}/${prefix} is no IPv${family} prefix`);
  }
  return { family, network, prefix } as Cidr; // The brand has no value of its own.
}

/** The /32 or /128 that holds one address. */
export function hostCidr({ family, value }: Address): Cidr {
  return makeCidr(family, value, addressBits(family));
}

export function cidrRange({ family, network, prefix }: Cidr): AddressRange {
  return { family, first: network, last: network | hostMask(family, prefix) };
}

export function rangeContains(range: AddressRange, { family, value }: Address): boolean {
  return range.family === family && range.first <= value && value <= range.last;
}

export function rangesOverlap(a: AddressRange, b: AddressRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

export function sameRange(a: AddressRange, b: AddressRange): boolean {
  return a.family === b.family && a.first === b.first && a.last === b.last;
}

/** How many addresses a range has. */
export function rangeSize({ first, last }: AddressRange): bigint {
  return last - first + 1n;
}

export function formatRange({ family, first, last }: AddressRange): string {
  const from = formatAddress(makeAddress(family, first));
  return first === last ? from : `${from}-${formatAddress(makeAddress(family, last))}`;
}

/** The addresses of a range in order, at most `limit`. */
export function addressesOf({ family, first, last }: AddressRange, limit: number): readonly Address[] {
  const addresses: Address[] = [];
  for (let value = first; value <= last && addresses.length < limit; value += 1n)
    addresses.push(makeAddress(family, value));
  return addresses;
}

function hostMask(family: Family, prefix: number): bigint {
  return (1n << BigInt(addressBits(family) - prefix)) - 1n;
}

function syntax(message: string): Result<never, CidrProblem> {
  return refused({ code: 'cidr-syntax', message });
}
