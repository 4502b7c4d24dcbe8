import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deriveDurations } from './durations.ts';
import type { PeerMessage } from './messages.ts';
import {
  becomeAware,
  becomeConfigured,
  initialVoter,
  type VoterState,
  type VoterStep,
  voterHears,
  voterTicks,
  voterWakeMs,
} from './voter.ts';
import type { VoterConfig } from './voterConfig.ts';

const DURATIONS = deriveDurations({ heartbeatMs: 25, sessionMs: 200, promiseMs: 210 });
const { promiseMs, retractionMs, startSilenceMs } = DURATIONS;
const CONFIG: VoterConfig = { version: 3, sets: [['v', 'w', 'x']] };
const WITHOUT_V: VoterConfig = { version: 4, sets: [['u', 'w', 'x']] };
/** When the voter may speak. */
const START = startSilenceMs;

type Heartbeat = Extract<PeerMessage, { readonly kind: 'heartbeat' }>;

function heartbeat(fields: Partial<Heartbeat> = {}): Heartbeat {
  return { kind: 'heartbeat', session: 5, boot: 'b', seq: 10, configVersion: 3, closed: false, ...fields };
}

function started(): VoterState {
  return initialVoter({ node: 'v', incarnation: 'i', durations: DURATIONS, nowMs: 0 });
}

function speaking(): VoterState {
  return becomeConfigured(started(), CONFIG, 0);
}

function answerOf({ outgoing }: VoterStep): Extract<PeerMessage, { readonly kind: 'answer' }> | undefined {
  return outgoing.map(({ message }) => message).find((message) => message.kind === 'answer');
}

/** All that a voter told by itself: to whom, and what it said of the dead. */
function pushedBy({ outgoing }: VoterStep): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    outgoing.flatMap(({ to, message }) => (message.kind === 'statements' ? [[to, message.dead]] : [])),
  );
}

function hears(state: VoterState, from: string, fields: Partial<Heartbeat>, nowMs: number): VoterState {
  return voterHears(state, from, heartbeat(fields), nowMs).state;
}

/** The voter once it has nothing to repeat. */
function settled(state: VoterState): VoterState {
  return { ...state, repeatAtMs: undefined };
}

/** As another gateway makes it by waiting for everybody, and then is gone without a trace. */
function awaited(state: VoterState, nowMs: number): VoterState {
  const asked = hears(state, 'other', { session: 1, seq: 1 }, nowMs);
  const entries = new Map([...asked.entries].filter(([gateway]) => gateway !== 'other'));
  return { ...asked, entries };
}

/** What the voter would say of gw to another gateway, which waits for it. */
function statedOf(state: VoterState, nowMs: number): number {
  const asked = voterHears(state, 'other', heartbeat({ session: 1, seq: 1 }), nowMs);
  return answerOf(asked)?.dead.gw ?? 0;
}

// The life of an entry: every stage that gateway gw's session 5 can be in, at time NOW.

const NOW = START + 10_000;
const LONG_AGO = NOW - promiseMs - retractionMs - 100;

function declared(seq = 10): VoterState {
  return awaited(hears(speaking(), 'gw', { seq }, NOW - 300), NOW - 50);
}

const STAGES = {
  unknown: () => speaking(),
  named: () => becomeAware(speaking(), [{ gateway: 'gw', session: 5 }], NOW - 50),
  granting: () => hears(speaking(), 'gw', {}, NOW - 50),
  overdue: () => hears(speaking(), 'gw', {}, NOW - promiseMs),
  unheard: () => voterTicks(hears(speaking(), 'gw', {}, NOW - 300), NOW - 50).state,
  declared: () => declared(),
  retracting: () => hears(declared(9), 'gw', { seq: 10 }, NOW - 50),
  waited: () => {
    const dead = awaited(hears(speaking(), 'gw', { seq: 9 }, LONG_AGO), NOW - retractionMs);
    return hears(dead, 'gw', { seq: 10 }, NOW - retractionMs);
  },
  closed: () => hears(hears(speaking(), 'gw', {}, NOW - 50), 'gw', { seq: 11, closed: true }, NOW - 40),
} as const satisfies Readonly<Record<string, () => VoterState>>;
type Stage = keyof typeof STAGES;

