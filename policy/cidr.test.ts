import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { egressIpName, formatAddress, makeAddress, parseAddress } from './address.ts';
import {
  addressesOf,
  cidrRange,
  formatCidr,
  formatRange,
  makeCidr,
  parseCidr,
  rangesOverlap,
} from './cidr.ts';

const accepted = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '203.0.113.0/24',
  '203.0.113.10/32',
  '255.255.255.255/32',
  '128.0.0.0/1',
  '::/0',
  '2001:db8::/32',
  '2001:db8::10/128',
  'fd00::/8',
  'fe80::1/128',
  '::1/128',
  '2001:db8:0:1:1:1:1:1/128',
  '2001:0:0:1::/64',
  '1:2:3:4:5:6:7:8/128',
];
const refusedAs: readonly (readonly [string, string, string])[] = [
  ['203.0.113.10/24', 'cidr-host-bits', '203.0.113.0/24 for the network or 203.0.113.10/32'],
  ['2001:db8::10/64', 'cidr-host-bits', '2001:db8::/64 for the network or 2001:db8::10/128'],
  ['203.0.113.10', 'cidr-syntax', 'write 203.0.113.10/32'],
  ['2001:db8::10', 'cidr-syntax', 'write 2001:db8::10/128'],
  ['010.0.0.0/8', 'cidr-syntax', 'leading zero'],
  ['10.1/16', 'cidr-syntax', 'canonical form'],
  ['0x0a.0.0.0/8', 'cidr-syntax', 'canonical form'],
  ['167772160/8', 'cidr-syntax', 'canonical form'],
  ['::10.0.0.0/104', 'cidr-syntax', 'embeds an IPv4'],
  ['::ffff:10.0.0.0/104', 'cidr-syntax', 'embeds an IPv4'],
  ['::ffff:a00:0/104', 'cidr-syntax', 'embeds an IPv4'],
  ['2001:DB8::/32', 'cidr-syntax', 'write 2001:db8::/32'],
  ['2001:0db8::/32', 'cidr-syntax', 'write 2001:db8::/32'],
  ['2001:db8:0:0:0:0:0:1/128', 'cidr-syntax', 'write 2001:db8::1/128'],
  ['fe80::1%eth0/64', 'cidr-syntax', 'zone'],
  ['10.0.0.0/08', 'cidr-syntax', 'leading zeros'],
  ['10.0.0.0/33', 'cidr-syntax', 'over 32'],
  ['2001:db8::/129', 'cidr-syntax', 'over 128'],
  ['10.0.0.0/-1', 'cidr-syntax', 'prefix length'],
  ['10.0.0.0/+8', 'cidr-syntax', 'prefix length'],
  ['10.0.0.0/', 'cidr-syntax', 'prefix length'],
  ['10.0.0.0/8/8', 'cidr-syntax', 'prefix length'],
  [' 10.0.0.0/8', 'cidr-syntax', 'canonical form'],
  ['10.0.0.0/8 ', 'cidr-syntax', 'prefix length'],
  ['10.0.0.256/32', 'cidr-syntax', 'canonical form'],
  ['10.0.0/24', 'cidr-syntax', 'canonical form'],
  ['10.0.0.0.0/8', 'cidr-syntax', 'canonical form'],
  ['', 'cidr-syntax', 'canonical form'],
  ['/8', 'cidr-syntax', 'canonical form'],
  [`${'1'.repeat(300)}/8`, 'cidr-syntax', 'too long'],
  [`10.0.0.0/${'9'.repeat(300)}`, 'cidr-syntax', 'too long'],
  ['١٠.0.0.0/8', 'cidr-syntax', 'canonical form'],
];

describe('a prefix as text', () => {
  test.each(accepted)('%s is read and written back as it is', (text) => {
    const parsed = parseCidr(text);
    expect(parsed.kind === 'ok' && formatCidr(parsed.value)).toBe(text);
  });

  test.each(refusedAs)('%s is refused as %s: …%s…', (text, code, words) => {
    const parsed = parseCidr(text);
    expect(parsed).toMatchObject({
      kind: 'refused',
      error: { code, message: expect.stringContaining(words) },
    });
  });

  test('whatever is accepted is written back as it was, and every prefix made can be read', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ maxLength: 45 })),
        fc.nat(130),
        (text, prefix) => {
          const parsed = parseCidr(`${text}/${prefix}`);
          if (parsed.kind === 'ok') expect(formatCidr(parsed.value)).toBe(`${text}/${prefix}`);
        },
      ),
    );
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }),
        fc.integer({ min: 0, max: 32 }),
        (value, prefix) => {
          const shift = BigInt(32 - prefix);
          const cidr = makeCidr(4, (value >> shift) << shift, prefix);
          expect(parseCidr(formatCidr(cidr))).toEqual({ kind: 'ok', value: cidr });
        },
      ),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: 1n << 64n, max: (1n << 128n) - 1n }), (value) => {
        const text = formatAddress(makeAddress(6, value));
        const parsed = parseAddress(text);
        expect(parsed.kind === 'ok' && parsed.value.value).toBe(value);
      }),
    );
  });

  test('the name of an EgressIP is a DNS subdomain for both families', () => {
    const v6 = parseAddress('2001:db8::10');
    expect(v6.kind === 'ok' && egressIpName(v6.value)).toBe('2001-0db8-0000-0000-0000-0000-0000-0010');
    expect(egressIpName(makeAddress(4, 0xcb00710an))).toBe('203.0.113.10');
  });
});

describe('ranges', () => {
  test('overlap is what a walk over the addresses finds', () => {
    const ranges = fc
      .tuple(fc.nat(40), fc.nat(10))
      .map(([first, size]) => ({ family: 4 as const, first: BigInt(first), last: BigInt(first + size) }));
    fc.assert(
      fc.property(ranges, ranges, (a, b) => {
        const inB = new Set(addressesOf(b, 100).map(({ value }) => value));
        expect(rangesOverlap(a, b)).toBe(addressesOf(a, 100).some(({ value }) => inB.has(value)));
      }),
    );
  });

  test('are listed up to the limit and written as one address or two', () => {
    const range = cidrRange(makeCidr(4, 0xcb007100n, 24));
    expect(addressesOf(range, 3).map(formatAddress)).toEqual(['203.0.113.0', '203.0.113.1', '203.0.113.2']);
    expect(formatRange(range)).toBe('203.0.113.0-203.0.113.255');
  });
});
