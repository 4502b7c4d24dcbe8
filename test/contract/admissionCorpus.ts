/**
 * Policies as data, each with what has to become of it. The cluster around them: one gateway gw-1 (203.0.113.11) with
 * 203.0.113.0/24 and 2001:db8:1::/64 on its link, and a stored policy `taken` with 203.0.113.200/30.
 */
import type { ViolationCode } from '../../policy/model.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';

/**
 * Who refuses it. `nobody`; `schema`: the API server by itself, and the webhook with this code too; `webhook`: the API
 * server cannot see what is wrong; `completed`: the schema would, if the mutating webhook did not fill in what is meant.
 */
export type Refuser = 'nobody' | 'schema' | 'webhook' | 'completed';

export interface CorpusCase {
  readonly name: string;
  readonly by: Refuser;
  readonly code?: ViolationCode;
  readonly object: object;
}

/** The policy that is stored before the corpus is judged. */
export const TAKEN = egressPolicy('taken', [{ cidr: '203.0.113.200/30' }]);

const A_POOL = [{ cidr: '203.0.113.20/32' }];
const one = (by: Refuser, name: string, object: object, code?: ViolationCode): CorpusCase => ({
  name,
  by,
  object,
  ...(code === undefined ? {} : { code }),
});
/** With a destination of each family that the entries are of. */
const withPool = (...entries: readonly object[]): object => {
  const isV6 = (entry: object): boolean => Object.values(entry).some((text) => String(text).includes(':'));
  const v4 = entries.length === 0 || entries.some((entry) => !isV6(entry));
  const destinationCIDRs = [...(v4 ? ['0.0.0.0/0'] : []), ...(entries.some(isV6) ? ['::/0'] : [])];
  return egressPolicy('case', entries, { destinationCIDRs });
};
const withGateway = (change: object): object => egressPolicy('case', A_POOL, {}, change);
const withSpec = (change: object): object => egressPolicy('case', A_POOL, change);
const range = (from: string, to: string) => ({ from, to });
const times = <T>(count: number, make: (index: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, index) => make(index));

/** Texts that are no canonical prefix: refused alike wherever a prefix is asked for. */
const BAD_PREFIXES: readonly (readonly [string, string, 'syntax' | 'host-bits'])[] = [
  ['an empty text', '', 'syntax'],
  ['a word', 'example.com', 'syntax'],
  ['a slash alone', '/', 'syntax'],
  ['a missing address', '/24', 'syntax'],
  ['a missing length', '203.0.113.0/', 'syntax'],
  ['a length that is no number', '203.0.113.0/x', 'syntax'],
  ['a length with a sign', '203.0.113.0/+24', 'syntax'],
  ['a negative length', '203.0.113.0/-1', 'syntax'],
  ['a length with a leading zero', '203.0.113.0/024', 'syntax'],
  ['a length over 32', '203.0.113.0/33', 'syntax'],
  ['a length over 128', '2001:db8:1::/129', 'syntax'],
  ['a netmask', '203.0.113.0/255.255.255.0', 'syntax'],
  ['two lengths', '203.0.113.0/24/24', 'syntax'],
  ['a leading space', ' 203.0.113.20/32', 'syntax'],
  ['a trailing space', '203.0.113.20/32 ', 'syntax'],
  ['a trailing newline', '203.0.113.20/32\n', 'syntax'],
  ['an octal octet', '010.0.113.20/32', 'syntax'],
  ['a leading zero in an octet', '203.0.113.020/32', 'syntax'],
  ['a hexadecimal octet', '0xcb.0.113.20/32', 'syntax'],
  ['three octets', '203.0.113/24', 'syntax'],
  ['two octets', '10.1/16', 'syntax'],
  ['one number', '3405803786/32', 'syntax'],
  ['five octets', '203.0.113.20.1/32', 'syntax'],
  ['an octet over 255', '203.0.113.256/32', 'syntax'],
  ['full-width digits', '２03.0.113.20/32', 'syntax'],
  ['upper-case IPv6', '2001:DB8:1::20/128', 'syntax'],
  ['uncompressed IPv6', '2001:db8:1:0:0:0:0:20/128', 'syntax'],
  ['IPv6 with leading zeros', '2001:0db8:1::20/128', 'syntax'],
  ['IPv6 compressed at the shorter run', '2001:db8::1:0:0:0/128', 'syntax'],
  ['IPv6 with a lone zero compressed', '2001:db8:1::2:3:4:5:6/128', 'syntax'],
  ['IPv6 with two gaps', '2001::db8::20/128', 'syntax'],
  ['IPv6 in brackets', '[2001:db8:1::20]/128', 'syntax'],
  ['IPv6 with a zone', 'fe80::1%eth0/128', 'syntax'],
  ['IPv6 with nine groups', '2001:db8:1:2:3:4:5:6:7/128', 'syntax'],
  ['an IPv4-mapped address', '::ffff:203.0.113.20/128', 'syntax'],
  ['an IPv4-mapped address in hexadecimal', '::ffff:cb00:7114/128', 'syntax'],
  ['an IPv4-compatible address', '::203.0.113.20/128', 'syntax'],
  ['an IPv4-compatible address in hexadecimal', '::cb00:7114/128', 'syntax'],
  ['IPv4 host bits', '203.0.113.20/24', 'host-bits'],
  ['IPv4 host bits in the last place', '203.0.113.21/31', 'host-bits'],
  ['IPv6 host bits', '2001:db8:1::20/64', 'host-bits'],
  ['host bits below the shortest prefix', '203.0.113.20/0', 'host-bits'],
];

