import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import {
  type AddressState,
  type AddressStep,
  becomeArmed,
  becomeDisarmed,
  becomeToldReleased,
  hearAsk,
  hearTold,
  reconcileAddress,
  SILENT,
} from '../ownership/addresses.ts';
import { becomeProven, type Deaths, NO_DEATHS } from '../ownership/deaths.ts';
import type { Outgoing } from '../ownership/messages.ts';
import { planEgressIp } from './planEgressIp.ts';

const ADDRESS = makeAddress(4, 0xcb00710an);
const ALLOCATION = { blocksVersion: 0, blocks: [], resting: [] };
const A: SessionRef = { gateway: 'a', session: 1 };
const B: SessionRef = { gateway: 'b', session: 1 };
const C: SessionRef = { gateway: 'c', session: 1 };

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

const nothing = { isDead: () => false, hasReleased: () => false, statedAbove: () => undefined };
const wish = (...order: readonly SessionRef[]) => ({ owners: [], order, allocation: ALLOCATION });

describe('the next spec', () => {
  test('a new holder: a new epoch, the whole old order fenced with those still in the fence', () => {
    const fenced = { gateway: 'd', session: 4 };
    expect(planEgressIp(egressIp({ order: [A, B], fence: [fenced] }), wish(C), nothing)).toMatchObject({
      epoch: 2,
      order: [C],
      fence: [fenced, A, B],
    });
  });

  test('who is fenced and in the old order is fenced once', () => {
    const next = planEgressIp(egressIp({ order: [A, B], fence: [B] }), wish(C), nothing);
    expect(next.fence).toEqual([B, A]);
  });

  test('tens of thousands in the order and the fence are fenced once each, at once', {
    timeout: 2000,
  }, () => {
    const many = (from: number) =>
      Array.from({ length: 30_000 }, (_, at) => ({ gateway: `gw-${from + at}`, session: 1 }));
    const next = planEgressIp(egressIp({ order: many(0), fence: many(15_000) }), wish(), nothing);
    expect(next.fence).toHaveLength(45_000);
  });

  test.each([
    { name: 'a standby that becomes the holder', before: [A, B], after: [B, A], fence: [A] },
    { name: 'the holder alone, without its standby', before: [A, B], after: [A], fence: [B] },
    { name: 'another standby', before: [A, B], after: [A, C], fence: [B] },
    { name: 'standbys the other way round', before: [A, B, C], after: [A, C, B], fence: [B, C] },
    { name: 'a standby in between', before: [A, C], after: [A, B, C], fence: [C] },
    { name: 'nobody', before: [A, B], after: [], fence: [A, B] },
    { name: 'somebody where nobody was', before: [], after: [A], fence: [] },
  ])(
    'a new epoch for $name, and only the new holder is left out of the fence',
    ({ before, after, fence }) => {
      const next = planEgressIp(egressIp({ order: before }), wish(...after), nothing);
      expect(next).toMatchObject({ epoch: 2, order: after, fence });
    },
  );

  test('of the old order and fence those that are proven dead are not fenced', () => {
    const proofs = { ...nothing, isDead: ({ gateway }: SessionRef) => gateway !== 'b' };
    expect(planEgressIp(egressIp({ order: [A, B], fence: [C] }), wish(), proofs)).toMatchObject({
      epoch: 2,
      fence: [B],
    });
  });

  test('a release counts for the epoch at which it was stated, not for the next', () => {
    const proofs = { ...nothing, hasReleased: () => true };
    expect(planEgressIp(egressIp({ order: [A, B] }), wish(C), proofs).fence).toEqual([A, B]);
  });

  test('the same gateway under a new session is a new holder', () => {
    const next = planEgressIp(egressIp(), wish({ gateway: 'a', session: 2 }), nothing);
    expect(next).toMatchObject({ epoch: 2, fence: [A] });
  });

  test('standbys at the end keep the epoch; nothing new is nothing to write', () => {
    const current = egressIp();
    expect(planEgressIp(current, wish(A, B), nothing)).toMatchObject({
      epoch: 1,
      order: [A, B],
      fence: [],
    });
    expect(planEgressIp(current, wish(A), nothing)).toBe(current);
  });

  test('a copy older than what gateways state is followed by an epoch above that, with whoever states them fenced', () => {
    const lost = { epoch: 9, sessions: [C], isNamed: true };
    const proofs = { ...nothing, statedAbove: ({ epoch }: EgressIp) => (epoch < 9 ? lost : undefined) };
    const restored = egressIp({ epoch: 5, order: [A, B] });
    const next = planEgressIp(restored, wish(A, B), proofs);
    expect(next).toMatchObject({ epoch: 10, order: [A, B], fence: [B, C] });
    expect(planEgressIp(next, wish(A, B), proofs)).toBe(next);
    expect(planEgressIp(restored, wish(C, A), proofs)).toMatchObject({ epoch: 10, fence: [A, B] });
  });

  test('the fence is tidied once its entries have released', () => {
    const current = egressIp({ fence: [B] });
    expect(
      planEgressIp(current, wish(A), { ...nothing, hasReleased: (_session, epoch) => epoch === 1 }).fence,
    ).toEqual([]);
  });
});