const HEARTBEATS = {
  next: {},
  again: { seq: 10 },
  'of another process': { boot: 'other' },
  'of a lower session': { session: 4 },
  'of a higher session': { session: 6, seq: 1 },
  'by an older configuration': { configVersion: 2 },
  'of its closing': { closed: true },
} as const satisfies Readonly<Record<string, Partial<Heartbeat>>>;
type Heard = keyof typeof HEARTBEATS;

/**
 * Verdict; then what is stated of gw: dead up to which session, and whether session 5 is called dead later if nothing
 * more is heard (`promised` until when, counted from now; `never`: it is stated dead already or for good).
 */
type Outcome = `${string} | dead ${number} | ${string}`;

const kept = promiseMs - 50;
/** A retraction that nobody follows up: the session is called dead again a promise after the wait. */
const again = retractionMs + promiseMs;

/** Nobody waited for it until here; whoever asks what is stated of it does. */
const HEARD_AGAIN_IN_TIME: Readonly<Record<Heard | 'a tick', Outcome>> = {
  next: `granted i.0 | dead 4 | promised ${promiseMs}`,
  again: 'granted i.0 | dead 5 | never',
  'of another process': 'refused 5 | dead 5 | never',
  'of a lower session': 'refused 5 | dead 5 | never',
  'of a higher session': `granted i.0 | dead 5 | promised ${promiseMs}`,
  'by an older configuration': 'outdated | dead 5 | never',
  'of its closing': 'refused 5 | dead 5 | never',
  'a tick': 'no answer | dead 5 | never',
};