const prefixCases: readonly CorpusCase[] = BAD_PREFIXES.flatMap(([name, text, what]) => [
  one(
    'schema',
    `pool: ${name}`,
    withPool({ cidr: text }),
    what === 'syntax' ? 'cidr-syntax' : 'cidr-host-bits',
  ),
  one('schema', `destination: ${name}`, withSpec({ destinationCIDRs: [text] }), 'destination-syntax'),
  one('schema', `exclusion: ${name}`, withSpec({ excludedCIDRs: [text] }), 'destination-syntax'),
]);

const bareCases: readonly CorpusCase[] = [
  one('completed', 'pool: a bare IPv4 address', withPool({ cidr: '203.0.113.20' })),
  one('completed', 'pool: a bare IPv6 address', withPool({ cidr: '2001:db8:1::20' })),
  one(
    'schema',
    'destination: a bare address',
    withSpec({ destinationCIDRs: ['10.0.0.1'] }),
    'destination-syntax',
  ),
  one('schema', 'exclusion: a bare address', withSpec({ excludedCIDRs: ['10.0.0.1'] }), 'destination-syntax'),
];

const rangeCases: readonly CorpusCase[] = [
  one('nobody', 'a range', withPool(range('203.0.113.20', '203.0.113.30'))),
  one('nobody', 'a range of one', withPool(range('203.0.113.20', '203.0.113.20'))),
  one(
    'nobody',
    'a range whose text order is not that of its addresses',
    withPool(range('203.0.113.20', '203.0.113.100')),
  ),
  one('nobody', 'a range of IPv6', withPool(range('2001:db8:1::20', '2001:db8:1::2f'))),
  one(
    'nobody',
    'a range of IPv6 over a border of groups',
    withPool(range('2001:db8:1::fffe', '2001:db8:1::1:1')),
  ),
  one(
    'nobody',
    'a range of IPv6 over a border of 2³²',
    withPool(range('2001:db8:1::ffff:fffe', '2001:db8:1::1:0:1')),
  ),
  one('schema', 'a range from the end', withPool(range('203.0.113.30', '203.0.113.20')), 'range-syntax'),
  one(
    'schema',
    'a range from the end, in text order',
    withPool(range('203.0.113.100', '203.0.113.20')),
    'range-syntax',
  ),
  one(
    'schema',
    'a range of IPv6 from the end',
    withPool(range('2001:db8:1::30', '2001:db8:1::2f')),
    'range-syntax',
  ),
  one(
    'schema',
    'a range of IPv6 from the end, in its high groups',
    withPool(range('2001:db8:1:1::', '2001:db8:1::')),
    'range-syntax',
  ),
  one('schema', 'a range of two families', withPool(range('203.0.113.20', '2001:db8:1::20')), 'range-syntax'),
  one('schema', 'a range without its end', withPool({ from: '203.0.113.20' }), 'schema'),
  one('schema', 'a range without its begin', withPool({ to: '203.0.113.20' }), 'schema'),
  one(
    'schema',
    'a range and a prefix',
    withPool({ cidr: '203.0.113.20/32', ...range('203.0.113.30', '203.0.113.31') }),
    'range-syntax',
  ),
  one(
    'schema',
    'a prefix and half a range',
    withPool({ cidr: '203.0.113.20/32', from: '203.0.113.30' }),
    'range-syntax',
  ),
  one('schema', 'an entry of nothing', withPool({}), 'schema'),
  one('schema', 'an entry that only shares', withPool({ shared: true }), 'schema'),
  one('schema', 'a range of prefixes', withPool(range('203.0.113.20/32', '203.0.113.30/32')), 'range-syntax'),
  one(
    'schema',
    'a range with a leading zero',
    withPool(range('203.0.113.020', '203.0.113.30')),
    'range-syntax',
  ),
  one('schema', 'a range in upper case', withPool(range('2001:DB8:1::20', '2001:db8:1::2f')), 'range-syntax'),
  one(
    'schema',
    'a range of IPv4-mapped addresses',
    withPool(range('::ffff:203.0.113.20', '::ffff:203.0.113.30')),
    'range-syntax',
  ),
  one(
    'schema',
    'a range of IPv4-compatible addresses',
    withPool(range('::cb00:7114', '::cb00:7115')),
    'range-syntax',
  ),
  one('schema', 'a range with a zone', withPool(range('fe80::1%eth0', 'fe80::2%eth0')), 'range-syntax'),
];

