import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import { decideAnswering } from '../agent/answering.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';
import { planEgressIp } from './planEgressIp.ts';

const ADDRESS = makeAddress(4, 0xcb00710an);
const ALLOCATION = { blocksVersion: 0, blocks: [], resting: [] };
const A: SessionRef = { gateway: 'a', session: 1 };
const B: SessionRef = { gateway: 'b', session: 1 };

function egressIp(change: Partial<EgressIp> = {}): EgressIp {
  return {
    name: '203.0.113.10',
    uid: 'u',
    resourceVersion: '1',
    address: ADDRESS,
    policies: [],
    epoch: 1,
    order: [A],
    fence: [],
    ...ALLOCATION,
    ...change,
  };
}

const nothing = { isDead: () => false, hasReleased: () => false };
const wish = (...order: readonly SessionRef[]) => ({ owners: [], order, allocation: ALLOCATION });

describe('the next spec', () => {
  test('a new holder: a new epoch, the old holder fenced with those still in the fence', () => {
    const fenced = { gateway: 'c', session: 4 };
    expect(planEgressIp(egressIp({ fence: [fenced] }), wish(B), nothing)).toMatchObject({
      epoch: 2,
      order: [B],
      fence: [fenced, A],
    });
  });

  test('a holder that is proven dead is not fenced', () => {
    const next = planEgressIp(egressIp(), wish(B), { ...nothing, isDead: ({ gateway }) => gateway === 'a' });
    expect(next).toMatchObject({ epoch: 2, fence: [] });
  });

  test('the same gateway under a new session is a new holder', () => {
    expect(planEgressIp(egressIp(), wish({ gateway: 'a', session: 2 }), nothing).epoch).toBe(2);
  });

  test('other standbys keep the epoch; nothing new is nothing to write', () => {
    const current = egressIp();
    expect(planEgressIp(current, wish(A, B), nothing)).toMatchObject({ epoch: 1, order: [A, B] });
    expect(planEgressIp(current, wish(A), nothing)).toBe(current);
  });

  test('the fence is tidied once its entries have released', () => {
    const current = egressIp({ fence: [B] });
    expect(
      planEgressIp(current, wish(A), { ...nothing, hasReleased: (_session, epoch) => epoch === 1 }).fence,
    ).toEqual([]);
  });
});

/** One gateway's agent, with its possibly stale view of the EgressIP and of the others' statements. */
interface Agent {
  readonly session: number;
  readonly seen: EgressIp;
  readonly heard: ReadonlyMap<string, GatewayNode>;
  /** Session and epoch under which its kernel answers. */
  readonly answers: { readonly session: number; readonly epoch: number } | undefined;
  readonly frozen: boolean;
}

const NAMES = ['a', 'b', 'c'] as const;
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('move' as const), to: fc.nat(3) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('look' as const), who: fc.nat(2) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('hear' as const), who: fc.nat(2), of: fc.nat(2) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('act' as const), who: fc.nat(2) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('state' as const), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('freeze' as const), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), who: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const), who: fc.nat(2) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