/** One gateway's agent, with its possibly stale view of the EgressIP, of others' statements and of deaths. */
interface Agent {
  readonly session: number;
  readonly seen: EgressIp;
  readonly address: AddressState;
  readonly deaths: Deaths;
  readonly frozen: boolean;
}

interface Statement {
  readonly session: number;
  /** It will never answer by a right of a lower epoch. */
  readonly releasedAt: number | undefined;
}

const NAMES = ['a', 'b', 'c'] as const;
const who = fc.nat(2);
/** One of them, or all at once. */
const some = fc.constantFrom<readonly string[]>(['a'], ['b'], ['c'], NAMES);
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('move' as const),
      order: fc.shuffledSubarray([...NAMES]),
    }),
  },
  /** The holder stays, and others stand by. */
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('reorder' as const),
      order: fc.shuffledSubarray([...NAMES]),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('add' as const), standby: who }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('tidy' as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('look' as const), names: some }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('hear' as const), who, of: who }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('learn' as const), names: some }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('act' as const), names: some }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('deliver' as const), which: fc.nat(7) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('state' as const), names: some }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('freeze' as const), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), who }) },
  /** A death that everybody hears of and acts on. */
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fall' as const), who }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('restart' as const), who }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

/** What may be taken away from planning, to see that it is needed. */
const MUTATIONS: Readonly<Record<string, (next: EgressIp, before: EgressIp) => EgressIp>> = {
  'without the fence': (next) => ({ ...next, fence: [] }),
  'with only the old holder fenced': (next, before) => {
    const standbys = before.order.slice(1);
    if (next.epoch === before.epoch) return next;
    return { ...next, fence: next.fence.filter((it) => !standbys.some((other) => isSame(it, other))) };
  },
  'with the old fence forgotten': (next, before) => {
    if (next.epoch === before.epoch) return next;
    return { ...next, fence: next.fence.filter((it) => before.order.some((other) => isSame(it, other))) };
  },
  'without a new epoch where the holder stays': (next, before) => {
    const stays = next.order[0] !== undefined && isSame(next.order[0], before.order[0]);
    return stays ? { ...next, epoch: before.epoch, fence: before.fence } : next;
  },
};

function isSame(a: SessionRef, b: SessionRef | undefined): boolean {
  return a.gateway === b?.gateway && a.session === b.session;
}

/** Plays a history with the agents' own code; returns the most that ever answered at once and whether an epoch went back. */
class History {
  worst = 0;
  wentBack = false;
  #spec = egressIp({ order: [], epoch: 0 });
  readonly #agents = new Map<string, Agent>(
    NAMES.map((name) => [
      name,
      { session: 1, seen: this.#spec, address: SILENT, deaths: NO_DEATHS, frozen: false },
    ]),
  );
  readonly #stated = new Map<string, Statement>();
  readonly #dead = new Map<string, number>();
  /** May arrive in any order, more than once or never. */
  #mail: readonly Outgoing[] = [];
  readonly #mutate: (next: EgressIp, before: EgressIp) => EgressIp;

