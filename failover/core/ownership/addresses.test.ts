import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SessionRef } from '../egressIp.ts';
import {
  type AddressState,
  type AddressStep,
  type Ask,
  becomeArmed,
  becomeDisarmed,
  becomeHeard,
  becomeToldReleased,
  type Gateway,
  hearAsk,
  hearTold,
  reconcileAddress,
  SILENT,
  type Told,
} from './addresses.ts';
import type { Assignment } from './assignment.ts';
import { decideCandidacy } from './candidacy.ts';
import { becomeProven, NO_DEATHS } from './deaths.ts';
import type { Right } from './messages.ts';

const IP = '203.0.113.10';

/** `gw/3` → gateway gw, session 3. */
function session(text: string): SessionRef {
  const [gateway = '', number] = text.split('/');
  return { gateway, session: Number(number) };
}

function sessions(text: string): readonly SessionRef[] {
  return text.split(' ').filter(Boolean).map(session);
}

function assignment(epoch: number, order: string, fence = ''): Assignment {
  return { address: IP, epoch, order: sessions(order), fence: sessions(fence), blocksVersion: 1 };
}

function gatewayAs(self: string, fields: Partial<Gateway> & { readonly dead?: string } = {}): Gateway {
  const { dead = '', ...rest } = fields;
  const deaths = becomeProven(NO_DEATHS, sessions(dead));
  return { self: session(self), valid: true, closing: false, deaths, nowMs: 1000, ...rest };
}

function armed(epoch: number, index = 0): AddressState {
  return { ...SILENT, kernel: { kind: 'armed', right: { epoch, index } } };
}

/** What another gateway said of itself. */
function heard(who: string, epoch: number, index = 0): Pick<AddressState, 'heard'> {
  return { heard: { session: session(who), right: { epoch, index } } };
}

function reconcile(state: AddressState, to: Assignment | undefined, gateway: Gateway): AddressStep {
  return reconcileAddress(state, to, { gateway, name: IP });
}

function ask(fields: Partial<Omit<Ask, 'kind'>> = {}): Ask {
  const [candidate, target] = [session('b/1'), session('a/1')];
  return { kind: 'ask', candidate, target, address: IP, epoch: 4, last: true, ...fields };
}

/** What a step sends, readable: `b: released 4`, `a: ask 4 last`. */
function said({ outgoing }: AddressStep): readonly string[] {
  return outgoing.map(({ to, message }) => {
    if (message.kind === 'told') return `${to}: ${message.state} ${message.epoch}`;
    if (message.kind === 'ask') return `${to}: ask ${message.epoch}${message.last ? ' last' : ''}`;
    throw new Error(`an address sends no ${message.kind}`);
  });
}

function does(step: AddressStep): string {
  return (
    [...step.effects.map(({ kind, session: of }) => `${kind} ${of}`), ...said(step)].join(', ') || 'nothing'
  );
}

// When may it be armed?

interface ArmingCase {
  readonly name: string;
  readonly order: string;
  readonly fence?: string;
  readonly dead?: string;
  /** `session@epoch` of what was heard to be released. */
  readonly released?: string;
  readonly gateway?: Partial<Gateway>;
  readonly state?: Partial<AddressState>;
  readonly blocksVersion?: undefined;
  readonly does: string;
}

