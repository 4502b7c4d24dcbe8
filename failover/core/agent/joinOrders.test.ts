import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import { type JoinPlan, NOT_JOINING, planJoins } from './joinOrders.ts';

const SELF: SessionRef = { gateway: 'gw-2', session: 5 };
const NOBODY: ReadonlyMap<string, GatewayNode> = new Map();
const at = (gateway: string, session: number): SessionRef => ({ gateway, session });

function egressIp(order: readonly SessionRef[], name = '203.0.113.10'): EgressIp {
  return {
    name,
    uid: 'u',
    resourceVersion: '7',
    address: makeAddress(4, 0xcb00710an),
    policies: [],
    epoch: 3,
    order,
    fence: [at('gw-9', 1)],
    blocksVersion: 0,
    blocks: [],
    resting: [],
  };
}

/** What is planned at each of the moments, one after another. */
function planAt(moments: readonly number[], items: readonly EgressIp[], self: SessionRef | undefined = SELF) {
  let plan: JoinPlan = { joining: NOT_JOINING, writes: [], wakeMs: undefined };
  for (const nowMs of moments) plan = planJoins(plan.joining, items, { self, gatewayNodes: NOBODY, nowMs });
  return plan;
}

const NAMED_BEFORE = egressIp([at('gw-1', 2), at('gw-2', 4)]);

test('the controller has a second before a gateway names itself', () => {
  expect(planAt([100], [NAMED_BEFORE])).toMatchObject({ writes: [], wakeMs: 1100 });
  expect(planAt([100, 1099], [NAMED_BEFORE]).writes).toEqual([]);
  expect(planAt([100, 1100], [NAMED_BEFORE]).writes).toEqual([
    { ...NAMED_BEFORE, order: [at('gw-1', 2), at('gw-2', 4), SELF] },
  ]);
});

test('everybody keeps the place it has, and epoch, fence and version are those that were read', () => {
  const [write] = planAt([0, 1000], [NAMED_BEFORE]).writes;
  expect(write?.order.slice(0, -1)).toEqual(NAMED_BEFORE.order);
  expect(write).toMatchObject({ epoch: 3, fence: NAMED_BEFORE.fence, resourceVersion: '7' });
});

test('a write that was lost is tried again after the same patience, not at once', () => {
  expect(planAt([0, 1000, 1500], [NAMED_BEFORE]).writes).toEqual([]);
  expect(planAt([0, 1000, 2000], [NAMED_BEFORE]).writes).toHaveLength(1);
});

test('once the controller has named it the waiting begins anew for the next session', () => {
  const named = egressIp([...NAMED_BEFORE.order, SELF]);
  const first = planJoins(NOT_JOINING, [NAMED_BEFORE], { self: SELF, gatewayNodes: NOBODY, nowMs: 0 });
  const second = planJoins(first.joining, [named], { self: SELF, gatewayNodes: NOBODY, nowMs: 500 });
  expect(second).toMatchObject({ writes: [], wakeMs: undefined });
  const next = { ...SELF, session: 6 };
  expect(
    planJoins(second.joining, [named], { self: next, gatewayNodes: NOBODY, nowMs: 1200 }).writes,
  ).toEqual([]);
});

test.each([
  { name: 'an order that never named it', order: [at('gw-1', 2)] },
  { name: 'an order that names a later session of it', order: [at('gw-2', 6)] },
  { name: 'an empty order: nobody shall answer', order: [] },
  { name: 'an order that is long already', order: Array.from({ length: 16 }, (_, it) => at('gw-2', it % 5)) },
])('$name is left alone', ({ order }) => {
  expect(planAt([0, 5000], [egressIp(order)])).toMatchObject({ writes: [], wakeMs: undefined });
});

test('an order that is older than what somebody goes on by is left to the controller', () => {
  const { address, epoch } = NAMED_BEFORE;
  const says = { address, state: 'Standby', index: 0, session: 0, blocksVersion: 0 } as const;
  const plan = (later: number) => {
    const report = { ...emptyGatewayNode('w-1'), addresses: [{ ...says, epoch: epoch + later }] };
    const known = { self: SELF, gatewayNodes: new Map([['w-1', report]]) };
    const { joining } = planJoins(NOT_JOINING, [NAMED_BEFORE], { ...known, nowMs: 0 });
    return planJoins(joining, [NAMED_BEFORE], { ...known, nowMs: 1000 });
  };
  expect(plan(0).writes).toHaveLength(1);
  expect(plan(1)).toMatchObject({ writes: [], wakeMs: undefined });
});

test('without a session there is nobody to name', () => {
  expect(
    planJoins(NOT_JOINING, [NAMED_BEFORE], { self: undefined, gatewayNodes: NOBODY, nowMs: 9000 }).writes,
  ).toEqual([]);
});

test('after an outage not all is written at once', () => {
  const many = Array.from({ length: 100 }, (_, index) => egressIp(NAMED_BEFORE.order, `ip-${index}`));
  expect(planAt([0, 1000], many).writes).toHaveLength(32);
  expect(planAt([0, 1000, 1001], many).writes).toHaveLength(32);
});
