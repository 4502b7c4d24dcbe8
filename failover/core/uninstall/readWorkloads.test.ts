import { expect, test } from 'vitest';
import { FINALIZER } from '../../../policy/names.ts';
import { CLEANUP_ARGS, heldPolicies, isRolledOut, nodesNotClear, ownLeases } from './readWorkloads.ts';

const daemonSet = (status: object) => ({
  metadata: { generation: 3 },
  status: {
    observedGeneration: 3,
    desiredNumberScheduled: 2,
    updatedNumberScheduled: 2,
    numberReady: 2,
    ...status,
  },
});

test.each([
  { name: 'all are new and ready', status: {}, rolledOut: true },
  { name: 'what was asked for was not seen yet', status: { observedGeneration: 2 }, rolledOut: false },
  { name: 'one is still the old one', status: { updatedNumberScheduled: 1 }, rolledOut: false },
  { name: 'one is not ready', status: { numberReady: 1 }, rolledOut: false },
  { name: 'a number is not given', status: { numberReady: undefined }, rolledOut: false },
  {
    name: 'there is no node to run it',
    status: { desiredNumberScheduled: 0, updatedNumberScheduled: undefined, numberReady: 0 },
    rolledOut: true,
  },
])('$name', ({ status, rolledOut }) => {
  expect(isRolledOut(daemonSet(status))).toBe(rolledOut);
});

const pod = (nodeName: string, args: readonly string[], ready: string) => ({
  spec: { nodeName, containers: [{ args }] },
  status: { conditions: [{ type: 'Ready', status: ready }] },
});

test('a node is clear when what clears it is ready, and not while its agent is', () => {
  const items = [
    pod('done', CLEANUP_ARGS, 'True'),
    pod('at-it', CLEANUP_ARGS, 'False'),
    pod('agent', ['/app/agent.js'], 'True'),
    { spec: { nodeName: 'silent' } },
    { spec: {} },
  ];
  expect(nodesNotClear({ items })).toEqual(['agent', 'at-it', 'silent']);
});

test("our finalizer alone is taken off a policy, and others' policies are left alone", () => {
  const policy = (name: string, finalizers?: readonly string[]) => ({
    metadata: { name, resourceVersion: '7', ...(finalizers === undefined ? {} : { finalizers }) },
  });
  const items = [
    policy('a', [FINALIZER, 'theirs/one']),
    policy('b', ['theirs/one']),
    policy('c'),
    policy('d', [FINALIZER]),
  ];
  expect(heldPolicies({ items })).toEqual([
    { name: 'a', resourceVersion: '7', finalizers: ['theirs/one'] },
    { name: 'd', resourceVersion: '7', finalizers: [] },
  ]);
  expect(heldPolicies(undefined)).toEqual([]);
});

test("of a namespace's Leases only ours are chosen", () => {
  const items = ['gateway-gw-1', 'sallyport-controller', 'somebody'].map((name) => ({ metadata: { name } }));
  expect(ownLeases({ items })).toEqual(['gateway-gw-1', 'sallyport-controller']);
});