const EXPECTED: Readonly<Record<Stage, Readonly<Record<Heard | 'a tick', Outcome>>>> = {
  unknown: {
    next: `granted i.0 | dead 4 | promised ${promiseMs}`,
    again: `granted i.0 | dead 4 | promised ${promiseMs}`,
    'of another process': `granted i.0 | dead 4 | promised ${promiseMs}`,
    'of a lower session': `granted i.0 | dead 3 | promised ${promiseMs}`,
    'of a higher session': `granted i.0 | dead 5 | promised ${promiseMs}`,
    'by an older configuration': 'outdated | dead 0 | never',
    'of its closing': 'granted i.0 | dead 5 | never',
    'a tick': 'no answer | dead 0 | never',
  },
  named: {
    next: `granted i.0 | dead 4 | promised ${promiseMs}`,
    again: `granted i.0 | dead 4 | promised ${promiseMs}`,
    'of another process': `granted i.0 | dead 4 | promised ${promiseMs}`,
    'of a lower session': `refused 5 | dead 4 | promised ${kept}`,
    'of a higher session': `granted i.0 | dead 5 | promised ${promiseMs}`,
    'by an older configuration': `outdated | dead 4 | promised ${kept}`,
    'of its closing': 'refused 5 | dead 5 | never',
    'a tick': `no answer | dead 4 | promised ${kept}`,
  },
  granting: {
    next: `granted i.0 | dead 4 | promised ${promiseMs}`,
    again: `granted i.0 | dead 4 | promised ${kept}`,
    'of another process': `refused 5 | dead 4 | promised ${kept}`,
    'of a lower session': `refused 5 | dead 4 | promised ${kept}`,
    'of a higher session': `granted i.0 | dead 5 | promised ${promiseMs}`,
    'by an older configuration': `outdated | dead 4 | promised ${kept}`,
    'of its closing': 'refused 5 | dead 5 | never',
    'a tick': `no answer | dead 4 | promised ${kept}`,
  },
  overdue: HEARD_AGAIN_IN_TIME,
  unheard: HEARD_AGAIN_IN_TIME,
  declared: {
    next: `retracting | dead 4 | promised ${again}`,
    again: 'retracting | dead 5 | never',
    'of another process': 'refused 5 | dead 5 | never',
    'of a lower session': 'refused 5 | dead 5 | never',
    'of a higher session': `granted i.0 | dead 5 | promised ${promiseMs}`,
    'by an older configuration': 'outdated | dead 5 | never',
    'of its closing': 'refused 5 | dead 5 | never',
    'a tick': 'no answer | dead 5 | never',
  },
  retracting: {
    next: `retracting | dead 4 | promised ${again - 50}`,
    again: `retracting | dead 4 | promised ${again - 50}`,
    'of another process': `refused 5 | dead 4 | promised ${again - 50}`,
    'of a lower session': `refused 5 | dead 4 | promised ${again - 50}`,
    'of a higher session': `granted i.0 | dead 5 | promised ${promiseMs}`,
    'by an older configuration': `outdated | dead 4 | promised ${again - 50}`,
    'of its closing': 'refused 5 | dead 5 | never',
    'a tick': `no answer | dead 4 | promised ${again - 50}`,
  },
  waited: {
    next: `granted i.1 | dead 4 | promised ${promiseMs}`,
    again: `retracting | dead 4 | promised ${promiseMs}`,
    'of another process': `refused 5 | dead 4 | promised ${promiseMs}`,
    'of a lower session': `refused 5 | dead 4 | promised ${promiseMs}`,
    'of a higher session': `granted i.0 | dead 5 | promised ${promiseMs}`,
    'by an older configuration': `outdated | dead 4 | promised ${promiseMs}`,
    'of its closing': 'refused 5 | dead 5 | never',
    'a tick': `no answer | dead 4 | promised ${promiseMs}`,
  },
  closed: {
    next: 'refused 5 | dead 5 | never',
    again: 'refused 5 | dead 5 | never',
    'of another process': 'refused 5 | dead 5 | never',
    'of a lower session': 'refused 5 | dead 5 | never',
    'of a higher session': `granted i.0 | dead 5 | promised ${promiseMs}`,
    'by an older configuration': 'outdated | dead 5 | never',
    'of its closing': 'refused 5 | dead 5 | never',
    'a tick': 'no answer | dead 5 | never',
  },
};

function outcomeOf(stage: Stage, event: Heard | 'a tick'): string {
  const before = STAGES[stage]();
  const step =
    event === 'a tick'
      ? voterTicks(before, NOW)
      : voterHears(before, 'gw', heartbeat({ seq: 11, ...HEARTBEATS[event] }), NOW);
  const verdict = answerOf(step)?.verdict;
  const dead = statedOf(step.state, NOW);
  // What happens by time alone; the voter names the moment itself.
  const next = voterWakeMs(settled(step.state));
  const later = next === undefined ? dead : statedOf(voterTicks(step.state, next).state, next);
  const promise =
    next === undefined || later === dead ? 'never' : `promised ${Math.round((next - NOW) * 1e6) / 1e6}`;
  return `${verdictText(verdict)} | dead ${dead} | ${promise}`;
}

function verdictText(
  verdict: Extract<PeerMessage, { readonly kind: 'answer' }>['verdict'] | undefined,
): string {
  switch (verdict?.kind) {
    case undefined:
      return 'no answer';
    case 'granted':
      return `granted ${verdict.generation}`;
    case 'refused':
      return `refused ${verdict.highest}`;
    case 'retracting':
    case 'outdated':
      return verdict.kind;
    default:
      return verdict satisfies never;
  }
}

const rounded = (text: string): string =>
  text.replace(/promised (.*)/, (_, ms) => `promised ${Math.round(Number(ms) * 1e6) / 1e6}`);