/** For session self/5 at epoch 4. */
const ARMING: readonly ArmingCase[] = [
  { name: 'the first of the order, nobody fenced', order: 'self/5', does: 'arm 5' },
  { name: 'not in the order', order: 'a/1 b/1', does: 'nothing' },
  { name: 'in the order by a former session only', order: 'self/4', does: 'nothing' },
  { name: 'in the order by a later session only', order: 'self/6', does: 'nothing' },
  { name: 'an empty order', order: '', does: 'nothing' },
  { name: 'second, the first alive', order: 'a/1 self/5', does: 'nothing' },
  { name: 'second, the first dead', order: 'a/1 self/5', dead: 'a/1', does: 'arm 5' },
  { name: 'second, a later session of the first dead', order: 'a/1 self/5', dead: 'a/2', does: 'arm 5' },
  {
    name: 'second, only a former session of the first dead',
    order: 'a/2 self/5',
    dead: 'a/1',
    does: 'nothing',
  },
  {
    name: 'second, the first has released but lives',
    order: 'a/1 self/5',
    released: 'a/1@4',
    does: 'nothing',
  },
  { name: 'third, one of two dead', order: 'a/1 b/1 self/5', dead: 'b/1', does: 'nothing' },
  { name: 'third, both dead', order: 'a/1 b/1 self/5', dead: 'a/1 b/1', does: 'arm 5' },
  { name: 'after its own former session', order: 'self/4 self/5', does: 'arm 5' },
  { name: 'one fenced, alive', order: 'self/5', fence: 'a/1', does: 'a: ask 4 last' },
  { name: 'one fenced, dead', order: 'self/5', fence: 'a/1', dead: 'a/1', does: 'arm 5' },
  {
    name: 'one fenced, released at this epoch',
    order: 'self/5',
    fence: 'a/1',
    released: 'a/1@4',
    does: 'arm 5',
  },
  { name: 'one fenced, released later', order: 'self/5', fence: 'a/1', released: 'a/1@9', does: 'arm 5' },
  {
    name: 'one fenced, released before',
    order: 'self/5',
    fence: 'a/1',
    released: 'a/1@3',
    does: 'a: ask 4 last',
  },
  {
    name: 'one fenced, another session of it released',
    order: 'self/5',
    fence: 'a/1',
    released: 'a/2@4',
    does: 'a: ask 4 last',
  },
  {
    name: 'two fenced, alive',
    order: 'self/5',
    fence: 'a/1 b/1',
    does: 'a: ask 4, b: ask 4',
  },
  {
    name: 'two fenced, one dead',
    order: 'self/5',
    fence: 'a/1 b/1',
    dead: 'a/1',
    does: 'b: ask 4 last',
  },
  {
    name: 'two fenced, one dead and one released',
    order: 'self/5',
    fence: 'a/1 b/1',
    dead: 'a/1',
    released: 'b/1@4',
    does: 'arm 5',
  },
  { name: 'itself fenced', order: 'self/5', fence: 'self/5', does: 'arm 5' },
  { name: 'its former session fenced', order: 'self/5', fence: 'self/3', does: 'arm 5' },
  { name: 'its later session fenced', order: 'self/5', fence: 'self/6', does: 'self: ask 4 last' },
  {
    name: 'second and one fenced: it is asked only when the first is dead',
    order: 'a/1 self/5',
    fence: 'b/1',
    does: 'nothing',
  },
  {
    name: 'second, the first dead, one fenced',
    order: 'a/1 self/5',
    fence: 'b/1',
    dead: 'a/1',
    does: 'b: ask 4 last',
  },
  { name: 'the own session not valid', order: 'self/5', gateway: { valid: false }, does: 'nothing' },
  {
    name: 'the own session not valid, one fenced',
    order: 'self/5',
    fence: 'a/1',
    gateway: { valid: false },
    does: 'nothing',
  },
  { name: 'being closed', order: 'self/5', gateway: { closing: true }, does: 'nothing' },
  {
    name: 'this epoch given up for a later one',
    order: 'self/5',
    state: { releasedEpoch: 5 },
    does: 'nothing',
  },
  {
    name: 'an earlier epoch given up for this one',
    order: 'self/5',
    state: { releasedEpoch: 4 },
    does: 'arm 5',
  },
  {
    name: 'one in no fence that was heard to answer',
    order: 'self/5',
    state: heard('a/1', 3),
    does: 'a: ask 4 last',
  },
  {
    name: 'one that was heard to answer, and died',
    order: 'self/5',
    state: heard('a/1', 3),
    dead: 'a/1',
    does: 'arm 5',
  },
  {
    name: 'one that was heard to answer, and released',
    order: 'self/5',
    state: heard('a/1', 3),
    released: 'a/1@4',
    does: 'arm 5',
  },
  {
    name: 'one that released, and was heard to answer by a later right',
    order: 'self/5',
    fence: 'a/1',
    state: heard('a/1', 7),
    released: 'a/1@4',
    does: 'a: ask 4 last',
  },
  {
    name: 'one fenced that was heard to answer is asked once',
    order: 'self/5',
    fence: 'a/1',
    state: heard('a/1', 3),
    does: 'a: ask 4 last',
  },
  {
    name: 'a former session of its own that was heard to answer',
    order: 'self/5',
    state: heard('self/4', 9),
    does: 'arm 5',
  },
  { name: 'its ports not in the kernel yet', order: 'self/5', blocksVersion: undefined, does: 'nothing' },
];

