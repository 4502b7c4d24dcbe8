import { expect, test } from 'vitest';
import { examplePlan, exampleRules } from '../../../test/lab/dataPlaneExample.ts';
import { TWO_UPLINKS } from '../../../test/lab/secondUplink.ts';
import { soleUplink, UPLINKS_MAX } from '../uplinks.ts';
import { furtherGuard, isFurtherGuard, liftCommands, renderGuardRuleset } from './guardRuleset.ts';
import { leavingPongs, leavingRules } from './leavingBy.ts';
import {
  EGRESS_FLAG,
  egressMark,
  INDEX_MAX,
  LOCAL_FLAG,
  leavingBy,
  RETURN_FLAG,
  ROUTE_FLAG,
  returnMark,
  UPLINK_FLAGS,
  UPLINK_MASK,
} from './marks.ts';
import { renderElements } from './renderElements.ts';
import { OUTWARD_RULE, UPLINK_TABLES } from './staticRuleset.ts';

const NOTHING = { elements: new Map(), chains: new Map() };

test('there is a mark and a table for every uplink that there may be', () => {
  expect(UPLINK_FLAGS).toHaveLength(UPLINKS_MAX);
  expect(UPLINK_TABLES).toHaveLength(UPLINKS_MAX - 1);
  expect(new Set(UPLINK_FLAGS).size).toBe(UPLINKS_MAX);
});

test('the marks of uplinks are nothing else, and leave the egress index of a packet as it is', () => {
  const others = [0, LOCAL_FLAG, returnMark(INDEX_MAX), egressMark(1), egressMark(1) | ROUTE_FLAG];
  for (const [at, flags] of UPLINK_FLAGS.entries()) {
    if (at === 0) continue;
    for (const other of others) expect((other & UPLINK_MASK) >>> 0).not.toBe(flags);
    expect(flags & OUTWARD_RULE.mask).toBe(OUTWARD_RULE.mark);
    expect(leavingBy(egressMark(77), at) & (EGRESS_FLAG | INDEX_MAX)).toBe(egressMark(77));
  }
  expect(leavingBy(egressMark(77), 0)).toBe(egressMark(77));
});

test('a node with one uplink has no rule for others', () => {
  expect(leavingRules(soleUplink('eth0')) + leavingPongs(soleUplink('eth0'))).toBe('');
});

test('what leaves is marked by its source, smallest subnets first; the own uplink clears the mark', () => {
  const lines = leavingRules(TWO_UPLINKS).trim().split(/\n\s+/);
  expect(lines).toEqual([
    'ip6 saddr 2001:db8::/64 meta mark set 0 notrack accept',
    `ip6 saddr 2001:db8:2::/64 meta mark set ${RETURN_FLAG} notrack accept`,
    'ip saddr 203.0.113.0/24 meta mark set 0 notrack accept',
    `ip saddr 192.0.2.0/24 meta mark set ${RETURN_FLAG} notrack accept`,
  ]);
});

test('only pongs of egress IPs are marked, not those of the node itself', () => {
  for (const line of leavingPongs(TWO_UPLINKS).trim().split('\n'))
    expect(line).toMatch(/ip6? saddr @egress_ips6? icmp(?:v6)? type echo-reply ip6? saddr /);
});

test('of addresses held here the own pods leave by the uplink that it lies on; those held elsewhere by the tunnel', () => {
  const plan = examplePlan('gw-1');
  const [network] = TWO_UPLINKS[0].networks;
  if (network === undefined) throw new Error('there is no network');
  const second = [
    { device: 'eth0', networks: [] },
    { device: 'eth1', networks: [network] },
  ] as const;
  const steering = (uplinks: typeof plan.uplinks): readonly number[] =>
    [
      ...(renderElements({ ...plan, uplinks }, NOTHING)
        .elements.get('inet steering')
        ?.values() ?? []),
    ].map(Number);
  const [held = 0, elsewhere = 0] = steering(plan.uplinks);
  expect(steering(second)).toEqual([held | RETURN_FLAG, elsewhere]);
  expect(elsewhere & ROUTE_FLAG).toBe(ROUTE_FLAG);
});

test('rules differ by the uplinks, so a change of them is a change of the rules', () => {
  expect(exampleRules('gw-1', TWO_UPLINKS).fingerprint).not.toBe(exampleRules('gw-1').fingerprint);
  expect(exampleRules('gw-1', TWO_UPLINKS).layout).toBe(exampleRules('gw-1').layout);
  expect(exampleRules('gw-1', soleUplink('eth0')).text).toBe(exampleRules('gw-1').text);
});

test('a further uplink is guarded by the rules of the first, in a chain that is known by its device', () => {
  const { chain, text } = furtherGuard('eth1');
  const rules = (from: string): readonly string[] =>
    from.match(/^ {4}(?:arp|icmpv6) .* goto fence\w*$/gm) ?? [];
  const { text: first } = renderGuardRuleset('eth0', { windows: [] });
  expect(rules(text)).toHaveLength(3);
  expect(rules(text)).toEqual(rules(first));
  expect(text).toContain('hook egress device "eth1"');
  expect(chain).not.toBe(furtherGuard('eth2').chain);
  expect([isFurtherGuard(chain), isFurtherGuard('guard'), isFurtherGuard('fence')]).toEqual([
    true,
    false,
    false,
  ]);
  expect(liftCommands([chain])).toMatch(new RegExp(`delete chain netdev sallyport_guard ${chain}\\n$`));
});
