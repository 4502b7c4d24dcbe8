import { expect, test } from 'vitest';
import { examplePlan } from '../../../test/lab/dataPlaneExample.ts';
import type { KernelState } from './kernelState.ts';
import { EGRESS_FLAG, INDEX_MAX, LOCAL_FLAG, RETURN_FLAG, ROUTE_FLAG } from './marks.ts';
import { renderElements } from './renderElements.ts';
import { tunnelMac } from './tunnelMac.ts';

const NOTHING: KernelState = { elements: new Map(), chains: new Map() };
const plan = examplePlan('worker-1');
const routeRules = (state: KernelState, pod: string): readonly string[] =>
  state.chains.get((state.elements.get('inet pods')?.get(pod) ?? '').replace('goto ', '')) ?? [];

test('the mark stays clear of the bits of kube-proxy, Calico and flannel', () => {
  const foreign = 0xff0f_c000;
  expect((ROUTE_FLAG | LOCAL_FLAG | EGRESS_FLAG | RETURN_FLAG | INDEX_MAX) & foreign).toBe(0);
});

test('the MAC of a tunnel end is unicast, locally administered and made of the address', () => {
  expect(tunnelMac(plan.self.address)).toBe('02:53:cb:00:71:15');
});

test('a route is translated, refused or left alone', () => {
  const rules = routeRules(renderElements(plan, NOTHING), '10.244.21.5');
  expect(rules).toEqual([
    expect.stringMatching(/^ip daddr 198\.51\.100\.0-198\.51\.100\.255 meta mark set \d+ goto steer$/),
    'ip daddr 198.51.102.7 goto refuse',
  ]);
});

test.each([
  { name: 'without a holder', change: { holder: undefined } },
  { name: 'without a usable port', change: { usable: [] } },
  { name: 'with a holder that nobody knows', change: { holder: 'gw-9' } },
])('an address $name is refused, and left out where there is a choice', ({ change }) => {
  const addresses = plan.addresses.map((egress, index) => {
    if (index > 0) return egress;
    const { holder: _, ...rest } = { ...egress, ...change };
    return change.holder === undefined && 'holder' in change
      ? rest
      : { ...rest, holder: change.holder ?? 'gw-1' };
  });
  const state = renderElements({ ...plan, addresses }, NOTHING);
  expect(routeRules(state, '10.244.21.5')[0]).toMatch(/goto refuse$/);
  expect(routeRules(state, '10.244.21.6')).toEqual([expect.stringMatching(/^meta mark set \d+ goto steer$/)]);
});

test('pods with the same routes share one chain', () => {
  const [first] = plan.pods;
  const twin = first === undefined ? [] : [first, { ...first, address: plan.self.address }];
  expect(
    [...renderElements({ ...plan, pods: twin }, NOTHING).chains.keys()].filter((it) =>
      it.startsWith('routes'),
    ),
  ).toHaveLength(1);
});

test('overlapping and neighbouring networks become disjoint intervals', () => {
  expect([...(renderElements(plan, NOTHING).elements.get('inet direct')?.keys() ?? [])]).toEqual([
    '10.96.0.0-10.96.255.255',
    '10.244.0.0-10.244.255.255',
    '203.0.113.11-203.0.113.12',
  ]);
});