test.each(ARMING)(
  '$name',
  ({ order, fence, dead, released = '', gateway, state, does: expected, ...rest }) => {
    const told = sessions(released).map((it) => it.gateway);
    expect(told.length).toBe(released === '' ? 0 : 1);
    const [who = '', epoch] = released.split('@');
    const known = released === '' ? SILENT : becomeToldReleased(SILENT, session(who), Number(epoch));
    const base = assignment(4, order, fence);
    const to = 'blocksVersion' in rest ? { ...base, blocksVersion: undefined } : base;
    const step = reconcile(
      { ...known, ...state },
      to,
      gatewayAs('self/5', { ...gateway, ...(dead === undefined ? {} : { dead }) }),
    );
    expect(does(step)).toBe(expected);
  },
);

test.each([
  { name: 'a lower right', said: heard('a/1', 3), does: 'nothing' },
  { name: 'the same right', said: heard('a/1', 4), does: 'nothing' },
  { name: 'a higher right', said: heard('a/1', 4, 1), does: 'disarm 5' },
  { name: 'a higher right by a session that is dead', said: heard('a/1', 9), dead: 'a/1', does: 'nothing' },
])('who answers hears that another one does by $name', ({ said: word, dead = '', does: expected }) => {
  const step = reconcile({ ...armed(4), ...word }, assignment(4, 'self/5'), gatewayAs('self/5', { dead }));
  expect(does(step)).toBe(expected);
});

test('of what was heard the highest right counts, and of the same right the newest word', () => {
  const first = becomeHeard(SILENT, session('a/1'), { epoch: 4, index: 1 });
  expect(becomeHeard(first, session('b/1'), { epoch: 4, index: 0 })).toBe(first);
  expect(becomeHeard(first, session('a/1'), { epoch: 4, index: 1 })).toBe(first);
  expect(becomeHeard(first, session('b/1'), { epoch: 4, index: 1 }).heard?.session).toEqual(session('b/1'));
  expect(becomeHeard(first, session('b/1'), { epoch: 5, index: 0 }).heard?.session).toEqual(session('b/1'));
});

test('an address that is in no assignment is not armed', () => {
  expect(does(reconcile(SILENT, undefined, gatewayAs('self/5')))).toBe('nothing');
});

// What the kernel's stage makes of it.

type Stage = AddressState['kernel']['kind'];
type Situation =
  | 'a better right'
  | 'the same right'
  | 'somebody in the way'
  | 'somebody else'
  | 'unwanted'
  | 'lapsed';

const STAGES: Readonly<Record<Stage, AddressState>> = {
  silent: SILENT,
  arming: { ...SILENT, kernel: { kind: 'arming', right: { epoch: 4, index: 0 } } },
  armed: armed(4),
  disarming: { ...SILENT, kernel: { kind: 'disarming' } },
};

const SITUATIONS: Readonly<
  Record<Situation, { readonly to: Assignment | undefined; readonly valid?: boolean }>
> = {
  'a better right': { to: assignment(6, 'self/5', 'self/5') },
  'the same right': { to: assignment(4, 'self/5') },
  'somebody in the way': { to: assignment(6, 'self/5', 'self/5 a/1') },
  'somebody else': { to: assignment(6, 'a/1', 'self/5') },
  unwanted: { to: undefined },
  lapsed: { to: assignment(4, 'self/5'), valid: false },
};