const overlapCases: readonly CorpusCase[] = [
  one('nobody', 'neighbours', withPool({ cidr: '203.0.113.16/30' }, { cidr: '203.0.113.20/30' })),
  one(
    'nobody',
    'a prefix and the range behind it',
    withPool({ cidr: '203.0.113.16/30' }, range('203.0.113.20', '203.0.113.22')),
  ),
  one('nobody', 'both families', withPool({ cidr: '203.0.113.16/30' }, { cidr: '2001:db8:1::20/124' })),
  one(
    'nobody',
    'IPv6 neighbours',
    withPool({ cidr: '2001:db8:1::20/124' }, range('2001:db8:1::30', '2001:db8:1::31')),
  ),
  one(
    'schema',
    'the same prefix twice',
    withPool({ cidr: '203.0.113.16/30' }, { cidr: '203.0.113.16/30' }),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'the same prefix twice, shared',
    withPool({ cidr: '203.0.113.16/30', shared: true }, { cidr: '203.0.113.16/30', shared: true }),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'a prefix in a prefix',
    withPool({ cidr: '203.0.113.16/28' }, { cidr: '203.0.113.20/32' }),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'a range that begins in a prefix',
    withPool({ cidr: '203.0.113.16/30' }, range('203.0.113.19', '203.0.113.25')),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'a range that ends in a prefix',
    withPool({ cidr: '203.0.113.16/30' }, range('203.0.113.12', '203.0.113.16')),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'a range around a prefix',
    withPool({ cidr: '203.0.113.16/30' }, range('203.0.113.12', '203.0.113.25')),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'a range within a prefix',
    withPool({ cidr: '203.0.113.16/28' }, range('203.0.113.18', '203.0.113.19')),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'two ranges that meet in one address',
    withPool(range('203.0.113.12', '203.0.113.16'), range('203.0.113.16', '203.0.113.18')),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'IPv6 ranges that meet',
    withPool(range('2001:db8:1::fffe', '2001:db8:1::1:1'), { cidr: '2001:db8:1::1:0/128' }),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'an IPv6 prefix around a range',
    withPool({ cidr: '2001:db8:1::80/121' }, range('2001:db8:1::fe', '2001:db8:1::ff')),
    'pool-overlap-self',
  ),
  one(
    'schema',
    'the last of many',
    withPool(...times(63, (i) => ({ cidr: `203.0.113.${i + 100}/32` })), { cidr: '203.0.113.130/32' }),
    'pool-overlap-self',
  ),
];