/** Plays a history; returns the most that ever answered at once and whether an epoch went back. */
function play(actions: readonly Action[], options: { readonly fenced: boolean }) {
  let spec = egressIp({ order: [], epoch: 0 });
  let stated = new Map<string, GatewayNode>();
  const dead = new Set<string>();
  let agents = new Map<string, Agent>(
    NAMES.map((name) => [
      name,
      { session: 1, seen: spec, heard: new Map(), answers: undefined, frozen: false },
    ]),
  );
  let worst = 0;
  let wentBack = false;
  const isDead = ({ gateway, session }: SessionRef): boolean =>
    dead.has(`${gateway}/${session}`) || (agents.get(gateway)?.session ?? 0) > session;
  const change = (name: string, by: (agent: Agent) => Agent): void => {
    const agent = agents.get(name);
    if (agent !== undefined) agents = new Map(agents).set(name, by(agent));
  };
  const nameOf = (index: number): string => NAMES[index] ?? 'a';
  for (const step of actions) {
    switch (step.kind) {
      case 'move': {
        const name = NAMES[step.to];
        const session = name === undefined ? undefined : agents.get(name)?.session;
        const order =
          name === undefined || session === undefined || isDead({ gateway: name, session })
            ? []
            : [{ gateway: name, session }];
        const next = planEgressIp(spec, wish(...order), { isDead, hasReleased: () => false });
        wentBack ||= next.epoch < spec.epoch;
        spec = options.fenced ? next : { ...next, fence: [] };
        break;
      }
      case 'look':
        change(nameOf(step.who), (agent) => (agent.frozen ? agent : { ...agent, seen: spec }));
        break;
      case 'hear': {
        const statement = stated.get(nameOf(step.of));
        if (statement !== undefined)
          change(nameOf(step.who), (agent) =>
            agent.frozen ? agent : { ...agent, heard: new Map(agent.heard).set(nameOf(step.of), statement) },
          );
        break;
      }
      case 'act':
        change(nameOf(step.who), (agent) => (agent.frozen ? agent : act(nameOf(step.who), agent)));
        break;
      case 'state': {
        const agent = agents.get(nameOf(step.who));
        if (agent !== undefined && !agent.frozen)
          stated = new Map(stated).set(nameOf(step.who), statementBy(nameOf(step.who), agent));
        break;
      }
      case 'freeze':
        change(nameOf(step.who), (agent) => ({ ...agent, frozen: true }));
        break;
      case 'die': {
        // The verdict: by then the kernel has fallen silent, whatever the agent believes.
        const agent = agents.get(nameOf(step.who));
        if (agent !== undefined) dead.add(`${nameOf(step.who)}/${agent.session}`);
        change(nameOf(step.who), (it) => ({ ...it, answers: undefined, frozen: true }));
        break;
      }
      case 'restart':
        change(nameOf(step.who), (agent) => ({
          session: agent.session + 1,
          seen: spec,
          heard: new Map(),
          answers: undefined,
          frozen: false,
        }));
        break;
      default:
        step satisfies never;
    }
    worst = Math.max(worst, [...agents.values()].filter(({ answers }) => answers !== undefined).length);
  }
  return { worst, wentBack };
}

function act(name: string, agent: Agent): Agent {
  const rights = decideAnswering({
    node: name,
    session: agent.session,
    egressIps: [agent.seen],
    gatewayNodes: agent.heard,
  });
  const epoch = rights.get(agent.seen.name);
  return { ...agent, answers: epoch === undefined ? undefined : { session: agent.session, epoch } };
}

function statementBy(name: string, agent: Agent): GatewayNode {
  const state = agent.answers === undefined ? 'Released' : 'Answering';
  const epoch = agent.answers?.epoch ?? agent.seen.epoch;
  const statement: AddressStatement = {
    address: ADDRESS,
    state,
    epoch,
    session: agent.session,
    blocksVersion: 0,
  };
  // An agent states what its kernel holds after it acted on what it has seen.
  const acted = act(name, agent).answers === undefined || agent.answers !== undefined;
  return {
    name,
    uid: name,
    resourceVersion: '',
    session: agent.session,
    interfaces: [],
    onLink: [],
    nextHops: [],
    capacity: 1,
    dataPlaneReady: true,
    dataPlaneMessage: '',
    addresses: acted ? [statement] : [],
    demand: [],
    selected: [],
    versions: { agent: '', kernel: '', nftables: '' },
  };
}

describe('at most one gateway answers and no epoch goes back', () => {
  const histories = fc.array(action, { minLength: 40, maxLength: 120, size: 'max' });

  test('whatever moves, freezes, deaths, restarts and stale views come in whatever order', () => {
    fc.assert(
      fc.property(histories, (actions) => {
        expect(play(actions, { fenced: true })).toEqual({
          worst: expect.toSatisfy((n) => n <= 1),
          wentBack: false,
        });
      }),
      { numRuns: 3000 },
    );
  });

  test('without the fence two answerers are found', () => {
    expect(
      fc.check(
        fc.property(histories, (actions) => play(actions, { fenced: false }).worst <= 1),
        { numRuns: 3000 },
      ).failed,
    ).toBe(true);
  });
});