const ROWS = Object.keys(STAGES).flatMap((stage) =>
  [...Object.keys(HEARTBEATS), 'a tick'].map((event) => ({
    name: `${stage} · ${event}`,
    stage: stage as Stage, // The keys of the object above.
    event: event as Heard | 'a tick',
  })),
);

test.each(ROWS)('$name', ({ stage, event }) => {
  expect(outcomeOf(stage, event)).toBe(rounded(EXPECTED[stage][event]));
});

test('every stage meets every event, and every kind of verdict is given', () => {
  expect(ROWS).toHaveLength(72);
  const outcomes = Object.values(EXPECTED).flatMap((row) => Object.values(row));
  for (const kind of ['no answer', 'granted', 'refused', 'retracting', 'outdated'])
    expect(outcomes.some((outcome) => outcome.startsWith(kind))).toBe(true);
});

test('a voter says nothing until the words of its former life have run out', () => {
  const voter = speaking();
  expect(voterHears(voter, 'gw', heartbeat(), START - 1)).toEqual({ state: voter, outgoing: [] });
  expect(voterTicks(voter, START - 1).outgoing).toEqual([]);
  expect(answerOf(voterHears(voter, 'gw', heartbeat(), START))?.verdict).toEqual({
    kind: 'granted',
    generation: 'i.0',
  });
});

test('a session that is named before the voter may speak is called dead only a promise after it may', () => {
  const voter = becomeAware(speaking(), [{ gateway: 'gw', session: 5 }], 1);
  expect(voterWakeMs(voter)).toBe(START + promiseMs);
  expect(statedOf(voter, START + promiseMs - 1)).toBe(4);
  expect(statedOf(voterTicks(voter, START + promiseMs).state, START + promiseMs)).toBe(5);
});

test('a lower session that is named later changes nothing, a higher one starts anew', () => {
  const voter = hears(speaking(), 'gw', {}, NOW);
  for (const session of [4, 5])
    expect(becomeAware(voter, [{ gateway: 'gw', session }], NOW + 1).entries).toBe(voter.entries);
  expect(statedOf(becomeAware(voter, [{ gateway: 'gw', session: 6 }], NOW + 1), NOW + 1)).toBe(5);
});

test('who is no voter, or knows no configuration, neither answers nor calls dead', () => {
  for (const voter of [started(), becomeConfigured(started(), WITHOUT_V, 0)]) {
    expect(voterHears(voter, 'gw', heartbeat({ configVersion: 4 }), NOW).outgoing).toEqual([]);
    expect(
      voterTicks(becomeAware(voter, [{ gateway: 'gw', session: 5 }], NOW), NOW + promiseMs).outgoing,
    ).toEqual([]);
    expect(voterWakeMs(voter)).toBeUndefined();
  }
});

test('who left the voters and comes back is silent until what it said has run out, and then promises anew', () => {
  const left = becomeConfigured(hears(speaking(), 'gw', {}, NOW), WITHOUT_V, NOW + 1);
  const back = becomeConfigured(left, { version: 5, sets: CONFIG.sets }, NOW + 2);
  const speaksMs = NOW + 1 + startSilenceMs;
  const beat = { seq: 11, configVersion: 5 };
  expect(answerOf(voterHears(back, 'gw', heartbeat(beat), speaksMs - 1))).toBeUndefined();
  expect(voterWakeMs(settled(back))).toBe(speaksMs + promiseMs);
  expect(answerOf(voterHears(back, 'gw', heartbeat(beat), speaksMs))?.verdict).toEqual({
    kind: 'granted',
    generation: 'i.0',
  });
});

test('a session that was called dead before its voter left is granted afterwards with another generation', () => {
  const left = becomeConfigured(declared(), WITHOUT_V, NOW);
  const back = becomeConfigured(left, { version: 5, sets: CONFIG.sets }, NOW + 5000);
  expect(statedOf(back, NOW + 5000)).toBe(4);
  const beat = heartbeat({ seq: 11, configVersion: 5 });
  expect(answerOf(voterHears(back, 'gw', beat, NOW + 5001))?.verdict).toEqual({
    kind: 'granted',
    generation: 'i.1',
  });
});

