import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deriveDurations } from './durations.ts';
import type { Outgoing, Verdict } from './messages.ts';
import {
  becomeAwaiting,
  becomeClosing,
  isValid,
  openPeerSession,
  over,
  type PeerSession,
  type PeerSessionEffect,
  type PeerSessionStep,
  peerHears,
  peerInserted,
  peerTicks,
  peerWakeMs,
  sentAtMs,
} from './peerSession.ts';
import type { VoterConfig } from './voterConfig.ts';

const DURATIONS = deriveDurations({ heartbeatMs: 25, sessionMs: 200 });
const { heartbeatMs, sessionMs } = DURATIONS;
const CONFIG: VoterConfig = { version: 3, sets: [['a', 'b', 'c']] };
/** When the session is opened. */
const T = 1000;

/** A session with its clock, driven as the runner drives it. */
class Driven {
  peer: PeerSession = openPeerSession(5, 'boot', T);
  nowMs = T;
  config: VoterConfig;
  /** Versions that voters answer by; the configuration's own where none is given. */
  knows: Readonly<Record<string, number>> = {};
  /** Of the last call. */
  effects: readonly PeerSessionEffect[] = [];
  outgoing: readonly Outgoing[] = [];

  constructor(config = CONFIG) {
    this.config = config;
  }