const SPECIAL = [
  '0.0.0.0/32',
  '127.0.0.1/32',
  '169.254.1.0/24',
  '192.0.0.8/32',
  '224.0.0.1/32',
  '240.0.0.0/32',
  '255.255.255.255/32',
  '::/128',
  '::1/128',
  '64:ff9b::/128',
  '100::1/128',
  '2001:0:1::/128',
  '2002:1::/128',
  'fe80::/120',
  'ff02::1/128',
]; // prettier-ignore
const specialCases: readonly CorpusCase[] = [
  ...SPECIAL.map((cidr) => one('schema', `special use: ${cidr}`, withPool({ cidr }), 'special-use')),
  one('schema', 'special use: a range of loopback', withPool(range('127.0.0.1', '127.0.0.9')), 'special-use'),
  one(
    'schema',
    'special use: a range that ends in multicast',
    withPool(range('223.255.255.250', '224.0.0.1')),
    'special-use',
  ),
  one(
    'schema',
    'special use: a range of link-local IPv6',
    withPool(range('fe80::1', 'fe80::5')),
    'special-use',
  ),
  one('schema', 'special use: everything', withPool({ cidr: '0.0.0.0/0' }), 'special-use'),
  one('webhook', 'a private address off every link', withPool({ cidr: '10.0.0.1/32' }), 'pool-unroutable'),
  one(
    'webhook',
    'a documentation address off every link',
    withPool({ cidr: '192.0.2.1/32' }),
    'pool-unroutable',
  ),
  one(
    'webhook',
    'a shared-space address off every link',
    withPool({ cidr: '100.64.0.1/32' }),
    'pool-unroutable',
  ),
  one(
    'webhook',
    'a unique local address off every link',
    withPool({ cidr: 'fd00::1/128' }),
    'pool-unroutable',
  ),
];

const limitCases: readonly CorpusCase[] = [
  one('nobody', '64 entries', withPool(...times(64, (i) => ({ cidr: `203.0.113.${i + 100}/32` })))),
  one('schema', '65 entries', withPool(...times(65, (i) => ({ cidr: `203.0.113.${i + 100}/32` }))), 'limits'),
  one('schema', 'no entry', withPool(), 'schema'),
  one(
    'webhook',
    '256 addresses, one of them the gateway',
    withPool({ cidr: '203.0.113.0/24' }),
    'pool-node-address',
  ),
  one('nobody', '256 addresses of IPv6 beside the gateway', withPool({ cidr: '2001:db8:1::100/120' })),
  one('webhook', '512 addresses', withPool({ cidr: '203.0.112.0/23' }), 'pool-too-large'),
  one('schema', '2,048 addresses', withPool({ cidr: '203.0.112.0/21' }), 'pool-too-large'),
  one('schema', 'a /64', withPool({ cidr: '2001:db8:1::/64' }), 'pool-too-large'),
  one('webhook', '257 addresses in a range', withPool(range('203.0.113.0', '203.0.114.0')), 'pool-too-large'),
  one('webhook', '1,024 addresses', withPool({ cidr: '203.0.112.0/22' }), 'pool-too-large'),
  one(
    'schema',
    '1,025 addresses in two entries',
    withPool({ cidr: '203.0.112.0/22' }, { cidr: '203.0.116.0/32' }),
    'pool-too-large',
  ),
  one(
    'schema',
    '1,025 addresses in a range',
    withPool(range('203.0.112.0', '203.0.116.0')),
    'pool-too-large',
  ),
  one(
    'schema',
    '1,025 addresses of IPv6',
    withPool(range('2001:db8:1::', '2001:db8:1::400')),
    'pool-too-large',
  ),
  one(
    'webhook',
    '257 addresses in two entries',
    withPool({ cidr: '203.0.113.0/24' }, { cidr: '203.0.114.0/32' }),
    'pool-too-large',
  ),
  one(
    'webhook',
    '257 addresses of IPv6',
    withPool({ cidr: '2001:db8:1::100/120' }, { cidr: '2001:db8:1::200/128' }),
    'pool-too-large',
  ),
  one(
    'webhook',
    '2³² addresses over a border of 2³²',
    withPool(range('2001:db8:1::1:1', '2001:db8:1::1:0:1')),
    'pool-too-large',
  ),
  one('nobody', '64 selectors', withSpec({ selectors: times(64, (i) => ({ matchLabels: { n: `${i}` } })) })),
  one(
    'schema',
    '65 selectors',
    withSpec({ selectors: times(65, (i) => ({ matchLabels: { n: `${i}` } })) }),
    'limits',
  ),
  one('schema', 'no selector', withSpec({ selectors: [] }), 'schema'),
  one(
    'nobody',
    '1,000 destinations and as many exclusions',
    withSpec({
      destinationCIDRs: times(1000, (i) => `10.${i >> 8}.${i & 255}.0/24`),
      excludedCIDRs: times(1000, (i) => `10.${i >> 8}.${i & 255}.0/25`),
    }),
  ),
  one(
    'schema',
    '1,001 destinations',
    withSpec({ destinationCIDRs: times(1001, (i) => `10.${i >> 8}.${i & 255}.0/24`) }),
    'limits',
  ),
  one(
    'schema',
    '1,001 exclusions',
    withSpec({ excludedCIDRs: times(1001, (i) => `10.${i >> 8}.${i & 255}.0/24`) }),
    'limits',
  ),
  one('schema', 'no destination', withSpec({ destinationCIDRs: [] }), 'destination-syntax'),
  one('nobody', 'no exclusion', withSpec({ excludedCIDRs: [] })),
  one(
    'schema',
    'a destination twice',
    withSpec({ destinationCIDRs: ['10.0.0.0/8', '10.0.0.0/8'] }),
    'destination-syntax',
  ),
  one(
    'schema',
    'an exclusion twice',
    withSpec({ excludedCIDRs: ['10.0.0.0/8', '10.0.0.0/8'] }),
    'destination-syntax',
  ),
  one(
    'nobody',
    'a destination in a destination',
    withSpec({ destinationCIDRs: ['10.0.0.0/8', '10.1.0.0/16'] }),
  ),
];