test('what a voter did not hear while it was none is held against nobody', () => {
  const none = becomeConfigured(started(), WITHOUT_V, 0);
  const named = becomeAware(none, [{ gateway: 'gw', session: 5 }], 1);
  const voter = becomeConfigured(named, { version: 5, sets: CONFIG.sets }, NOW);
  expect(voterWakeMs(voter)).toBe(NOW + promiseMs);
});

test('while it is silent again, a push that was due does not wake the voter for nothing', () => {
  const pushing = awaited(hears(speaking(), 'gw', {}, NOW), NOW + promiseMs);
  const left = becomeConfigured(pushing, WITHOUT_V, NOW + promiseMs + 1);
  const back = becomeConfigured(left, { version: 5, sets: CONFIG.sets }, NOW + promiseMs + 2);
  expect(voterWakeMs(back)).toBe(NOW + promiseMs + 1 + startSilenceMs);
});

test('an older configuration, or the same again, is not acted on', () => {
  const voter = speaking();
  expect(becomeConfigured(voter, { version: 2, sets: [['w']] }, NOW)).toBe(voter);
  expect(becomeConfigured(voter, { version: 3, sets: [['w']] }, NOW)).toBe(voter);
});

test('a heartbeat that counts by an older configuration is answered with the newest, others without', () => {
  const answer = (configVersion: number) =>
    answerOf(voterHears(speaking(), 'gw', heartbeat({ configVersion }), NOW));
  expect(answer(2)).toMatchObject({ verdict: { kind: 'outdated' }, config: CONFIG, configVersion: 3 });
  expect(answer(3)).not.toHaveProperty('config');
  // The voter is behind: it goes by what it knows and says so.
  expect(answer(4)).toMatchObject({ verdict: { kind: 'granted' }, configVersion: 3 });
});

test('an answer echoes the heartbeat that it is for', () => {
  const answer = answerOf(voterHears(speaking(), 'gw', heartbeat({ session: 7, boot: 'q', seq: 42 }), NOW));
  expect(answer?.echo).toEqual({ session: 7, boot: 'q', seq: 42 });
});

// Whose death is waited for.

/** gw was heard at NOW for the last time; waiter goes on, waiting for whom it says. */
function watchedBy(awaits: readonly string[], untilMs: number): VoterStep {
  let step: VoterStep = { state: hears(speaking(), 'gw', {}, NOW), outgoing: [] };
  for (let nowMs = NOW, seq = 1; nowMs <= untilMs; nowMs += 10, seq += 1)
    step = voterHears(step.state, 'waiter', heartbeat({ session: 1, seq, awaits }), nowMs);
  return step;
}

test('a session that falls silent is called dead as soon as its promise is over if another gateway waits for it', () => {
  expect(answerOf(watchedBy(['gw'], NOW + promiseMs - 10))?.dead.gw).toBe(4);
  expect(pushedBy(watchedBy(['gw'], NOW + promiseMs)).waiter).toMatchObject({ gw: 5 });
});

test('a session that nobody waits for is not called dead, and goes on when it is heard again', () => {
  const silent = watchedBy(['another'], NOW + 5000);
  expect(answerOf(silent)?.dead.gw).toBe(4);
  expect(pushedBy(silent)).toEqual({});
  const back = voterHears(silent.state, 'gw', heartbeat({ seq: 11 }), NOW + 5001);
  expect(answerOf(back)?.verdict).toEqual({ kind: 'granted', generation: 'i.0' });
});

