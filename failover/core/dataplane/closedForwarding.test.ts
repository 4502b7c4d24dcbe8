import { expect, test } from 'vitest';
import { adviseOn, adviseOnStrict, findClosedChains, knowsTunnel } from './closedForwarding.ts';

const chain = (change: object = {}) => ({
  chain: {
    family: 'ip',
    table: 'filter',
    name: 'FORWARD',
    type: 'filter',
    hook: 'forward',
    prio: 0,
    policy: 'drop',
    ...change,
  },
});
const listing = (...nftables: readonly object[]) => ({ nftables: [{ metainfo: {} }, ...nftables] });
const match = (key: string, right = 'egress0', op = '==') => ({
  match: { op, left: { meta: { key } }, right },
});
const rule = (...expr: readonly object[]) => ({
  rule: { family: 'ip', table: 'filter', chain: 'FORWARD', expr },
});
const ACCEPT = { accept: null };

test.each([
  { name: 'a forward chain that drops', change: {}, found: 1 },
  { name: 'of both families', change: { family: 'inet', table: 'firewalld' }, found: 1 },
  { name: 'one that accepts', change: { policy: 'accept' }, found: 0 },
  { name: 'another hook', change: { hook: 'input' }, found: 0 },
  { name: 'ours', change: { family: 'inet', table: 'sallyport' }, found: 0 },
  { name: 'of a bridge', change: { family: 'bridge' }, found: 0 },
  { name: 'no base chain', change: { hook: undefined, policy: undefined }, found: 0 },
])('$name: $found', ({ change, found }) => {
  expect(findClosedChains(listing(chain(change)))).toHaveLength(found);
});

test.each([
  {
    name: 'both ways',
    rules: [rule(match('iifname'), ACCEPT), rule(match('oifname'), { counter: {} }, ACCEPT)],
    knows: true,
  },
  { name: 'one way', rules: [rule(match('iifname'), ACCEPT)], knows: false },
  {
    name: 'dropped',
    rules: [rule(match('iifname'), { drop: null }), rule(match('oifname'), { drop: null })],
    knows: false,
  },
  {
    name: 'another device',
    rules: [rule(match('iifname', 'eth0'), ACCEPT), rule(match('oifname', 'eth0'), ACCEPT)],
    knows: false,
  },
  {
    name: 'all but the tunnel',
    rules: [rule(match('iifname', 'egress0', '!='), ACCEPT), rule(match('oifname'), ACCEPT)],
    knows: false,
  },
  { name: 'none', rules: [], knows: false },
])('rules for the tunnel, $name: $knows', ({ rules, knows }) => {
  expect(knowsTunnel(listing(...rules))).toBe(knows);
});

test.each([
  undefined,
  null,
  'text',
  {},
  { nftables: 'x' },
  { nftables: [null, { chain: 3 }, { rule: { expr: 3 } }] },
])('a listing that is none has nothing: %j', (odd) => {
  expect(findClosedChains(odd)).toEqual([]);
  expect(knowsTunnel(odd)).toBe(false);
});

test('the advice is two commands', () => {
  expect(adviseOn([])).toBe('');
  const chains = findClosedChains(listing(chain(), chain({ family: 'ip6' })));
  expect(adviseOn(chains)).toBe(
    'the chain ip filter FORWARD (and 1 more) drops what it does not accept, and knows nothing of egress0; if it is to forward for egress IPs: nft insert rule ip filter FORWARD iifname egress0 accept; nft insert rule ip filter FORWARD oifname egress0 accept',
  );
});

test('devices with strict reverse-path filtering are named, with the command for the first', () => {
  expect(adviseOnStrict([])).toBe('');
  expect(adviseOnStrict(['eth1', 'eth2'])).toBe(
    'strict reverse-path filtering on eth1, eth2 drops answers from the outside to egress IPs there; make it loose: sysctl -w net.ipv4.conf.eth1.rp_filter=2',
  );
});