  get #context() {
    return { durations: DURATIONS, config: this.config, nowMs: this.nowMs };
  }

  take(step: PeerSessionStep): this {
    this.peer = step.peer;
    this.effects = step.effects;
    this.outgoing = step.outgoing;
    return this;
  }

  at(nowMs: number): this {
    this.nowMs = nowMs;
    return this;
  }

  tick(): this {
    return this.take(peerTicks(this.peer, this.#context));
  }

  inserted(seq: number, ok = true): this {
    return this.take(peerInserted(this.peer, { seq, ok }, this.#context));
  }

  /** The next heartbeat, from its kernel command to its packets. */
  beat(nowMs: number): this {
    this.at(nowMs).tick();
    const { inserting } = this.peer;
    const asked = this.effects;
    if (inserting !== undefined) this.inserted(inserting.seq);
    this.effects = asked;
    return this;
  }

  hear(voter: string, seq: number, verdict: Verdict): this {
    const echo = { session: 5, boot: 'boot', seq };
    const configVersion = this.knows[voter] ?? this.config.version;
    return this.take(peerHears(this.peer, voter, { echo, verdict, configVersion }, this.#context));
  }

  granted(voters: string, seq: number, generation = 'g'): this {
    for (const voter of voters)
      this.hear(voter, seq, { kind: 'granted', generation: `${voter}${generation}` });
    return this;
  }

  /** Heartbeats one after the other, each granted by `voters` a millisecond later. */
  live(voters: string, untilMs: number): this {
    while (this.peer.nextBeatMs <= untilMs) {
      this.beat(this.peer.nextBeatMs);
      this.at(this.nowMs + 1).granted(voters, this.peer.seq);
    }
    return this;
  }

  get valid(): boolean {
    return isValid(this.peer, this.nowMs);
  }
}

const granting: Verdict = { kind: 'granted', generation: 'g' };

test('a heartbeat leaves only when the kernel holds its element, and to every voter', () => {
  const driven = new Driven().tick();
  expect(driven.effects).toEqual([{ kind: 'beat', session: 5, seq: 1 }]);
  expect(driven.outgoing).toEqual([]);
  driven.at(T + 3).inserted(1);
  expect(driven.effects).toEqual([]);
  expect(driven.outgoing.map(({ to }) => to)).toEqual(['a', 'b', 'c']);
  expect(driven.outgoing[0]?.message).toEqual({
    kind: 'heartbeat',
    session: 5,
    boot: 'boot',
    seq: 1,
    configVersion: 3,
    closed: false,
    awaits: [],
  });
});

test('whoever is waited for stands in the heartbeat, which leaves at once when somebody more is', () => {
  const driven = new Driven().live('ab', T + 100);
  const awaiting = becomeAwaiting(driven.peer, new Set(['gw-2', 'gw-1']), T + 101);
  expect(awaiting.nextBeatMs).toBe(T + 101);
  expect(becomeAwaiting(awaiting, new Set(['gw-1']), T + 102)).toMatchObject({ awaits: ['gw-1'] });
  expect(becomeAwaiting(awaiting, new Set(['gw-1', 'gw-2']), T + 102)).toBe(awaiting);
  driven.peer = awaiting;
  driven.beat(T + 101);
  expect(driven.outgoing[0]?.message).toMatchObject({ awaits: ['gw-1', 'gw-2'] });
});

test('a lapsed session does not beat earlier for whom it waits: its own promises may have to run out', () => {
  const driven = new Driven().live('ab', T + 100).at(T + 500);
  const { nextBeatMs } = driven.peer;
  expect(becomeAwaiting(driven.peer, new Set(['gw-1']), T + 500).nextBeatMs).toBe(nextBeatMs);
});

test('where more are waited for than a packet holds, the heartbeat waits for all', () => {
  const driven = new Driven().live('ab', T + 100);
  const many = new Set(Array.from({ length: 65 }, (_, index) => `gw-${index}`));
  driven.peer = becomeAwaiting(driven.peer, many, T + 101);
  driven.beat(T + 101);
  expect(driven.outgoing[0]?.message).not.toHaveProperty('awaits');
});

test('a session is valid from the moment its insertion was asked for, not from the answer', () => {
  const driven = new Driven()
    .tick()
    .at(T + 40)
    .inserted(1)
    .at(T + 90)
    .granted('ab', 1);
  expect(driven.peer.validUntilMs).toBe(T + sessionMs);
  expect(isValid(driven.peer, T + sessionMs)).toBe(true);
  expect(isValid(driven.peer, T + sessionMs + 1)).toBe(false);
  expect(isValid(undefined, T)).toBe(false);
});

test('one grant of three is not enough, and the voter that repeats itself counts once', () => {
  const driven = new Driven().beat(T).granted('aaa', 1);
  expect(driven.valid).toBe(false);
  expect(driven.granted('c', 1).valid).toBe(true);
});

test('in a joint configuration both sets have to grant', () => {
  const joint: VoterConfig = {
    version: 4,
    sets: [
      ['a', 'b', 'c'],
      ['c', 'd', 'e'],
    ],
  };
  const driven = new Driven(joint).beat(T).granted('abc', 1);
  expect(driven.valid).toBe(false);
  expect(driven.granted('d', 1).valid).toBe(true);
});

test.each([
  { name: 'of a former session', echo: { session: 4, boot: 'boot', seq: 1 } },
  { name: 'to a former process', echo: { session: 5, boot: 'before', seq: 1 } },
  { name: 'of a heartbeat that was never sent', echo: { session: 5, boot: 'boot', seq: 9 } },
])('a grant $name extends nothing', ({ echo }) => {
  const driven = new Driven().beat(T);
  const context = { durations: DURATIONS, config: CONFIG, nowMs: T };
  let { peer } = driven;
  for (const voter of ['a', 'b'])
    peer = peerHears(peer, voter, { echo, verdict: granting, configVersion: CONFIG.version }, context).peer;
  expect(isValid(peer, T)).toBe(false);
  expect(sentAtMs(peer, echo)).toBeUndefined();
});

test('grants that come when their heartbeat has run out extend nothing', () => {
  const driven = new Driven().live('ab', T + 50);
  const before = driven.peer.validUntilMs;
  driven
    .beat(T + 75)
    .at(T + 75 + sessionMs + 1)
    .granted('ab', driven.peer.seq);
  expect(driven.peer.validUntilMs).toBe(before);
  expect(driven.valid).toBe(false);
});

test('a grant that was overtaken by a newer one of the same voter changes nothing', () => {
  const driven = new Driven()
    .beat(T)
    .beat(T + 25)
    .granted('ab', 2);
  const { peer } = driven;
  expect(driven.granted('ab', 1).peer).toBe(peer);
});

test('while a command is under way no other heartbeat is begun, and the one after it is not late', () => {
  const driven = new Driven()
    .tick()
    .at(T + 100)
    .tick();
  expect(driven.effects).toEqual([]);
  driven.inserted(1).tick();
  expect(driven.effects).toEqual([{ kind: 'beat', session: 5, seq: 2 }]);
});

test('a heartbeat whose insertion failed is not sent, and the next one has another number', () => {
  const driven = new Driven()
    .tick()
    .at(T + 10)
    .inserted(1, false);
  expect(driven.outgoing).toEqual([]);
  driven.at(T + 25).tick();
  expect(driven.effects).toEqual([{ kind: 'beat', session: 5, seq: 2 }]);
  expect(sentAtMs(driven.peer, { session: 5, boot: 'boot', seq: 1 })).toBeUndefined();
});

test('the outcome of another command than the one under way is none', () => {
  const driven = new Driven().tick();
  const { peer } = driven;
  expect(driven.inserted(7).peer).toBe(peer);
});

// What the kernel is told.

test('the kernel is told of each heartbeat that a majority granted, at once and once', () => {
  const driven = new Driven().beat(T).granted('ab', 1);
  expect(driven.effects).toEqual([{ kind: 'grant', session: 5, seq: 1 }]);
  expect(driven.granted('c', 1).effects).toEqual([]);
  expect(driven.beat(T + 25).granted('ab', 2).effects).toEqual([{ kind: 'grant', session: 5, seq: 2 }]);
});

test('a heartbeat that the kernel never took is not sent, and the next one comes at its own pace', () => {
  const driven = new Driven()
    .live('ab', T + 50)
    .at(T + 75)
    .tick()
    .inserted(4, false);
  expect(driven.outgoing).toEqual([]);
  expect(driven.at(T + 100).tick().effects).toEqual([{ kind: 'beat', session: 5, seq: 5 }]);
});

// A lapse, and what becomes of the session.

/** Granted by a and b for 100 ms, then frozen until T + 500; c never heard of it. */
function lapsed(): Driven {
  return new Driven().live('ab', T + 100).at(T + 500);
}

test('a lapse by itself ends nothing: the heartbeats go on', () => {
  const driven = lapsed();
  expect(driven.valid).toBe(false);
  expect(driven.beat(T + 500).effects.map(({ kind }) => kind)).toEqual(['beat']);
});

test('a lapsed session that is not answered beats so seldom that every voter has the time to call it dead', () => {
  const driven = new Driven().live('ab', T + 100);
  for (let count = 0; count < 9; count += 1) driven.beat(driven.peer.nextBeatMs);
  const beatMs = driven.peer.nextBeatMs;
  driven.beat(beatMs);
  expect(driven.effects.map(({ kind }) => kind)).toEqual(['beat']);
  expect(driven.peer.nextBeatMs).toBe(beatMs + 2 * DURATIONS.promiseMs);
});

test('a lapsed session beats as ever while a voter takes back that it is dead: only who is heard is granted again', () => {
  const driven = new Driven().live('ab', T + 100);
  for (let count = 0; count < 12; count += 1) driven.beat(driven.peer.nextBeatMs);
  driven.hear('a', driven.peer.seq, { kind: 'retracting' });
  for (let count = 0; count < 9; count += 1) {
    const beatMs = driven.peer.nextBeatMs;
    expect(driven.beat(beatMs).peer.nextBeatMs).toBe(beatMs + DURATIONS.heartbeatMs);
  }
  expect(9 * DURATIONS.heartbeatMs).toBeGreaterThan(DURATIONS.retractionMs);
});

test('a lapsed session that was long not answered goes on where nobody called it dead, and beats as before', () => {
  const driven = new Driven().live('ab', T + 100);
  for (let count = 0; count < 12; count += 1) driven.beat(driven.peer.nextBeatMs);
  const { seq } = driven.peer;
  driven.granted('a', seq).granted('b', seq);
  expect(driven.valid).toBe(true);
  const beatMs = driven.peer.nextBeatMs;
  expect(driven.beat(beatMs).peer.nextBeatMs).toBe(beatMs + DURATIONS.heartbeatMs);
});

test.each([
  { name: 'both voters never called it dead', a: 'g', b: 'g', outcome: 'valid' },
  { name: 'one of the two called it dead', a: 'g', b: 'h', outcome: 'waiting' },
  { name: 'both called it dead', a: 'h', b: 'h', outcome: 'over' },
])('a lapsed session is $outcome if $name', ({ a, b, outcome }) => {
  const driven = lapsed()
    .beat(T + 500)
    .at(T + 510);
  const { seq } = driven.peer;
  driven.granted('a', seq, a).granted('b', seq, b);
  const ended = driven.effects.some(({ kind }) => kind === 'session-over');
  expect(ended ? 'over' : driven.valid ? 'valid' : 'waiting').toBe(outcome);
  if (ended)
    expect(driven.effects).toEqual([{ kind: 'session-over', session: 5, reason: 'called-dead', floor: 5 }]);
});

test('a voter that never granted before the lapse does not help to revive', () => {
  const driven = lapsed()
    .beat(T + 500)
    .at(T + 510);
  driven.granted('a', driven.peer.seq).granted('c', driven.peer.seq);
  expect(driven.valid).toBe(false);
});

test('while a session is valid voters may restart one after the other', () => {
  const driven = new Driven().live('abc', T + 100);
  for (const restarted of ['a', 'ab', 'abc']) {
    driven.beat(driven.peer.nextBeatMs);
    const { seq } = driven.peer;
    for (const voter of 'abc') driven.granted(voter, seq, restarted.includes(voter) ? 'h' : 'g');
    expect(driven.peer.validUntilMs, restarted).toBe(driven.nowMs + sessionMs);
  }
});

test('a clock that was frozen hides the lapse: voters that forgot the session, or never knew it, extend nothing', () => {
  // By its own clock nothing happened between the last grant and these.
  const driven = new Driven().live('ab', T + 100);
  const { validUntilMs } = driven.peer;
  driven.beat(T + 125);
  const { seq } = driven.peer;
  driven.granted('a', seq).granted('c', seq);
  expect(driven.peer.validUntilMs).toBe(validUntilMs);
  driven.granted('b', seq, 'h');
  expect(driven.peer.validUntilMs).toBe(validUntilMs);
  driven.beat(T + 150).granted('a', driven.peer.seq, 'h');
  expect(driven.effects).toMatchObject([{ kind: 'session-over', reason: 'called-dead' }]);
});

// The voters change under a session.

const JOINT: VoterConfig = {
  version: 4,
  sets: [
    ['a', 'b', 'c'],
    ['b', 'c', 'd'],
  ],
};
const AFTER: VoterConfig = { version: 5, sets: [['b', 'c', 'd']] };

test('a session goes on through a joint configuration to the next set, with voters that are new to it', () => {
  const driven = new Driven().live('abc', T + 100);
  driven.config = JOINT;
  driven.live('bd', T + 125);
  expect(driven.peer.validUntilMs).toBe(T + 100 + sessionMs); // Of the old set b alone.
  driven.live('abd', T + 200);
  driven.config = AFTER;
  driven.live('cd', T + 400);
  expect(driven.valid).toBe(true);
});

test('one voter becomes two', () => {
  const driven = new Driven({ version: 1, sets: [['a']] }).live('a', T + 100);
  driven.config = { version: 2, sets: [['a'], ['a', 'b']] };
  driven.live('ab', T + 400);
  expect(driven.valid).toBe(true);
});

test('a session that was not extended while both sets counted ends: a verdict of the old set may be unknown to the new one', () => {
  const driven = new Driven().live('abc', T + 100);
  driven.config = AFTER;
  driven.beat(T + 125).hear('c', driven.peer.seq, granting);
  expect(driven.effects).toEqual([{ kind: 'session-over', session: 5, reason: 'voters-changed', floor: 5 }]);
});

test('nor does an extension while most of the old set knew no joint configuration count: they might still call it dead by theirs', () => {
  const driven = new Driven().live('abc', T + 100);
  driven.config = JOINT;
  driven.knows = { a: 3, b: 3 };
  driven.live('abd', T + 150);
  expect(driven.peer.validUntilMs).toBe(T + 150 + sessionMs);
  driven.config = AFTER;
  driven.beat(T + 175).hear('c', driven.peer.seq, granting);
  expect(driven.effects).toMatchObject([{ kind: 'session-over', reason: 'voters-changed' }]);
});

test('a session that slept through many changes ends even where its voters are the same again', () => {
  const driven = new Driven().live('abc', T + 100);
  driven.config = { version: 7, sets: CONFIG.sets };
  driven.beat(T + 125).granted('a', driven.peer.seq);
  expect(driven.effects).toMatchObject([{ kind: 'session-over', reason: 'voters-changed' }]);
});

test('a session that was called dead by one voter and lapses is not hung on heartbeats that do not extend it', () => {
  const driven = lapsed()
    .beat(T + 500)
    .at(T + 510);
  driven.granted('a', driven.peer.seq, 'h').granted('b', driven.peer.seq);
  expect(driven.beat(T + 525).effects).toEqual([{ kind: 'beat', session: 5, seq: driven.peer.seq }]);
});

test('a session that was never granted by a majority ends when its first heartbeat has run out', () => {
  const driven = new Driven().beat(T + 3).granted('a', 1);
  while (driven.peer.nextBeatMs < T + 203) driven.beat(driven.peer.nextBeatMs);
  expect(
    driven
      .at(T + 203)
      .tick()
      .effects.map(({ kind }) => kind),
  ).toEqual(['beat']);
  expect(peerWakeMs(driven.peer, DURATIONS)).toBe(T + 203 + 1);
  driven.at(T + 204).tick();
  expect(driven.effects).toEqual([{ kind: 'session-over', session: 5, reason: 'no-majority', floor: 5 }]);
});

test('a refusal ends the session, and the next one has to be above the highest that the voter knows', () => {
  const driven = new Driven().live('ab', T + 50).hear('c', 2, { kind: 'refused', highest: 9 });
  expect(driven.effects).toEqual([{ kind: 'session-over', session: 5, reason: 'outnumbered', floor: 9 }]);
  expect(over(driven.peer, 'lease-lost').effects).toEqual([
    { kind: 'session-over', session: 5, reason: 'lease-lost', floor: 5 },
  ]);
});

test('a voter that retracts grants nothing, and one that knows a newer configuration is answered at once', () => {
  const driven = new Driven()
    .beat(T)
    .hear('a', 1, { kind: 'retracting' })
    .hear('b', 1, { kind: 'retracting' });
  expect(driven.valid).toBe(false);
  driven.at(T + 7).hear('a', 1, { kind: 'outdated' });
  expect(peerWakeMs(driven.peer, DURATIONS)).toBe(T + 7);
  expect(driven.tick().effects).toEqual([{ kind: 'beat', session: 5, seq: 2 }]);
});

// The end.

test('a closing is said three times to every voter, and then the session is closed', () => {
  const driven = new Driven().live('ab', T + 50).at(T + 60);
  driven.peer = becomeClosing(driven.peer, T + 60);
  expect(driven.valid).toBe(false);
  const said: string[] = [];
  for (
    let wake = peerWakeMs(driven.peer, DURATIONS);
    wake !== undefined;
    wake = peerWakeMs(driven.peer, DURATIONS)
  ) {
    driven.at(wake).tick();
    const closed = driven.outgoing.filter(({ message }) => message.kind === 'heartbeat' && message.closed);
    said.push(`${wake - T}: ${closed.map(({ to }) => to)} ${driven.effects.map(({ kind }) => kind)}`);
  }
  expect(said).toEqual(['60: a,b,c ', '80: a,b,c ', '100: a,b,c session-closed']);
});

test('a closing session is closing already, beats no more and hears no grants', () => {
  const driven = new Driven().live('ab', T + 50);
  driven.peer = becomeClosing(driven.peer, T + 60);
  const { peer } = driven;
  expect(becomeClosing(peer, T + 70)).toBe(peer);
  expect(driven.at(T + 60).granted('abc', 3).peer).toBe(peer);
  expect(driven.hear('a', 3, { kind: 'refused', highest: 5 }).effects).toEqual([]);
});

// Random histories.

const VOTERS = ['a', 'b', 'c', 'd', 'e'];
const sets = fc.oneof(
  fc.constant([['a', 'b', 'c']]),
  fc.constant([VOTERS]),
  fc.constant([
    ['a', 'b', 'c'],
    ['c', 'd', 'e'],
  ]),
);
const happening = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('beat' as const), waitMs: fc.integer({ min: 1, max: 60 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('grant' as const),
      voter: fc.constantFrom(...VOTERS),
      /** How many heartbeats ago. */
      back: fc.nat(4),
      waitMs: fc.nat(5),
      calledDead: fc.boolean(),
    }),
  },
);

test('a session is valid exactly while a majority of every set has granted a heartbeat sent within the last L', () => {
  fc.assert(
    fc.property(sets, fc.array(happening, { maxLength: 80, size: 'max' }), (voterSets, history) => {
      // Everybody has granted before the last extension: who had not before a lapse could not help after it.
      const driven = new Driven({ version: 3, sets: voterSets }).beat(T).granted(VOTERS.join(''), 1);
      driven.beat(T + heartbeatMs).granted(VOTERS.join(''), 2);
      const sent = new Map([[2, driven.nowMs]]);
      const granted = VOTERS.map((voter) => ({ voter, sentMs: driven.nowMs }));
      const twin = (): boolean =>
        voterSets.every((voters) => {
          const fresh = voters.filter((voter) =>
            granted.some((it) => it.voter === voter && it.sentMs + sessionMs >= driven.nowMs),
          );
          return fresh.length * 2 > voters.length;
        });
      for (const it of history) {
        driven.at(driven.nowMs + it.waitMs);
        if (it.kind === 'beat') {
          driven.beat(Math.max(driven.nowMs, driven.peer.nextBeatMs));
          sent.set(driven.peer.seq, driven.nowMs);
        } else {
          const seq = driven.peer.seq - it.back;
          const sentMs = sent.get(seq);
          if (sentMs === undefined) continue;
          driven.granted(it.voter, seq);
          granted.push({ voter: it.voter, sentMs });
        }
        if (driven.effects.some(({ kind }) => kind === 'session-over')) return;
        expect(driven.valid).toBe(twin());
      }
    }),
    { numRuns: 1000 },
  );
});

test('whatever voters say, the kernel is never told of a heartbeat that outlives the session', () => {
  fc.assert(
    fc.property(sets, fc.array(happening, { maxLength: 80, size: 'max' }), (voterSets, history) => {
      const driven = new Driven({ version: 3, sets: voterSets });
      const sent = new Map<number, number>();
      const generations = new Map<string, number>();
      for (const it of history) {
        driven.at(driven.nowMs + it.waitMs);
        if (it.kind === 'beat') {
          driven.beat(Math.max(driven.nowMs, driven.peer.nextBeatMs));
          sent.set(driven.peer.seq, driven.nowMs);
        } else {
          if (!sent.has(driven.peer.seq - it.back)) continue;
          const generation = (generations.get(it.voter) ?? 0) + (it.calledDead ? 1 : 0);
          generations.set(it.voter, generation);
          driven.granted(it.voter, driven.peer.seq - it.back, `${generation}`);
        }
        for (const effect of driven.effects) {
          if (effect.kind === 'session-over') return;
          if (effect.kind !== 'grant') continue;
          expect((sent.get(effect.seq) ?? Number.POSITIVE_INFINITY) + sessionMs).toBeLessThanOrEqual(
            driven.peer.validUntilMs,
          );
        }
      }
    }),
    { numRuns: 2000 },
  );
});