/** What is done, and what the kernel's stage is then. */
const RECONCILED: Readonly<Record<Stage, Readonly<Record<Situation, string>>>> = {
  silent: {
    'a better right': 'arm 5 → arming 6.0',
    'the same right': 'arm 5 → arming 4.0',
    'somebody in the way': 'a: ask 6 last → silent',
    'somebody else': 'nothing → silent',
    unwanted: 'nothing → silent',
    lapsed: 'nothing → silent',
  },
  arming: {
    'a better right': 'nothing → arming 4.0',
    'the same right': 'nothing → arming 4.0',
    'somebody in the way': 'a: ask 6 last → arming 4.0',
    'somebody else': 'nothing → arming 4.0',
    unwanted: 'nothing → arming 4.0',
    lapsed: 'nothing → arming 4.0',
  },
  armed: {
    'a better right': 'nothing → armed 6.0',
    'the same right': 'nothing → armed 4.0',
    'somebody in the way': 'a: ask 6 last → armed 4.0',
    // It answers until it is asked, so that nobody is without an answer.
    'somebody else': 'nothing → armed 4.0',
    unwanted: 'disarm 5 → disarming',
    // The kernel falls silent by itself, and goes on if the session does.
    lapsed: 'nothing → armed 4.0',
  },
  disarming: {
    'a better right': 'nothing → disarming',
    'the same right': 'nothing → disarming',
    'somebody in the way': 'a: ask 6 last → disarming',
    'somebody else': 'nothing → disarming',
    unwanted: 'nothing → disarming',
    lapsed: 'nothing → disarming',
  },
};

function stageText({ kernel }: AddressState): string {
  return 'right' in kernel ? `${kernel.kind} ${kernel.right.epoch}.${kernel.right.index}` : kernel.kind;
}

const RECONCILE_ROWS = Object.entries(RECONCILED).flatMap(([stage, row]) =>
  Object.entries(row).map(([situation, expected]) => ({
    name: `${stage}, ${situation}`,
    state: STAGES[stage as Stage], // The keys of the tables above.
    situation: SITUATIONS[situation as Situation],
    expected,
  })),
);

test.each(RECONCILE_ROWS)('$name: $expected', ({ state, situation, expected }) => {
  const { to, valid = true } = situation;
  const step = reconcile(state, to, gatewayAs('self/5', { valid }));
  expect(`${does(step)} → ${stageText(step.state)}`).toBe(expected);
});

test('every stage of the kernel meets every situation', () => {
  expect(RECONCILE_ROWS).toHaveLength(Object.keys(STAGES).length * Object.keys(SITUATIONS).length);
});

test('a right is never exchanged for a lower one', () => {
  const lower = reconcile(armed(6, 0), assignment(4, 'self/5'), gatewayAs('self/5'));
  expect(stageText(lower.state)).toBe('armed 6.0');
  const rank = reconcile(armed(6, 0), assignment(6, 'a/1 self/5'), gatewayAs('self/5', { dead: 'a/1' }));
  expect(stageText(rank.state)).toBe('armed 6.1');
});

// Asking.

test('who is in the way is asked at once, then every 20 ms, and slowly after a second', () => {
  const to = assignment(4, 'self/5', 'a/1');
  const asked: number[] = [];
  let state = SILENT;
  for (let nowMs = 1000; nowMs < 4000; nowMs += 5) {
    const step = reconcile(state, to, gatewayAs('self/5', { nowMs }));
    if (step.outgoing.length > 0) asked.push(nowMs - 1000);
    state = step.state;
  }
  expect(asked.slice(0, 3)).toEqual([0, 20, 40]);
  expect(asked.filter((ms) => ms < 1000)).toHaveLength(50);
  expect(asked.filter((ms) => ms >= 1000)).toEqual([1000, 1500, 2000, 2500]);
});

test('when one of two lets go, the other is asked for the last word without waiting', () => {
  const to = assignment(4, 'self/5', 'a/1 b/1');
  const first = reconcile(SILENT, to, gatewayAs('self/5'));
  expect(does(first)).toBe('a: ask 4, b: ask 4');
  const told: Told = {
    kind: 'told',
    candidate: session('self/5'),
    target: session('b/1'),
    address: IP,
    epoch: 4,
    state: 'released',
  };
  const second = reconcile(hearTold(first.state, told), to, gatewayAs('self/5', { nowMs: 1001 }));
  expect(does(second)).toBe('a: ask 4 last');
});