const choiceCases: readonly CorpusCase[] = [
  ...Object.entries({
    strategy: ['Distribute', 'Failover'],
    affinity: ['Pod', 'Connection'],
    failureMode: ['Closed', 'Open'],
    returnPolicy: ['Stay', 'Return'],
  }).flatMap(([field, values]) => [
    ...values.map((value) => one('nobody', `${field} ${value}`, withGateway({ [field]: value }))),
    one('schema', `${field} of another word`, withGateway({ [field]: 'Random' }), 'schema'),
    one('schema', `${field} in lower case`, withGateway({ [field]: values[0]?.toLowerCase() }), 'schema'),
    one('schema', `${field} of a number`, withGateway({ [field]: 7 }), 'schema'),
  ]),
  ...['5m', '90s', '1h30m', '1.5h', '100ms', '168h'].map((text) =>
    one('nobody', `returnAfter ${text}`, withGateway({ returnAfter: text })),
  ),
  ...['', '5', 'm', '5 m', '-5m', '5d', '5m ', '1h,5m', '1us', '١m'].map((text) =>
    one('schema', `returnAfter ${JSON.stringify(text)}`, withGateway({ returnAfter: text }), 'schema'),
  ),
  ...['169h', '10081m', '168h1ms', '999999999h'].map((text) =>
    one('schema', `returnAfter ${text}`, withGateway({ returnAfter: text }), 'limits'),
  ),
  one('schema', 'returnAfter of many parts', withGateway({ returnAfter: '1s'.repeat(17) }), 'schema'),
  one('schema', 'shared of a word', withPool({ cidr: '203.0.113.20/32', shared: 'yes' }), 'schema'),
  one('schema', 'cidr of a number', withPool({ cidr: 7 }), 'schema'),
  one('schema', 'selectors of one object', withSpec({ selectors: { matchLabels: { a: 'b' } } }), 'schema'),
  one('schema', 'an egressGateway of a list', withSpec({ egressGateway: [] }), 'schema'),
  one(
    'schema',
    'no egressGateway',
    { ...(withSpec({}) as object), spec: { selectors: [{}], destinationCIDRs: ['0.0.0.0/0'] } },
    'schema',
  ),
];

const expressions = (...matchExpressions: readonly object[]) =>
  withSpec({ selectors: [{ matchExpressions }] });
