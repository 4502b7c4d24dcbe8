import { describe, expect, test } from 'vitest';
import { GATEWAY_LABEL } from '../../../policy/names.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';
import { followMove, MOVE_REASONS, type Move, type MoveReason, whyMoved } from './moves.ts';
import { type GatewayLease, observeLease } from './sessions.ts';

const FROM = { gateway: 'gw-1', session: 4 };
const TO = { gateway: 'gw-2', session: 1 };

function viewWith(change: {
  readonly lease?: Partial<GatewayLease>;
  readonly gateway?: Partial<GatewayNode>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly unschedulable?: boolean;
  readonly silent?: boolean;
  readonly dead?: boolean;
}): ControllerView {
  const { labels = { [GATEWAY_LABEL]: '' }, unschedulable = false } = change;
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
      ['gw-1', { name: 'gw-1', labels, addresses: [], podCidrs: [], unschedulable, ready: true }],
    ]),
    gatewayNodes: new Map([
      ['gw-1', { ...emptyGatewayNode('gw-1'), session: 4, ...change.gateway }],
      ['gw-2', { ...emptyGatewayNode('gw-2'), session: 1, dead }],
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
    { name: 'after only its Lease ran out', view: viewWith({ silent: true }), reason: 'silent' },
    {
      name: 'for its data plane',
      view: viewWith({ gateway: { dataPlaneReady: false } }),
      reason: 'not-ready',
    },
    { name: 'for a cordon', view: viewWith({ unschedulable: true }), reason: 'cordoned' },
    { name: 'for a label', view: viewWith({ labels: {} }), reason: 'not-allowed' },
    { name: 'for a selector or a subnet', view: viewWith({}), reason: 'not-allowed' },
  ];

  test.each(cases)('$name: $reason', ({ view, to = TO, reason }) => {
    expect(whyMoved(FROM, to, view)).toBe(reason);
  });

  test('every reason there is has a case', () => {
    expect(new Set(cases.map(({ reason }) => reason))).toEqual(new Set(MOVE_REASONS));
  });
});

describe('a move is followed', () => {
  const move: Move = {
    from: 'gw-1',
    to: 'gw-2',
    reason: 'died',
    epoch: 8,
    detectedAtMs: 100,
    assignedAtMs: undefined,
    announcedAtMs: undefined,
  };

  test.each([
    { name: 'not yet written', epoch: 7, announced: true, expected: move },
    { name: 'written', epoch: 8, announced: false, expected: { ...move, assignedAtMs: 200 } },
    {
      name: 'answered',
      epoch: 8,
      announced: true,
      expected: { ...move, assignedAtMs: 200, announcedAtMs: 200 },
    },
    { name: 'replaced by a later one', epoch: 9, announced: true, expected: undefined },
  ])('$name', ({ epoch, announced, expected }) => {
    expect(followMove(move, { epoch, announced, wallMs: 200 })).toEqual(expected);
  });

  test('each moment is the first at which it was seen', () => {
    const done = { ...move, assignedAtMs: 150, announcedAtMs: 160 };
    expect(followMove(done, { epoch: 8, announced: false, wallMs: 200 })).toBe(done);
  });
});
