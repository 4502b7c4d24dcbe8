import { expect, test } from 'vitest';
import { parseAddress } from '../../../policy/address.ts';
import { hostCidr, makeCidr } from '../../../policy/cidr.ts';
import type { Address } from '../../../policy/model.ts';
import { examplePlan } from '../../../test/lab/dataPlaneExample.ts';
import type { NodeDataPlane } from '../dataPlane.ts';
import type { KernelState } from './kernelState.ts';
import { EGRESS_FLAG, INDEX_MAX, LOCAL_FLAG, RETURN_FLAG, ROUTE_FLAG, TRANSLATED_FLAG } from './marks.ts';
import { renderElements } from './renderElements.ts';
import { tunnelMac } from './tunnelMac.ts';

const NOTHING: KernelState = { elements: new Map(), chains: new Map() };
const plan = examplePlan('worker-1');
const rulesOf = ({ chains }: KernelState, verdict: string): readonly string[] =>
  chains.get(verdict.replace(/^(?:goto|jump) /, '')) ?? [];
const routeRules = (state: KernelState, pod: string): readonly string[] =>
  rulesOf(state, state.elements.get('inet pods')?.get(pod) ?? '');
/** Verdicts by destination. */
const verdictsIn = (rule = ''): ReadonlyMap<string, string> =>
  new Map(
    [...rule.matchAll(/([\d.-]+) : (goto \w+)/g)].map(([, range = '', verdict = '']) => [range, verdict]),
  );

test('the mark stays clear of the bits of kube-proxy, Calico and flannel', () => {
  const foreign = 0xff0f_c000;
  expect((ROUTE_FLAG | LOCAL_FLAG | EGRESS_FLAG | RETURN_FLAG | INDEX_MAX) & foreign).toBe(0);
});

test('the mark of connections stays clear of the bits that others are known to have there', () => {
  const [aws, istioAndCilium, calicoAndTailscale] = [0x80, 0xfff, 0xffff_0000];
  expect(TRANSLATED_FLAG & (aws | istioAndCilium | calicoAndTailscale)).toBe(0);
});

test('the MAC of a tunnel end is unicast, locally administered and made of the address', () => {
  expect(tunnelMac(plan.self.address)).toBe('02:53:cb:00:71:15');
});