test('one that is holding still stays in the way', () => {
  const first = reconcile(SILENT, assignment(4, 'self/5', 'a/1'), gatewayAs('self/5'));
  const told: Told = {
    kind: 'told',
    candidate: session('self/5'),
    target: session('a/1'),
    address: IP,
    epoch: 4,
    state: 'holding',
  };
  expect(hearTold(first.state, told)).toBe(first.state);
});

test('a lower release takes back no higher one', () => {
  const high = becomeToldReleased(SILENT, session('a/1'), 6);
  expect(becomeToldReleased(high, session('a/1'), 4)).toBe(high);
  expect(decideCandidacy(assignment(6, 'self/5', 'a/1'), high, gatewayAs('self/5'))?.outstanding).toEqual([]);
});

test('who loses the claim asks no more', () => {
  const asking = reconcile(SILENT, assignment(4, 'self/5', 'a/1'), gatewayAs('self/5')).state;
  expect(asking.asking).toBeDefined();
  for (const [to, gateway] of [
    [undefined, gatewayAs('self/5')],
    [assignment(5, 'b/1', 'a/1 self/5'), gatewayAs('self/5')],
    [assignment(4, 'self/5', 'a/1'), gatewayAs('self/5', { valid: false })],
    [assignment(4, 'self/5', 'a/1'), gatewayAs('self/5', { closing: true })],
  ] as const)
    expect(reconcile(asking, to, gateway).state.asking).toBeUndefined();
});

// Being asked.

interface AskedCase {
  readonly name: string;
  readonly state: AddressState;
  readonly message?: Partial<Omit<Ask, 'kind'>>;
  readonly self?: string;
  readonly does: string;
}

const ASKED: readonly AskedCase[] = [
  { name: 'silent', state: SILENT, does: 'b: released 4' },
  {
    name: 'silent, and not asked for the last word',
    state: SILENT,
    message: { last: false },
    does: 'b: released 4',
  },
  { name: 'armed by an overtaken right', state: armed(3), does: 'disarm 1' },
  { name: 'armed, others still in the way', state: armed(3), message: { last: false }, does: 'b: holding 4' },
  { name: 'armed by a right of the same epoch', state: armed(4, 1), does: 'nothing' },
  { name: 'armed by a later right', state: armed(5), does: 'nothing' },
  { name: 'arming', state: STAGES.arming, does: 'b: holding 4' },
  { name: 'disarming', state: STAGES.disarming, does: 'nothing' },
  {
    name: 'armed by a later session than the one asked',
    state: armed(3),
    self: 'a/2',
    does: 'b: released 4',
  },
  {
    name: 'asked for a session that it never opened',
    state: SILENT,
    message: { target: session('a/2') },
    does: 'nothing',
  },
];

test.each(ASKED)('asked while $name', ({ state, message, self = 'a/1', does: expected }) => {
  expect(does(hearAsk(state, ask(message), session(self)))).toBe(expected);
});

test('without a session nobody speaks for the one that ended', () => {
  expect(does(hearAsk(SILENT, ask(), undefined))).toBe('nothing');
});

test('the last word is said only when the kernel has confirmed, and to everybody who waits for it', () => {
  const self = session('a/1');
  const outcome = { address: IP, session: 1, ok: true };
  const asked = hearAsk(armed(3), ask(), self);
  expect(does(asked)).toBe('disarm 1');
  const twice = hearAsk(asked.state, ask(), self);
  const other = hearAsk(twice.state, ask({ candidate: session('c/2'), epoch: 5 }), self);
  expect([does(twice), does(other)]).toEqual(['nothing', 'nothing']);
  const failed = becomeDisarmed(other.state, { ...outcome, ok: false }, self);
  expect(does(failed)).toBe('disarm 1');
  expect(does(becomeDisarmed(failed.state, outcome, self))).toBe('b: released 4, c: released 5');
});