const labels = (matchLabels: object) => withSpec({ selectors: [{ matchLabels }] });
const selectorCases: readonly CorpusCase[] = [
  one('nobody', 'everything', withSpec({ selectors: [{}] })),
  one(
    'nobody',
    'the long form',
    withSpec({
      selectors: [{ podSelector: { matchLabels: { a: 'b' } }, namespaceSelector: {}, nodeSelector: {} }],
    }),
  ),
  one('nobody', 'a key with a prefix', labels({ 'example.com/app': 'a' })),
  one('nobody', 'an empty value', labels({ app: '' })),
  one('nobody', 'the longest name and value', labels({ ['a'.repeat(63)]: 'b'.repeat(63) })),
  one('nobody', '64 labels', labels(Object.fromEntries(times(64, (i) => [`k${i}`, 'v'])))),
  one(
    'nobody',
    'every operator',
    expressions(
      { key: 'a', operator: 'In', values: ['b'] },
      { key: 'c', operator: 'NotIn', values: ['d', ''] },
      { key: 'e', operator: 'Exists' },
      { key: 'f', operator: 'DoesNotExist', values: [] },
    ),
  ),
  one('schema', '65 labels', labels(Object.fromEntries(times(65, (i) => [`k${i}`, 'v']))), 'limits'),
  one(
    'schema',
    '65 requirements',
    expressions(...times(65, (i) => ({ key: `k${i}`, operator: 'Exists' }))),
    'limits',
  ),
  one(
    'schema',
    '257 values',
    expressions({ key: 'a', operator: 'In', values: times(257, (i) => `v${i}`) }),
    'limits',
  ),
  one('schema', 'In without values', expressions({ key: 'a', operator: 'In' }), 'selector-syntax'),
  one(
    'schema',
    'NotIn of no value',
    expressions({ key: 'a', operator: 'NotIn', values: [] }),
    'selector-syntax',
  ),
  one(
    'schema',
    'Exists with a value',
    expressions({ key: 'a', operator: 'Exists', values: ['b'] }),
    'selector-syntax',
  ),
  one(
    'schema',
    'DoesNotExist with a value',
    expressions({ key: 'a', operator: 'DoesNotExist', values: ['b'] }),
    'selector-syntax',
  ),
  one(
    'schema',
    'an unknown operator',
    expressions({ key: 'a', operator: 'Like', values: ['b'] }),
    'selector-syntax',
  ),
  one('schema', 'a requirement without a key', expressions({ operator: 'Exists' }), 'selector-syntax'),
  one('schema', 'a requirement without an operator', expressions({ key: 'a' }), 'selector-syntax'),
  one(
    'schema',
    'a key with a space in a requirement',
    expressions({ key: 'a b', operator: 'Exists' }),
    'selector-syntax',
  ),
  one(
    'schema',
    'a value with a slash in a requirement',
    expressions({ key: 'a', operator: 'In', values: ['b/c'] }),
    'selector-syntax',
  ),
  one('schema', 'emptied matchLabels', labels({}), 'selector-syntax'),
  one('schema', 'emptied matchExpressions', expressions(), 'selector-syntax'),
  one(
    'schema',
    'an emptied part of the long form',
    withSpec({ selectors: [{ podSelector: { matchLabels: {} } }] }),
    'selector-syntax',
  ),
  one(
    'schema',
    'an emptied nodeSelector of gateways',
    withGateway({ nodeSelector: { matchLabels: {} } }),
    'selector-syntax',
  ),
  one(
    'schema',
    'both forms at once',
    withSpec({ selectors: [{ matchLabels: { a: 'b' }, podSelector: {} }] }),
    'unknown-field',
  ),
  ...[
    '',
    ' a',
    'a b',
    '-a',
    'a-',
    '_a',
    'a/',
    '/a',
    'a/b/c',
    'Example.com/a',
    '-x.com/a',
    'x..com/a',
    'a'.repeat(64),
    `${'a'.repeat(64)}/b`,
  ].map((key) =>
    one('schema', `the label key ${JSON.stringify(key)}`, labels({ [key]: 'v' }), 'selector-syntax'),
  ),
  ...[' ', 'a b', '-a', 'a-', 'a/b', 'ä', 'a'.repeat(64)].map((value) =>
    one('schema', `the label value ${JSON.stringify(value)}`, labels({ app: value }), 'selector-syntax'),
  ),
  one('schema', 'a label value that is no text', labels({ app: true }), 'schema'),
  one(
    'webhook',
    'a key whose prefix is over 253 characters',
    labels({ [`${['a'.repeat(63), 'b'.repeat(63), 'c'.repeat(63), 'd'.repeat(62)].join('.')}/e`]: 'v' }),
    'selector-syntax',
  ),
];

