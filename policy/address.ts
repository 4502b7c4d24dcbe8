/**
 * Addresses as text and as bits. Only canonical text is read (RFC 5952 for IPv6, dotted decimal without leading zeros
 * for IPv4): what Go's netip, nft and this file read in the same way. ipaddr.js, which is permissive, comes after the
 * strict check.
 */
import ipaddr from 'ipaddr.js';
import type { Address, Family } from './model.ts';
import { ok, type Result, refused } from './result.ts';

/** Why a text is no address; `canonical` is what would be accepted, where that can be told. */
export interface AddressProblem {
  readonly code: 'cidr-syntax';
  readonly message: string;
  readonly canonical?: string;
}

/** 39 characters of a full IPv6 address and room to show what was wrong with a longer text. */
const TEXT_LENGTH_MAX = 64;
const CANONICAL_V4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/;

export function addressBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** The one maker of addresses from bits; throws on a value out of range, which is a programmer error. */
export function makeAddress(family: Family, value: bigint): Address {
  if (value < 0n || value >> BigInt(addressBits(family)) !== 0n) {
    throw new RangeError(`makeAddress: ${value} is no IPv${family} address`);
  }
  return { family, value } as Address; // The brand has no value of its own.
}

export function parseAddress(text: string): Result<Address, AddressProblem> {
  if (text.length > TEXT_LENGTH_MAX)
    return problem(`${JSON.stringify(text.slice(0, TEXT_LENGTH_MAX))}… is too long to be an address`);
  if (CANONICAL_V4.test(text)) return ok(makeAddress(4, parseV4(text)));
  if (/^[0-9a-f:]+$/.test(text) && text.includes(':') && ipaddr.IPv6.isValid(text)) {
    const value = bytesToValue(ipaddr.IPv6.parse(text).toByteArray());
    const canonical = formatV6(value);
    if (isEmbeddedV4(value)) return problem(`${text} embeds an IPv4 address; write the IPv4 address itself`);
    if (canonical === text) return ok(makeAddress(6, value));
    return problem(`${text} is not canonical; write ${canonical}`, canonical);
  }
  return explain(text);
}

export function formatAddress({ family, value }: Address): string {
  return family === 4 ? formatV4(value) : formatV6(value);
}

/**
 * The name of the EgressIP object of an address: an object name may hold dots but no colons and must not end in a dash,
 * so an IPv6 address is written as its eight full groups joined by dashes.
 */
export function egressIpName(address: Address): string {
  return address.family === 4
    ? formatV4(address.value)
    : groups(address.value)
        .map((it) => it.padStart(4, '0'))
        .join('-');
}

function problem(message: string, canonical?: string): Result<never, AddressProblem> {
  return refused({ code: 'cidr-syntax', message, ...(canonical === undefined ? {} : { canonical }) });
}

/** What a lenient reader would have made of it is named only where all lenient readers agree: case and compression. */
function explain(text: string): Result<never, AddressProblem> {
  const lower = text.toLowerCase();
  if (lower !== text && /^[0-9a-f:]+$/.test(lower) && ipaddr.IPv6.isValid(lower)) {
    const canonical = formatV6(bytesToValue(ipaddr.IPv6.parse(lower).toByteArray()));
    return problem(`${text} is not canonical; write ${canonical}`, canonical);
  }
  if (text.includes('%')) return problem(`${JSON.stringify(text)} has a zone; an egress address has none`);
  if (text.includes(':') && text.includes('.')) {
    return problem(`${JSON.stringify(text)} embeds an IPv4 address; write the IPv4 address itself`);
  }
  if (/^[0-9.]+$/.test(text) && /(?:^|\.)0\d/.test(text)) {
    return problem(`${text} has a leading zero, which some read as octal; write each part without it`);
  }
  return problem(
    `${JSON.stringify(text)} is not an IP address in canonical form (203.0.113.10 or 2001:db8::10)`,
  );
}

function parseV4(text: string): bigint {
  return text.split('.').reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
}

function formatV4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => ((value >> shift) & 0xffn).toString()).join('.');
}

function bytesToValue(bytes: readonly number[]): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** ::ffff:0:0/96 (mapped) and ::/96 but for :: and ::1 (the deprecated compatible form). */
function isEmbeddedV4(value: bigint): boolean {
  const high = value >> 32n;
  return high === 0xffffn || (high === 0n && value > 1n && value >> 16n !== 0n);
}

function groups(value: bigint): readonly string[] {
  return Array.from({ length: 8 }, (_, index) =>
    ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16),
  );
}

/** RFC 5952: the longest run of two or more zero groups, the first of equals, becomes `::`. */
function formatV6(value: bigint): string {
  const all = groups(value);
  let best = { start: -1, length: 1 };
  let start = -1;
  for (let index = 0; index <= all.length; index += 1) {
    if (all[index] === '0') {
      if (start < 0) start = index;
      continue;
    }
    if (start >= 0 && index - start > best.length) best = { start, length: index - start };
    start = -1;
  }
  if (best.start < 0) return all.join(':');
  return `${all.slice(0, best.start).join(':')}::${all.slice(best.start + best.length).join(':')}`;
}
