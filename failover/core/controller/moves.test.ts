import { describe, expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import type { NodeFacts } from '../../../policy/model.ts';
import { GATEWAY_LABEL } from '../../../policy/names.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import type { EgressIp } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';
import { followMove, MOVE_REASONS, type Move, type MoveReason, whyMoved } from './moves.ts';
import { type GatewayLease, observeLease } from './sessions.ts';

const FROM = { gateway: 'gw-1', session: 4 };
const TO = { gateway: 'gw-2', session: 1 };
const ADDRESS = makeAddress(4, 0xcb00710an);
const NODE: NodeFacts = {
  name: 'gw-1',
  labels: { [GATEWAY_LABEL]: '' },
  addresses: [],
  podCidrs: [],
  unschedulable: false,
  drained: false,
  taints: [],
  ready: true,
};
const current: EgressIp = {
  name: '203.0.113.10',
  uid: 'u',
  resourceVersion: '1',
  address: ADDRESS,
  policies: [],
  epoch: 7,
  order: [FROM, TO],
  fence: [],
  blocksVersion: 0,
  blocks: [],
  resting: [],
};
const tookOver: AddressStatement = {
  address: ADDRESS,
  state: 'Answering',
  epoch: 7,
  index: 1,
  session: 1,
  blocksVersion: 0,
};

function viewWith(change: {
  readonly lease?: Partial<GatewayLease>;
  readonly gateway?: Partial<GatewayNode>;
  readonly node?: Partial<NodeFacts>;
  readonly silent?: boolean;
  readonly dead?: boolean;
  readonly standby?: AddressStatement;
}): ControllerView {
  const lease = {
    gateway: 'gw-1',
    session: 4,
    holding: true,
    durationMs: 3000,
    version: '1',
    ...change.lease,
  };
  const dead = change.dead === true ? [FROM] : [];
  return {
    policies: [],
    nodes: new Map([
      ['gw-1', { ...NODE, ...change.node }],
      ['gw-2', { ...NODE, name: 'gw-2' }],
    ]),
    gatewayNodes: new Map([
      ['gw-1', { ...emptyGatewayNode('gw-1'), session: 4, ...change.gateway }],
      [
        'gw-2',
        {
          ...emptyGatewayNode('gw-2'),
          session: 1,
          dead,
          addresses: change.standby === undefined ? [] : [change.standby],
        },
      ],
    ]),
    egressIps: new Map(),
    sessions: observeLease(new Map(), lease, 0),
    silent: new Set(change.silent === true ? ['gw-1'] : []),
    voters: undefined,
    asked: new Map(),
  };
}

describe('why an address moved', () => {
  const cases: readonly {
    readonly name: string;
    readonly view: ControllerView;
    readonly to?: typeof TO;
    readonly reason: MoveReason;
  }[] = [
    {
      name: 'to its next session',
      view: viewWith({ lease: { session: 5 } }),
      to: { ...FROM, session: 5 },
      reason: 'restarted',
    },
    {
      name: 'while its gateway has a later session already',
      view: viewWith({ lease: { session: 5 }, gateway: { session: 5 }, dead: true }),
      reason: 'restarted',
    },
    { name: 'after its Lease was closed', view: viewWith({ lease: { holding: false } }), reason: 'closed' },
    {
      name: 'after its Lease was closed, which others call dead too',
      view: viewWith({ lease: { holding: false }, dead: true }),
      reason: 'closed',
    },
    { name: 'while its agent hands over', view: viewWith({ gateway: { session: 0 } }), reason: 'closed' },
    { name: 'after the voters called it dead', view: viewWith({ dead: true }), reason: 'died' },
    {
      name: 'after the voters called it dead and its Lease ran out',
      view: viewWith({ dead: true, silent: true }),
      reason: 'died',
    },
    {
      name: 'after a standby took over, which it does only from who is dead',
      view: viewWith({ silent: true, standby: tookOver }),
      reason: 'died',
    },
    {
      name: 'after only its Lease ran out, whatever a standby held before',
      view: viewWith({ silent: true, standby: { ...tookOver, epoch: 6 } }),
      reason: 'silent',
    },
    { name: 'after only its Lease ran out', view: viewWith({ silent: true }), reason: 'silent' },
    {
      name: 'for its data plane',
      view: viewWith({ gateway: { dataPlaneReady: false } }),
      reason: 'not-ready',
    },
    { name: 'for a cordon', view: viewWith({ node: { unschedulable: true } }), reason: 'cordoned' },
    { name: 'for its health', view: viewWith({ gateway: { healthy: false } }), reason: 'unhealthy' },
    {
      name: 'for its health, although it is cordoned too',
      view: viewWith({ gateway: { healthy: false }, node: { unschedulable: true } }),
      reason: 'unhealthy',
    },
    { name: 'for a drain', view: viewWith({ node: { drained: true } }), reason: 'drained' },
    {
      name: 'for a taint',
      view: viewWith({ node: { taints: [{ key: 'karpenter.sh/disrupted', effect: 'NoSchedule' }] } }),
      reason: 'tainted',
    },
    { name: 'for a label', view: viewWith({ node: { labels: {} } }), reason: 'not-allowed' },
    { name: 'for a selector or a subnet', view: viewWith({}), reason: 'not-allowed' },
  ];

  test.each(cases)('$name: $reason', ({ view, to = TO, reason }) => {
    expect(whyMoved(FROM, to, { view, current })).toBe(reason);
  });

  test('every reason there is has a case', () => {
    // Wished for, not found out: voluntaryMoves.test.ts.
    const wished: readonly MoveReason[] = ['returned', 'rebalanced'];
    expect(new Set([...cases.map(({ reason }) => reason), ...wished])).toEqual(new Set(MOVE_REASONS));
  });
});

describe('a move is followed', () => {
  const move: Move = {
    from: 'gw-1',
    to: 'gw-2',
    reason: 'died',
    epoch: 8,
    noticedMs: 10,
    detectedAtMs: 100,
    assignedAtMs: undefined,
    announcedAtMs: undefined,
  };

  test.each([
    { name: 'not yet written', epoch: 7, announced: true, tookOver: undefined, expected: move },
    {
      name: 'written',
      epoch: 8,
      announced: false,
      tookOver: undefined,
      expected: { ...move, assignedAtMs: 200 },
    },
    {
      name: 'answered',
      epoch: 8,
      announced: true,
      tookOver: undefined,
      expected: { ...move, assignedAtMs: 200, announcedAtMs: 200 },
    },
    { name: 'replaced by a later one', epoch: 9, announced: true, tookOver: undefined, expected: undefined },
    {
      name: 'answered by who took over, before that is written',
      epoch: 7,
      announced: true,
      tookOver: 'gw-2',
      expected: { ...move, announcedAtMs: 200 },
    },
    { name: 'answered by another standby', epoch: 7, announced: true, tookOver: 'gw-3', expected: move },
  ])('$name', ({ epoch, announced, tookOver, expected }) => {
    expect(followMove(move, { epoch, announced, tookOver, wallMs: 200 })).toEqual(expected);
  });

  test('each moment is the first at which it was seen', () => {
    const done = { ...move, assignedAtMs: 150, announcedAtMs: 160 };
    expect(followMove(done, { epoch: 8, announced: false, tookOver: undefined, wallMs: 200 })).toBe(done);
  });
});