test('who begins to wait for one that was long not heard is told of its death at once', () => {
  const { state } = watchedBy([], NOW + 5000);
  const asks = voterHears(state, 'waiter', heartbeat({ session: 1, seq: 9999, awaits: ['gw'] }), NOW + 5001);
  expect(answerOf(asks)?.dead.gw).toBe(5);
});

test('one that is waited for and comes a moment too late was called dead', () => {
  const { state } = watchedBy(['gw'], NOW + promiseMs - 10);
  const late = voterHears(state, 'gw', heartbeat({ seq: 11, awaits: [] }), NOW + promiseMs);
  expect(answerOf(late)?.verdict).toEqual({ kind: 'retracting' });
});

test.each([
  { name: 'is not heard itself', last: undefined },
  { name: 'is closed', last: { seq: 9998, awaits: ['gw'], closed: true } },
  { name: 'waited only in a heartbeat that was overtaken', last: { seq: 0, awaits: ['gw'] } },
])('the waiting of a gateway that $name counts for nothing', ({ last }) => {
  const { state } = watchedBy(last === undefined ? ['gw'] : [], NOW + 20);
  const said = last === undefined ? state : hears(state, 'waiter', { session: 1, ...last }, NOW + 30);
  const later = voterTicks(said, NOW + 30 + 2 * promiseMs).state;
  const back = voterHears(later, 'gw', heartbeat({ seq: 11 }), NOW + 31 + 2 * promiseMs);
  expect(answerOf(back)?.verdict.kind).toBe('granted');
});

// What a voter tells unasked.

function threeGateways(): VoterState {
  let voter = hears(speaking(), 'dying', { session: 2 }, NOW);
  voter = hears(voter, 'living', { session: 3, seq: 7 }, NOW + 100);
  voter = hears(voter, 'closed', { session: 4, closed: true }, NOW + 100);
  return settled(becomeAware(voter, [{ gateway: 'unheard', session: 1 }], NOW + 100));
}

test('a death is told to every living gateway, once more a little later, and then no more', () => {
  const declared = voterTicks(threeGateways(), NOW + promiseMs);
  const dead = { dying: 2, living: 2, closed: 4 };
  expect(pushedBy(declared)).toEqual({ living: dead });
  expect(declared.outgoing[0]?.message).toMatchObject({ echo: { session: 3, seq: 7 }, configVersion: 3 });
  const againMs = voterWakeMs(declared.state) ?? 0;
  expect(againMs).toBe(NOW + promiseMs + 20);
  expect(pushedBy(voterTicks(declared.state, againMs - 1))).toEqual({});
  const repeated = voterTicks(declared.state, againMs);
  expect(pushedBy(repeated)).toEqual({ living: dead });
  expect(pushedBy(voterTicks(repeated.state, againMs + 1))).toEqual({});
});

test.each([
  { name: 'a closing', fields: { session: 2, seq: 11, closed: true }, dead: 2 },
  { name: 'a higher session', fields: { session: 9, seq: 1 }, dead: 8 },
])('$name is told to the others at once', ({ fields, dead }) => {
  const step = voterHears(threeGateways(), 'dying', heartbeat(fields), NOW + 120);
  expect(pushedBy(step).living).toEqual({ dying: dead, living: 2, closed: 4 });
});

test('a heartbeat like any other is told to nobody', () => {
  expect(
    pushedBy(voterHears(threeGateways(), 'living', heartbeat({ session: 3, seq: 8 }), NOW + 120)),
  ).toEqual({});
});

test('of gateways that live on, and of dead ones that nobody names, nothing is said once it is no news any more', () => {
  const later = NOW + 10_001;
  let alive = hears(speaking(), 'gw', { seq: 1 }, NOW);
  expect(statedOf(alive, NOW)).toBe(4);
  for (let ms = 100; NOW + ms < later; ms += 100) alive = hears(alive, 'gw', { seq: 1 + ms }, NOW + ms);
  expect(statedOf(alive, later)).toBe(0);
  expect(statedOf(declared(), later)).toBe(0);
  expect(statedOf(becomeAware(declared(), [{ gateway: 'gw', session: 5 }], NOW), later)).toBe(5);
});