test('who has released arms by no right of a lower epoch any more, but by one of this epoch or a later one', () => {
  const self = session('a/1');
  for (const released of [
    hearAsk(SILENT, ask(), self).state,
    becomeDisarmed(hearAsk(armed(3), ask(), self).state, { address: IP, session: 1, ok: true }, self).state,
  ]) {
    expect(does(reconcile(released, assignment(3, 'a/1'), gatewayAs('a/1')))).toBe('nothing');
    expect(does(reconcile(released, assignment(4, 'a/1'), gatewayAs('a/1')))).toBe('arm 1');
    expect(does(reconcile(released, assignment(5, 'a/1'), gatewayAs('a/1')))).toBe('arm 1');
    // A later, lower promise takes nothing back.
    const lower = hearAsk(released, ask({ epoch: 2 }), self).state;
    expect(does(reconcile(lower, assignment(3, 'a/1'), gatewayAs('a/1')))).toBe('nothing');
  }
});

// What becomes of commands.

test('a command that failed may have taken effect: it is undone before it is tried again', () => {
  const self = session('a/1');
  const failed = becomeArmed(STAGES.arming, { address: IP, session: 1, ok: false }, self);
  expect(does(failed)).toBe('disarm 1');
  const silent = becomeDisarmed(failed.state, { address: IP, session: 1, ok: true }, self);
  expect(stageText(silent.state)).toBe('silent');
  expect(does(reconcile(silent.state, assignment(4, 'a/1'), gatewayAs('a/1')))).toBe('arm 1');
});

test('an outcome that nobody waits for changes nothing', () => {
  const outcome = { address: IP, session: 5, ok: false };
  const self = session('self/5');
  for (const [kind, state] of Object.entries(STAGES)) {
    if (kind !== 'arming')
      expect(becomeArmed(state, outcome, self)).toEqual({ state, effects: [], outgoing: [] });
    if (kind !== 'disarming')
      expect(becomeDisarmed(state, outcome, self)).toEqual({ state, effects: [], outgoing: [] });
  }
});

test('an address that is unwanted while it is being armed is disarmed as soon as it is', () => {
  const done = becomeArmed(STAGES.arming, { address: IP, session: 5, ok: true }, session('self/5'));
  expect(stageText(done.state)).toBe('armed 4.0');
  expect(does(reconcile(done.state, undefined, gatewayAs('self/5')))).toBe('disarm 5');
});

// Two gateways in a world of their own: any order of messages, losses, failing commands, any number of moves.

interface Actor {
  readonly self: SessionRef;
  state: AddressState;
  assignment: Assignment;
  /** What the kernel really does. */
  answers: boolean;
  /** Commands that it has not carried out yet. */
  readonly commands: ('arm' | 'disarm')[];
}

/** `who` is one of two; `which` picks among what is under way. */
const happening = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('move' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('read' as const), who: fc.nat(1), which: fc.nat(20) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('deliver' as const), which: fc.nat(50), keep: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), which: fc.nat(50) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('kernel' as const),
      who: fc.nat(1),
      outcome: fc.constantFrom('ok', 'ok', 'ok', 'refused', 'lost'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lapse' as const), who: fc.nat(1) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('tick' as const) }) },
);
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

class Pair {
  readonly actors: readonly [Actor, Actor];
  /** Every assignment that was ever written: each is fenced by all before it. */
  readonly written: Assignment[] = [assignment(1, 'a/1')];
  wire: { readonly to: string; readonly message: Ask | Told }[] = [];
  nowMs = 0;

  constructor() {
    const actor = (self: string): Actor => ({
      self: session(self),
      state: SILENT,
      assignment: assignment(1, 'a/1'),
      answers: false,
      commands: [],
    });
    this.actors = [actor('a/1'), actor('b/1')];
    for (const it of this.actors) this.reconcile(it);
  }

  actor(who: number): Actor {
    return this.actors[who === 0 ? 0 : 1];
  }

  take(actor: Actor, step: AddressStep): void {
    actor.state = step.state;
    actor.commands.push(...step.effects.map(({ kind }) => kind));
    for (const { to, message } of step.outgoing)
      if (message.kind === 'ask' || message.kind === 'told') this.wire.push({ to, message });
  }

