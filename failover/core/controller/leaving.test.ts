import { describe, expect, test } from 'vitest';
import type { Policy } from '../../../policy/model.ts';
import { GATEWAY_LABEL } from '../../../policy/names.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import { address, policyOf } from '../../../test/simulation/controllerWorld.ts';
import { type AddressFacts, loadOf } from './addressFacts.ts';
import type { ControllerView } from './controllerView.ts';
import { emptyEgressIp } from './emptyEgressIp.ts';
import type { Gateway } from './gatewayRank.ts';
import { decideLeaving, LEAVE_PATIENCE_MS, type LeaveTurns } from './leaving.ts';
import type { Move, MoveReason } from './moves.ts';
import { observeLease, type SessionsState } from './sessions.ts';

const NAMES = ['gw-1', 'gw-2', 'gw-3', 'gw-4'];
const NOW = { monotonicMs: 50_000, wallMs: 1_000_000 };
const OWNERS: readonly Policy[] = [policyOf('p', [])];
const CORDONED = { standing: 'leaving', why: 'cordoned' } as const;
const ILL = { standing: 'unhealthy', why: 'unhealthy' } as const;

function viewOf(silent: readonly string[]): ControllerView {
  const node = { addresses: [], podCidrs: [], unschedulable: false, drained: false, taints: [], ready: true };
  const sessions = NAMES.reduce<SessionsState>(
    (all, gateway) =>
      observeLease(all, { gateway, session: 1, holding: true, durationMs: 3000, version: '1' }, 0),
    new Map(),
  );
  return {
    policies: [],
    nodes: new Map(NAMES.map((name) => [name, { ...node, name, labels: { [GATEWAY_LABEL]: '' } }])),
    gatewayNodes: new Map(NAMES.map((name) => [name, { ...emptyGatewayNode(name), session: 1 }])),
    egressIps: new Map(),
    sessions,
    silent: new Set(silent),
    voters: undefined,
    asked: new Map(),
  };
}

function decide(
  standings: Readonly<Record<string, Partial<Gateway>>>,
  change: {
    readonly turns?: LeaveTurns;
    readonly max?: number;
    readonly move?: Partial<Move>;
    readonly silent?: readonly string[];
  } = {},
) {
  const { turns = new Map(), max = 1, move, silent = [] } = change;
  const view = viewOf(silent);
  const facts = NAMES.map((holder, at): AddressFacts => {
    const claim = { name: `ip-${at}`, address: address(at), owners: OWNERS, current: undefined };
    const order = [{ gateway: holder, session: 1 }];
    const current = { ...emptyEgressIp(claim, view, 0), order };
    const all = new Set(NAMES);
    return {
      claim: { ...claim, current },
      holder,
      settled: true,
      eligible: NAMES,
      allowed: all,
      chosen: all,
    };
  });
  const pending: Move = {
    from: 'elsewhere',
    to: 'gw-4',
    reason: 'closed',
    epoch: 1,
    noticedMs: NOW.monotonicMs - 1000,
    // The wall clock was set back by a minute meanwhile.
    detectedAtMs: NOW.wallMs + 60_000,
    assignedAtMs: undefined,
    announcedAtMs: undefined,
    ...move,
  };
  const leaving = decideLeaving(facts, {
    view,
    gateways: NAMES.map((name) => ({
      name,
      zone: 'a',
      capacity: 10,
      standing: 'fit',
      waits: false,
      ...standings[name],
    })),
    load: loadOf(facts),
    moves: move === undefined ? new Map() : new Map([['ip-9', pending]]),
    turns,
    max,
    now: NOW,
  });
  return { turns: [...leaving.turns.keys()], waiting: [...leaving.waiting], wakeMs: leaving.wakeMs };
}

const END_MS = NOW.monotonicMs + LEAVE_PATIENCE_MS;

describe('whose turn it is', () => {
  test.each([
    {
      name: 'nobody where all are fit',
      standings: {},
      expected: { turns: [], waiting: [], wakeMs: undefined },
    },
    {
      name: 'one after the other, and time alone ends a turn',
      standings: { 'gw-2': CORDONED, 'gw-1': CORDONED },
      expected: { turns: ['gw-1'], waiting: ['gw-2'], wakeMs: END_MS },
    },
    {
      name: 'the unhealthy first',
      standings: { 'gw-1': CORDONED, 'gw-2': ILL },
      expected: { turns: ['gw-2'], waiting: ['gw-1'], wakeMs: END_MS },
    },
    {
      name: 'as many as may',
      standings: { 'gw-1': CORDONED, 'gw-2': CORDONED, 'gw-3': CORDONED },
      change: { max: 2 },
      expected: { turns: ['gw-1', 'gw-2'], waiting: ['gw-3'], wakeMs: END_MS },
    },
    {
      name: 'whoever has it already keeps it',
      standings: { 'gw-1': ILL, 'gw-2': CORDONED },
      change: { turns: new Map([['gw-2', NOW.monotonicMs - 4000]]) },
      expected: { turns: ['gw-2'], waiting: ['gw-1'], wakeMs: END_MS - 4000 },
    },
    {
      name: 'beside one that is stuck',
      standings: { 'gw-1': CORDONED, 'gw-2': CORDONED },
      change: { turns: new Map([['gw-2', NOW.monotonicMs - LEAVE_PATIENCE_MS]]) },
      expected: { turns: ['gw-2', 'gw-1'], waiting: [], wakeMs: undefined },
    },
    {
      name: 'nobody where all are alike',
      standings: { 'gw-1': ILL, 'gw-2': ILL, 'gw-3': ILL, 'gw-4': ILL },
      expected: { turns: [], waiting: [], wakeMs: undefined },
    },
    {
      name: 'never the dead: who is not heard of neither leaves nor waits',
      standings: { 'gw-1': CORDONED, 'gw-2': CORDONED },
      change: { silent: ['gw-1'] },
      expected: { turns: ['gw-2'], waiting: [], wakeMs: undefined },
    },
  ])('$name', ({ standings, change, expected }) => {
    expect(decide(standings, change)).toEqual(expected);
  });

  const one = { 'gw-1': CORDONED };

  test.each<{ readonly reason: MoveReason; readonly waits: boolean }>([
    { reason: 'closed', waits: true },
    { reason: 'restarted', waits: true },
    { reason: 'died', waits: false },
    { reason: 'returned', waits: false },
  ])(
    'while an address that moved because its gateway $reason is not answered, others wait: $waits',
    ({ reason, waits }) => {
      expect(decide(one, { move: { reason } })).toEqual(
        waits
          ? { turns: [], waiting: ['gw-1'], wakeMs: END_MS - 1000 }
          : { turns: ['gw-1'], waiting: [], wakeMs: undefined },
      );
    },
  );

  test('an agent that restarted is waited for only so long, and not once its address is answered', () => {
    const late = { noticedMs: NOW.monotonicMs - LEAVE_PATIENCE_MS };
    expect(decide(one, { move: late }).turns).toEqual(['gw-1']);
    expect(decide(one, { move: { announcedAtMs: NOW.wallMs } }).turns).toEqual(['gw-1']);
  });
});