/** Names of gateways that nobody ever hears, as anybody's objects may have them. */
const ghosts = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ gateway: `ghost-${index}`, session: 3 }));

test('beyond as many gateways as a voter serves, one more is not kept, and the others are served on', () => {
  let full = becomeAware(speaking(), ghosts(512), NOW);
  for (let index = 0; index < 512; index += 1) full = hears(full, `gw-${index}`, { awaits: [] }, NOW);
  expect(full.entries.size).toBe(1024);
  expect(becomeAware(full, [{ gateway: 'late', session: 1 }], NOW).entries).toBe(full.entries);
  expect(voterHears(full, 'late', heartbeat(), NOW)).toEqual({ state: full, outgoing: [] });
  expect(answerOf(voterHears(full, 'gw-7', heartbeat({ seq: 11 }), NOW))?.verdict.kind).toBe('granted');
});

test('thousands that are known by name alone leave room for those that are heard', () => {
  const voter = becomeAware(speaking(), ghosts(4000), NOW);
  expect(voter.entries.size).toBe(512);
  const answer = answerOf(voterHears(voter, 'gw', heartbeat({ awaits: [] }), NOW + 1));
  expect(answer).toMatchObject({ verdict: { kind: 'granted' }, dead: { gw: 4 } });
  expect(JSON.stringify(answer).length).toBeLessThan(1300);
});

test('a table of the dead fits a packet: first what its reader waits for, then the newest', () => {
  const named = becomeAware(speaking(), [...ghosts(500), { gateway: 'gw', session: 5 }], NOW);
  // Somebody waits for all of them.
  const late = NOW + promiseMs + 1;
  const called = hears(named, 'other', { session: 1, seq: 1 }, late);
  const dead = answerOf(voterHears(called, 'reader', heartbeat({ awaits: ['gw'] }), late))?.dead ?? {};
  expect(dead.gw).toBe(5);
  expect(Object.keys(dead).length).toBeGreaterThan(20);
  expect(JSON.stringify(dead).length).toBeLessThan(1000);
  const unread = answerOf(voterHears(called, 'reader', heartbeat({ awaits: [] }), late))?.dead ?? {};
  expect(unread.gw).toBeUndefined();
});

// The promise itself, against the plainest reading of it.

const happening = fc.record({
  waitMs: fc.integer({ min: 0, max: 260 }),
  what: fc.constantFrom('beat', 'beat', 'beat', 'again', 'reopen', 'close', 'silence'),
});

test('whatever comes: no session is called dead before its promise is over, and each that falls silent is in the end', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 60, size: 'max' }), (history) => {
      let voter = speaking();
      let nowMs = START;
      let [session, seq, promisedUntilMs, ended] = [1, 0, 0, false];
      for (const { waitMs, what } of history) {
        nowMs += waitMs;
        voter = voterTicks(voter, nowMs).state;
        if (what !== 'silence') {
          if (what === 'reopen') [session, seq, ended] = [session + 1, 0, false];
          if (what !== 'again' || seq === 0) seq += 1;
          const news = what !== 'again';
          const step = voterHears(voter, 'gw', heartbeat({ session, seq, closed: what === 'close' }), nowMs);
          voter = step.state;
          if (what === 'close') ended = true;
          else if (news && answerOf(step)?.verdict.kind === 'granted') promisedUntilMs = nowMs + promiseMs;
        }
        if (!ended && nowMs < promisedUntilMs) expect(statedOf(voter, nowMs)).toBeLessThan(session);
      }
      fc.pre(seq > 0);
      const endMs = nowMs + retractionMs + promiseMs;
      expect(statedOf(voterTicks(voter, endMs).state, endMs)).toBe(session);
    }),
  );
});