  constructor(mutate: (next: EgressIp, before: EgressIp) => EgressIp = (next) => next) {
    this.#mutate = mutate;
  }

  take(step: Action): void {
    switch (step.kind) {
      case 'move':
        this.#plan(step.order.map((name) => this.#sessionOf(name)));
        break;
      case 'reorder': {
        const [holder] = this.#spec.order;
        if (holder === undefined) break;
        const others = step.order.filter((name) => name !== holder.gateway);
        this.#plan([holder, ...others.map((name) => this.#sessionOf(name))]);
        break;
      }
      case 'add': {
        const standby = this.#sessionOf(nameOf(step.standby));
        const known = this.#spec.order.some((it) => isSame(it, standby));
        if (!known) this.#plan([...this.#spec.order, standby]);
        break;
      }
      case 'tidy':
        this.#plan(this.#spec.order);
        break;
      case 'look':
        for (const name of step.names) this.#change(name, (agent) => ({ ...agent, seen: this.#spec }));
        break;
      case 'hear':
        this.#hear(nameOf(step.who), nameOf(step.of));
        break;
      case 'learn':
        for (const name of step.names) this.#learn(name);
        break;
      case 'act':
        for (const name of step.names) this.#change(name, (agent) => this.#act(name, agent));
        break;
      case 'deliver':
        this.#deliver(step.which);
        break;
      case 'state':
        for (const name of step.names) this.#state(name);
        break;
      case 'freeze':
        this.#change(nameOf(step.who), (agent) => ({ ...agent, frozen: true }));
        break;
      case 'die':
        this.#die(nameOf(step.who));
        break;
      case 'fall':
        this.#die(nameOf(step.who));
        for (const name of NAMES) this.#learn(name);
        for (const name of NAMES) this.#change(name, (agent) => this.#act(name, agent));
        break;
      case 'restart':
        this.#restart(nameOf(step.who));
        break;
      default:
        step satisfies never;
    }
    const answering = [...this.#agents.values()].filter(({ address }) => address.kernel.kind === 'armed');
    this.worst = Math.max(this.worst, answering.length);
  }

  #sessionOf(gateway: string): SessionRef {
    return { gateway, session: this.#agents.get(gateway)?.session ?? 0 };
  }

  #isDead({ gateway, session }: SessionRef): boolean {
    return (this.#dead.get(gateway) ?? 0) >= session;
  }

  #change(name: string, by: (agent: Agent) => Agent): void {
    const agent = this.#agents.get(name);
    if (agent !== undefined && !agent.frozen) this.#agents.set(name, by(agent));
  }

