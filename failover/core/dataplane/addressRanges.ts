/** Ranges of addresses as sets of intervals hold them, spelled as the kernel lists them. */
import { addressBits, formatAddress, makeAddress } from '../../../policy/address.ts';
import { cidrRange, formatRange } from '../../../policy/cidr.ts';
import type { AddressRange, Cidr, Family } from '../../../policy/model.ts';
import type { Elements } from './kernelState.ts';

/** The kernel refuses overlapping intervals and joins neighbours when it lists them: so neither is left. */
export function mergedRanges(cidrs: readonly Cidr[], family: Family): Elements {
  const ranges = cidrs.filter((it) => it.family === family).map(cidrRange);
  return new Map(unionOf(ranges).map((range) => [formatRange(range), '']));
}

/** The same addresses in as few ranges as there can be, sorted, those of IPv4 first. */
export function unionOf(ranges: readonly AddressRange[]): readonly AddressRange[] {
  const sorted = ranges.toSorted((a, b) => a.family - b.family || (a.first < b.first ? -1 : 1));
  const merged: AddressRange[] = [];
  for (const range of sorted) {
    const before = merged.at(-1);
    if (before?.family !== range.family || range.first > before.last + 1n) merged.push(range);
    else if (range.last > before.last) merged[merged.length - 1] = { ...before, last: range.last };
  }
  return merged;
}

export function isWholeFamily({ family, first, last }: AddressRange): boolean {
  return first === 0n && last === (1n << BigInt(addressBits(family))) - 1n;
}

/** A prefix as the kernel lists it, as the range that it is. */
export function prefixText(
  { family, value }: { readonly family: Family; readonly value: bigint },
  length: number,
): string {
  const size = 1n << BigInt(addressBits(family) - length);
  const last = formatAddress(makeAddress(family, value + size - 1n));
  return size === 1n ? last : `${formatAddress(makeAddress(family, value))}-${last}`;
}