  reconcile(actor: Actor, valid = true): void {
    const gateway = { self: actor.self, valid, closing: false, deaths: NO_DEATHS, nowMs: this.nowMs };
    this.take(actor, reconcile(actor.state, actor.assignment, gateway));
  }

  happen(it: Happening): void {
    switch (it.kind) {
      case 'move': {
        const last = this.written.at(-1);
        const to = last?.order[0]?.gateway === 'a' ? 'b/1' : 'a/1';
        this.written.push(assignment((last?.epoch ?? 0) + 1, to, 'a/1 b/1'));
        return;
      }
      case 'read': {
        // A watch may lag, and never goes back.
        const actor = this.actor(it.who);
        const later = this.written.filter(({ epoch }) => epoch >= actor.assignment.epoch);
        actor.assignment = later[it.which % later.length] ?? actor.assignment;
        return this.reconcile(actor);
      }
      case 'deliver': {
        const packet = this.wire[it.which % Math.max(1, this.wire.length)];
        if (packet === undefined) return;
        if (!it.keep) this.wire = this.wire.filter((other) => other !== packet);
        return this.hear(packet.to === 'a' ? this.actors[0] : this.actors[1], packet.message);
      }
      case 'lose':
        this.wire = this.wire.filter((_, index) => index !== it.which % this.wire.length);
        return;
      case 'kernel':
        return this.carryOut(this.actor(it.who), it.outcome);
      case 'lapse':
        return this.reconcile(this.actor(it.who), false);
      case 'tick':
        this.nowMs += 10;
        for (const actor of this.actors) this.reconcile(actor);
        return;
      default:
        it satisfies never;
    }
  }

  hear(actor: Actor, message: Ask | Told): void {
    if (message.kind === 'ask') this.take(actor, hearAsk(actor.state, message, actor.self));
    else actor.state = hearTold(actor.state, message);
    this.reconcile(actor);
  }

  /** `lost`: it took effect, and the outcome said otherwise. */
  carryOut(actor: Actor, outcome: string): void {
    const command = actor.commands.shift();
    if (command === undefined) return;
    if (outcome !== 'refused') actor.answers = command === 'arm';
    const done = { address: IP, session: actor.self.session, ok: outcome === 'ok' };
    const change = command === 'arm' ? becomeArmed : becomeDisarmed;
    this.take(actor, change(actor.state, done, actor.self));
    this.reconcile(actor);
  }
}

test('two gateways never answer at once, whatever is lost, late, repeated or fails', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 150, size: 'max' }), (history) => {
      const pair = new Pair();
      for (const it of history) {
        pair.happen(it);
        expect(pair.actors.every(({ answers }) => answers)).toBe(false);
      }
    }),
    { numRuns: 1000 },
  );
});

test('and once nothing is lost any more, the gateway of the last move answers, by its right', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 100, size: 'max' }), (history) => {
      const pair = new Pair();
      for (const it of history) pair.happen(it);
      for (let round = 0; round < 200; round += 1) {
        for (const who of [0, 1]) {
          pair.happen({ kind: 'read', who, which: pair.written.length });
          pair.happen({ kind: 'kernel', who, outcome: 'ok' });
        }
        for (const who of [0, 1]) {
          const actor = pair.actor(who);
          actor.assignment = pair.written.at(-1) ?? actor.assignment;
        }
        for (const { to, message } of pair.wire.splice(0)) pair.hear(pair.actor(to === 'a' ? 0 : 1), message);
        pair.nowMs += 100;
        pair.happen({ kind: 'tick' });
      }
      const last = pair.written.at(-1);
      const holder = last?.order[0]?.gateway;
      expect(pair.actors.filter(({ answers }) => answers).map(({ self }) => self.gateway)).toEqual([holder]);
      const right: Right = { epoch: last?.epoch ?? 0, index: 0 };
      expect(pair.actor(holder === 'a' ? 0 : 1).state.kernel).toEqual({ kind: 'armed', right });
    }),
    { numRuns: 200 },
  );
});
