import { describe, expect, test } from 'vitest';
import type { NodeFacts } from '../../../policy/model.ts';
import { GATEWAY_LABEL } from '../../../policy/names.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';
import { observeLease } from './sessions.ts';
import { followFitness, gatewaysOf, type LeaveReason, whyLeaves } from './standing.ts';

function viewOf(
  facts: Partial<NodeFacts> = {},
  said: Partial<GatewayNode> = {},
  session = 1,
): ControllerView {
  const labels = { [GATEWAY_LABEL]: '' };
  const node = {
    name: 'gw-1',
    labels,
    addresses: [],
    podCidrs: [],
    unschedulable: false,
    drained: false,
    taints: [],
  };
  const lease = { gateway: 'gw-1', session, holding: true, durationMs: 3000, version: `${session}` };
  return {
    policies: [],
    nodes: new Map([['gw-1', { ...node, ready: true, ...facts }]]),
    gatewayNodes: new Map([['gw-1', { ...emptyGatewayNode('gw-1'), session, capacity: 7, ...said }]]),
    egressIps: new Map(),
    sessions: observeLease(new Map(), lease, 0),
    silent: new Set(),
    voters: undefined,
    asked: new Map(),
  };
}

const tainted = (key: string, effect = 'NoSchedule') => ({ taints: [{ key, effect }] });

describe('a gateway is to leave', () => {
  test.each<{ name: string; view: ControllerView; why: LeaveReason | undefined }>([
    { name: 'when it is cordoned', view: viewOf({ unschedulable: true }), why: 'cordoned' },
    { name: 'when it is drained', view: viewOf({ drained: true }), why: 'drained' },
    { name: 'when it is unhealthy', view: viewOf({}, { healthy: false }), why: 'unhealthy' },
    {
      name: 'when it is unhealthy before all else that is said of its node',
      view: viewOf({ unschedulable: true, drained: true }, { healthy: false }),
      why: 'unhealthy',
    },
    { name: 'when its label is gone', view: viewOf({ labels: {} }), why: 'not-allowed' },
    ...[
      'ToBeDeletedByClusterAutoscaler',
      'karpenter.sh/disrupted',
      'karpenter.sh/disruption',
      'cloud.google.com/impending-node-termination',
      'node.cloudprovider.kubernetes.io/shutdown',
      'node.kubernetes.io/out-of-service',
    ].map((key) => ({
      name: `when it is tainted ${key}`,
      view: viewOf(tainted(key)),
      why: 'tainted' as const,
    })),
    ...[
      { key: 'dedicated', effect: 'NoExecute' },
      { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' },
      { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' },
      { key: 'node.kubernetes.io/disk-pressure', effect: 'NoSchedule' },
      { key: 'DeletionCandidateOfClusterAutoscaler', effect: 'PreferNoSchedule' },
      { key: 'karpenter.sh/disrupted', effect: 'PreferNoSchedule' },
    ].map(({ key, effect }) => ({
      name: `not when it is tainted ${key}:${effect}`,
      view: viewOf(tainted(key, effect)),
      why: undefined,
    })),
    { name: 'not while nothing is said', view: viewOf(), why: undefined },
    {
      name: 'not because its data plane is not ready',
      view: viewOf({}, { dataPlaneReady: false }),
      why: undefined,
    },
  ])('$name', ({ view, why }) => {
    expect(whyLeaves(view, 'gw-1')).toBe(why);
  });
});

test('a node that lost the label is a gateway while it has a session, and one without either is none', () => {
  const lost = viewOf({ labels: {} });
  expect(gatewaysOf(lost)).toMatchObject([
    { name: 'gw-1', standing: 'leaving', why: 'not-allowed', capacity: 7 },
  ]);
  expect(gatewaysOf({ ...lost, silent: new Set(['gw-1']) })).toEqual([]);
  expect(gatewaysOf(viewOf())).toMatchObject([{ standing: 'fit' }]);
});

describe('a gateway is fit since', () => {
  const since = followFitness(new Map(), viewOf(), 100);

  test.each([
    { name: 'it was seen so first', view: viewOf(), expected: 100 },
    { name: 'its new session began', view: viewOf({}, {}, 2), expected: 200 },
    { name: 'never while it is unhealthy', view: viewOf({}, { healthy: false }), expected: undefined },
    { name: 'never while it is cordoned', view: viewOf({ unschedulable: true }), expected: undefined },
    { name: 'never while it is not ready', view: viewOf({}, { dataPlaneReady: false }), expected: undefined },
    { name: 'never while it hands over', view: viewOf({}, { session: 0 }), expected: undefined },
  ])('$name', ({ view, expected }) => {
    expect(followFitness(since, view, 200).get('gw-1')?.sinceMs).toBe(expected);
  });
});
