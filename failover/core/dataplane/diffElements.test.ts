import { expect, test } from 'vitest';
import { examplePlan } from '../../../test/lab/dataPlaneExample.ts';
import { diffElements } from './diffElements.ts';
import type { KernelState } from './kernelState.ts';
import { renderElements } from './renderElements.ts';

const NOTHING: KernelState = { elements: new Map(), chains: new Map() };
const state = renderElements(examplePlan('worker-1'), NOTHING);

test('equal states need no command', () => {
  expect(diffElements(state, renderElements(examplePlan('worker-1'), state))).toBe('');
});

test('moving an address is one deletion and one addition of one element', () => {
  const moved = renderElements(examplePlan('worker-1', 'gw-2'), state);
  expect(diffElements(state, moved)).toBe(
    [
      'delete element netdev sallyport egress_gateways { 203.0.113.100 }',
      `add element netdev sallyport egress_gateways { 203.0.113.100 : ${0xcb00710c} }`,
      '',
    ].join('\n'),
  );
});

test('chains come before what points at them and go after it', () => {
  const gone = renderElements({ ...examplePlan('worker-1'), pods: [] }, state);
  const [added, removed] = [diffElements(gone, state), diffElements(state, gone)];
  expect(added.indexOf('add chain inet sallyport routes_')).toBeLessThan(added.indexOf('sallyport pods'));
  expect(added.indexOf('add chain')).toBeGreaterThanOrEqual(0);
  expect(removed.indexOf('delete chain')).toBeGreaterThan(
    removed.indexOf('delete element inet sallyport pods'),
  );
});

test('a node that joins or leaves does not change what the indices of others mean', () => {
  const marks = (it: KernelState) =>
    new Map([...(it.elements.get('netdev node_macs') ?? [])].map(([k, v]) => [v, k]));
  const plan = examplePlan('worker-1');
  const without = renderElements({ ...plan, peers: plan.peers.slice(1) }, state);
  for (const [mac, mark] of marks(without)) expect(marks(state).get(mac)).toBe(mark);
  expect(marks(without).size).toBe(1);
  for (const [mac, mark] of marks(renderElements(plan, without))) {
    if (marks(without).has(mac)) expect(marks(without).get(mac)).toBe(mark);
  }
});
