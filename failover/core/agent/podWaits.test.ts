import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import { examplePlan } from '../../../test/lab/dataPlaneExample.ts';
import type { NodeDataPlane } from '../dataPlane.ts';
import { PodWaits } from './podWaits.ts';

const plan = examplePlan('worker-1');
const [, second] = plan.pods;
const stranger = { address: makeAddress(4, 9n), routes: [] };
const withPods = (...pods: NodeDataPlane['pods']): NodeDataPlane => ({ ...plan, pods });

test('a pod waits from the view that has its address to the plan in the kernel that has it', () => {
  const waits = new PodWaits();
  waits.seen([stranger], 0);
  const { pods } = plan;
  waits.seen(pods, 100);
  expect(waits.programmed(withPods(stranger), 110)).toEqual([]);
  waits.seen([...pods], 130);
  expect(waits.programmed(plan, 150)).toEqual([50, 50]);
  expect(waits.programmed(plan, 160)).toEqual([]);
});

test('it waits on while there is no port for it', () => {
  const waits = new PodWaits();
  waits.seen([], 0);
  waits.seen(plan.pods, 100);
  const addresses = plan.addresses.map((it) => ({ ...it, usable: [] }));
  expect(waits.programmed({ ...plan, addresses }, 110)).toEqual([]);
  expect(waits.programmed(plan, 300)).toEqual([200, 200]);
});

test('who was there before the agent, or before a policy, and whoever goes, waits for nothing', () => {
  const waits = new PodWaits();
  waits.seen(plan.pods, 0);
  expect(waits.programmed(plan, 10)).toEqual([]);
  const later = new PodWaits();
  later.seen([], 0);
  later.seen([stranger], 10);
  const ruled = second === undefined ? [] : [{ ...second, address: stranger.address }];
  later.seen(ruled, 20);
  expect(later.programmed(withPods(...ruled), 30)).toEqual([]);
  later.seen(plan.pods, 40);
  later.seen([], 50);
  expect(later.programmed(plan, 60)).toEqual([]);
});