  #plan(order: readonly SessionRef[]): void {
    const alive = order.filter((it) => !this.#isDead(it));
    const next = planEgressIp(this.#spec, wish(...alive), {
      isDead: (session) => this.#isDead(session),
      hasReleased: ({ gateway, session }, epoch) => {
        const statement = this.#stated.get(gateway);
        return statement?.session === session && (statement.releasedAt ?? 0) >= epoch;
      },
      statedAbove: () => undefined,
    });
    this.wentBack ||= next.epoch < this.#spec.epoch;
    this.#spec = this.#mutate(next, this.#spec);
  }

  #hear(name: string, of: string): void {
    const statement = this.#stated.get(of);
    if (statement?.releasedAt === undefined) return;
    const { session, releasedAt } = statement;
    this.#change(name, (agent) => ({
      ...agent,
      address: becomeToldReleased(agent.address, { gateway: of, session }, releasedAt),
    }));
  }

  #learn(name: string): void {
    const verdicts = [...this.#dead].map(([gateway, session]) => ({ gateway, session }));
    this.#change(name, (agent) => ({ ...agent, deaths: becomeProven(agent.deaths, verdicts) }));
  }

  #act(name: string, agent: Agent): Agent {
    const { session, deaths, seen, address } = agent;
    const self = { gateway: name, session };
    const gateway = { self, deaths, valid: true, closing: false, nowMs: 0 };
    const { name: ip, epoch, order, fence } = seen;
    const assignment = { address: ip, epoch, order, fence, blocksVersion: 0 };
    // Whatever was asked before is asked again: time stands still here.
    const asked = { ...address, asking: undefined };
    return this.#perform(agent, self, reconcileAddress(asked, assignment, { gateway, name: ip }));
  }

  #deliver(which: number): void {
    const letter = this.#mail.at(-1 - which);
    if (letter === undefined) return;
    const { to, message } = letter;
    this.#change(to, (agent) => {
      const self = { gateway: to, session: agent.session };
      if (message.kind === 'ask') return this.#perform(agent, self, hearAsk(agent.address, message, self));
      return message.kind === 'told' ? { ...agent, address: hearTold(agent.address, message) } : agent;
    });
  }

  /** Kernel commands take effect at once. */
  #perform(agent: Agent, self: SessionRef, step: AddressStep): Agent {
    this.#mail = [...this.#mail, ...step.outgoing];
    const [effect] = step.effects;
    if (effect === undefined) return { ...agent, address: step.state };
    const outcome = { address: effect.address, session: effect.session, ok: true };
    const confirm = effect.kind === 'arm' ? becomeArmed : becomeDisarmed;
    return this.#perform(agent, self, confirm(step.state, outcome, self));
  }

  /** As wordOfOwnership says it. */
  #state(name: string): void {
    const agent = this.#agents.get(name);
    if (agent === undefined || agent.frozen) return;
    const { kernel, releasedEpoch } = agent.address;
    const releasedAt = kernel.kind === 'silent' ? Math.max(agent.seen.epoch, releasedEpoch) : undefined;
    this.#stated.set(name, { session: agent.session, releasedAt });
  }

  /** The verdict: by then the kernel has fallen silent, whatever the agent believes. */
  #die(name: string): void {
    const agent = this.#agents.get(name);
    if (agent === undefined) return;
    this.#dead.set(name, agent.session);
    this.#agents.set(name, { ...agent, address: SILENT, frozen: true });
  }

  /** The kernel is flushed first, so the later session proves the death of the one before. */
  #restart(name: string): void {
    const agent = this.#agents.get(name);
    if (agent === undefined) return;
    const session = agent.session + 1;
    this.#dead.set(name, agent.session);
    this.#agents.set(name, {
      session,
      seen: this.#spec,
      address: SILENT,
      deaths: NO_DEATHS,
      frozen: false,
    });
  }
}

function nameOf(index: number): string {
  return NAMES[index] ?? 'a';
}

function play(actions: readonly Action[], history: History): History {
  for (const step of actions) history.take(step);
  return history;
}

describe('at most one gateway answers and no epoch goes back', () => {
  const histories = fc.array(action, { minLength: 40, maxLength: 160, size: 'max' });

  test('whatever moves, joins, freezes, deaths, restarts, lost words and stale views come in whatever order', () => {
    fc.assert(
      fc.property(histories, (actions) => {
        const { worst, wentBack } = play(actions, new History());
        expect({ worst, wentBack }).toEqual({ worst: expect.toSatisfy((n) => n <= 1), wentBack: false });
      }),
      { numRuns: 3000 },
    );
  });

  test.each(Object.entries(MUTATIONS).map(([name, mutate]) => ({ name, mutate })))(
    '$name two answerers are found',
    ({ mutate }) => {
      const { failed } = fc.check(
        fc.property(histories, (actions) => play(actions, new History(mutate)).worst <= 1),
        { numRuns: 30_000, endOnFailure: true },
      );
      expect(failed).toBe(true);
    },
    60_000,
  );
});