const unknownCases: readonly CorpusCase[] = [
  one('schema', 'a misspelt ippools', withGateway({ ipPools: [] }), 'unknown-field'),
  one(
    'schema',
    'a misspelt destinationCIDRs',
    withSpec({ destinationCidrs: ['10.0.0.0/8'] }),
    'unknown-field',
  ),
  one('schema', 'a field of Cilium v2', withGateway({ egressIP: '203.0.113.20' }), 'unknown-field'),
  one(
    'schema',
    'a field of an entry',
    withPool({ cidr: '203.0.113.20/32', weight: 'heavy' }),
    'unknown-field',
  ),
  one(
    'schema',
    'a field of a requirement',
    expressions({ key: 'a', operator: 'Exists', value: 'b' }),
    'unknown-field',
  ),
];

const clusterCases: readonly CorpusCase[] = [
  one(
    'schema',
    'an IPv6 destination of an IPv4 pool',
    withSpec({ destinationCIDRs: ['::/0'] }),
    'family-mismatch',
  ),
  one(
    'schema',
    'an IPv4 destination of an IPv6 range',
    egressPolicy('case', [range('2001:db8:1::20', '2001:db8:1::21')]),
    'family-mismatch',
  ),
  one(
    'webhook',
    "another policy's selectors and destination",
    { ...egressPolicy('taken', A_POOL), metadata: { name: 'case' } },
    'policy-ambiguous',
  ),
  one('webhook', 'the first address of a subnet', withPool({ cidr: '203.0.113.0/32' }), 'pool-edge-address'),
  one('webhook', 'the last address of a subnet', withPool({ cidr: '203.0.113.255/32' }), 'pool-edge-address'),
  one('nobody', 'the manifest of the documentation, of the other kind', {
    ...egressPolicy('case', [{ cidr: '203.0.113.10/32' }]),
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'CiliumEgressGatewayPolicy',
  }),
  one('nobody', 'a narrowed gateway that exists', withGateway({ nodeSelector: {} })),
  one('webhook', "another policy's address", withPool({ cidr: '203.0.113.200/32' }), 'pool-overlap'),
  one('webhook', "a prefix around another policy's", withPool({ cidr: '203.0.113.192/28' }), 'pool-overlap'),
  one(
    'webhook',
    "a range into another policy's",
    withPool(range('203.0.113.190', '203.0.113.200')),
    'pool-overlap',
  ),
  one(
    'webhook',
    "another policy's entry that it does not share",
    withPool({ cidr: '203.0.113.200/30', shared: true }),
    'pool-overlap',
  ),
  one('webhook', "the gateway's own address", withPool({ cidr: '203.0.113.11/32' }), 'pool-node-address'),
  one(
    'webhook',
    "the gateway's own IPv6 address",
    withPool({ cidr: '2001:db8:1::11/128' }),
    'pool-node-address',
  ),
  one(
    'webhook',
    "a range around the gateway's own address",
    withPool(range('203.0.113.9', '203.0.113.12')),
    'pool-node-address',
  ),
  one('webhook', 'an address off every link', withPool({ cidr: '198.51.100.1/32' }), 'pool-unroutable'),
  one(
    'webhook',
    'an IPv6 address off every link',
    withPool({ cidr: '2001:db8:2::1/128' }),
    'pool-unroutable',
  ),
];

export const CORPUS: readonly CorpusCase[] = [
  ...prefixCases,
  ...bareCases,
  ...rangeCases,
  ...overlapCases,
  ...specialCases,
  ...limitCases,
  ...choiceCases,
  ...selectorCases,
  ...unknownCases,
  ...clusterCases,
];