test('a route is translated, refused or left alone, and found by one look-up', () => {
  const state = renderElements(plan, NOTHING);
  const [lookUp, ...rest] = routeRules(state, '10.244.21.5');
  expect(lookUp).toMatch(/^ip daddr vmap \{ /);
  expect(rest).toEqual(['goto unruled']);
  const verdicts = verdictsIn(lookUp);
  expect([...verdicts.keys()]).toEqual(['198.51.100.0-198.51.100.255', '198.51.102.7']);
  expect(verdicts.get('198.51.102.7')).toBe('goto refuse');
  expect(rulesOf(state, verdicts.get('198.51.100.0-198.51.100.255') ?? '')).toEqual([
    expect.stringMatching(/^jump routes_\w+$/),
    expect.stringMatching(/^meta mark set \d+ goto steer$/),
  ]);
});

test('what new connections get is one thing, and which of those before stay another', () => {
  const [first, second] = plan.addresses.map(({ address }) => address);
  const pods = plan.pods.slice(1).map((pod) => ({
    ...pod,
    routes: pod.routes.map((route) => ({
      ...route,
      action: {
        kind: 'egress' as const,
        addresses: second === undefined ? [] : [second],
        affinity: 'Pod' as const,
        keeps: [first, second].filter((it) => it !== undefined),
      },
    })),
  }));
  const state = renderElements({ ...plan, pods }, NOTHING);
  const [stay = '', fresh] = routeRules(state, '10.244.21.6');
  const marks = state.elements.get('inet egress_marks');
  const [one, other] = ['203.0.113.100', '203.0.113.101'].map((name) => marks?.get(name));
  expect(rulesOf(state, stay)).toEqual([
    `meta mark set ct reply ip daddr map { 203.0.113.100 : ${one}, 203.0.113.101 : ${other} } goto steer`,
    'ct status confirmed goto ended',
  ]);
  expect(fresh).toBe(`meta mark set ${other} goto steer`);
});

test.each([
  { name: 'without a holder', change: { holder: undefined } },
  { name: 'without a usable port', change: { usable: [] } },
  { name: 'with a holder that nobody knows', change: { holder: 'gw-9' } },
])('an address $name is refused to new connections, and left out where there is a choice', ({ change }) => {
  const addresses = plan.addresses.map((egress, index) => {
    if (index > 0) return egress;
    const { holder: _, ...rest } = { ...egress, ...change };
    return change.holder === undefined && 'holder' in change
      ? rest
      : { ...rest, holder: change.holder ?? 'gw-1' };
  });
  const state = renderElements({ ...plan, addresses }, NOTHING);
  const verdict = verdictsIn(routeRules(state, '10.244.21.5')[0]).get('198.51.100.0-198.51.100.255') ?? '';
  const [stay = '', fresh] = rulesOf(state, verdict);
  expect(fresh).toBe('goto refuse');
  expect(rulesOf(state, stay)[0]).toMatch(/^meta mark set ct reply ip daddr map \{ 203\.0\.113\.100 : /);
  expect(routeRules(state, '10.244.21.6')[1]).toMatch(/^meta mark set \d+ goto steer$/);
});

test('the granules that connections of this node may have are its own, whether or not new ones get them', () => {
  const addresses = plan.addresses.map((it) => ({ ...it, usable: [] }));
  const own = renderElements({ ...plan, addresses }, NOTHING).elements.get('inet own_ports');
  expect([...(own?.keys() ?? [])].filter((it) => it.startsWith('203.0.113.100 '))).toEqual([
    '203.0.113.100 . 1280',
    '203.0.113.100 . 1344',
  ]);
});

test('pods with the same routes share their chains', () => {
  const [first] = plan.pods;
  const one = first === undefined ? [] : [first];
  const twins = one.flatMap((it) => [it, { ...it, address: plan.self.address }]);
  const chains = (pods: NodeDataPlane['pods']) => [...renderElements({ ...plan, pods }, NOTHING).chains];
  expect(chains(twins)).toEqual(chains(one));
});

test('overlapping and neighbouring networks become disjoint intervals', () => {
  expect([...(renderElements(plan, NOTHING).elements.get('inet direct')?.keys() ?? [])]).toEqual([
    '10.96.0.0-10.96.255.255',
    '10.244.0.0-10.244.255.255',
    '203.0.113.11-203.0.113.12',
  ]);
});

const text = (it: string): Address => {
  const parsed = parseAddress(it);
  if (parsed.kind !== 'ok') throw new Error(it);
  return parsed.value;
};
const six: NodeDataPlane = {
  ...plan,
  direct: [...plan.direct, makeCidr(6, text('fd00:244::').value, 32), hostCidr(text('2001:db8::11'))],
  addresses: [
    ...plan.addresses,
    {
      address: text('2001:db8::100'),
      holder: 'gw-1',
      blocks: [{ node: 'worker-1', first: 1280, last: 1407 }],
      usable: [
        { first: 1280, last: 1343 },
        { first: 2048, last: 2111 },
      ],
    },
  ],
  pods: [
    {
      address: text('fd00:244:21::5'),
      routes: [
        { family: 6, first: 0n, last: (1n << 128n) - 1n } as const,
        { family: 4, first: 0n, last: 0xffff_ffffn } as const,
      ].map((range) => ({
        range,
        action: {
          kind: 'egress',
          addresses: ['203.0.113.100', '2001:db8::100'].map(text),
          affinity: 'Pod',
        },
      })),
    },
  ],
};

test('what is of IPv6 goes into sets and maps of its own, and shares nothing but marks', () => {
  const { elements } = renderElements(six, NOTHING);
  const of = (name: string) =>
    Object.fromEntries([...elements].find(([it]) => it === name)?.[1] ?? new Map<string, string>());
  const [mark] = Object.values(of('inet egress_marks6'));
  expect(Object.keys(of('inet egress_ips6'))).toEqual(['2001:db8::100']);
  expect(Object.values(of('inet egress_marks'))).not.toContain(mark);
  expect(Object.keys(of('inet block_ranges6'))).toEqual(['2001:db8::100 . 1280 . 1407']);
  expect(Object.keys(of('inet direct6'))).toEqual([
    '2001:db8::11',
    'fd00:244::-fd00:244:ffff:ffff:ffff:ffff:ffff:ffff',
  ]);
  expect(Object.keys(of('netdev egress_gateways6'))).toEqual(['2001:db8::100']);
  const before = renderElements(plan, NOTHING);
  for (const name of [
    'inet egress_ips',
    'inet block_ranges',
    'inet direct',
    'netdev egress_gateways',
  ] as const)
    expect(elements.get(name)).toEqual(before.elements.get(name));
});

test('a pod of IPv6 has its routes of IPv6 alone, with an address of IPv6', () => {
  const state = renderElements(six, NOTHING);
  const [chain] = [...(state.elements.get('inet pods6')?.values() ?? [])];
  const [mark] = [...(state.elements.get('inet egress_marks6')?.values() ?? [])];
  expect(state.elements.get('inet pods')).toBeUndefined();
  const [stay = '', fresh] = rulesOf(state, chain ?? '');
  expect(rulesOf(state, stay)[0]).toBe(
    `meta mark set ct reply ip6 daddr map { 2001:db8::100 : ${mark} } goto steer`,
  );
  expect(fresh).toBe(`meta mark set ${mark} goto steer`);
});

test('each range of an IPv6 address has a chain, the last gets most, and what has no ports leaves by none', () => {
  const state = renderElements(six, NOTHING);
  const mark = state.elements.get('inet egress_marks6')?.get('2001:db8::100') ?? '';
  const rules = (verdict: string): readonly string[] => state.chains.get(verdict.replace('goto ', '')) ?? [];
  const [choice = '', last] = rules(state.elements.get('inet translations')?.get(mark) ?? '');
  expect(last).toBe('counter name no_block drop');
  const chains = [...choice.matchAll(/goto (translate_\w+)/g)].map(([, name = '']) => rules(name));
  expect(chains).toEqual(
    ['1280-1343', '2048-2111', '2048-2111', '2048-2111'].map((range) => [
      `meta l4proto { tcp, udp, icmpv6, sctp } snat ip6 to [2001:db8::100]:${range}`,
      'counter name no_block drop',
    ]),
  );
});

test('over a tunnel of IPv6 the peers are those that have an address of it', () => {
  const [first, ...rest] = plan.peers;
  const self = { ...plan.self, address: text('2001:db8::21') };
  const peers = first === undefined ? [] : [{ ...first, address: text('2001:db8::11') }, ...rest];
  const { elements } = renderElements({ ...six, self, peers }, NOTHING);
  expect([...(elements.get('inet peers6')?.keys() ?? [])]).toEqual([
    expect.stringMatching(/^2001:db8::11 \. \d+$/),
  ]);
  expect(elements.get('netdev node_macs')?.size).toBe(1);
  expect(elements.get('inet peers')).toBeUndefined();
});

test('nodes whose IPv6 addresses end in the same bits have MACs of their own', () => {
  const macs = ['2001:db8:0:1::1', '2001:db8:0:2::1'].map((it) => tunnelMac(text(it)));
  expect(macs[0]).toMatch(/^02:53(?::[0-9a-f]{2}){4}$/);
  expect(new Set(macs).size).toBe(2);
});
