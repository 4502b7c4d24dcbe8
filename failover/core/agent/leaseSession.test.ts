import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  initialLeaseSession,
  type LeaseFacts,
  type LeasePhase,
  type LeaseSession,
  type LeaseSessionEffect,
  type LeaseSessionEvent,
  leasedSession,
  leaseWakeMs,
  stepLeaseSession,
} from './leaseSession.ts';

const OPTIONS = { renewMs: 1000, floor: 4 };

function drive(events: readonly LeaseSessionEvent[], from = initialLeaseSession(OPTIONS).state) {
  let state = from;
  const effects: LeaseSessionEffect[] = [];
  for (const event of events) {
    const step = stepLeaseSession(state, event);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects };
}

const lease = (change: Partial<LeaseFacts> = {}): LeaseFacts => ({
  version: '10',
  session: 6,
  holding: true,
  ...change,
});
const OPENED: readonly LeaseSessionEvent[] = [
  { kind: 'flushed', ok: true, nowMs: 0 },
  { kind: 'lease-read', lease: lease(), nowMs: 1 },
  { kind: 'lease-written', session: 7, outcome: { kind: 'accepted', version: '11' }, nowMs: 2 },
];
/** A renewal is under way. */
const RENEWING: readonly LeaseSessionEvent[] = [...OPENED, { kind: 'tick', nowMs: 1002 }];
const LOST: LeaseSessionEvent = {
  kind: 'lease-written',
  session: 7,
  outcome: { kind: 'stale' },
  nowMs: 1010,
};

describe('a Lease session', () => {
  test('flushes the kernel before anything else, then wins a number above every one seen', () => {
    expect(initialLeaseSession(OPTIONS).effects).toEqual([{ kind: 'flush-kernel' }]);
    const { state, effects } = drive(OPENED);
    expect(effects).toEqual([
      { kind: 'read-lease' },
      { kind: 'write-lease', session: 7, holding: true, version: '10' },
      { kind: 'session-opened', session: 7 },
    ]);
    expect(leasedSession(state)).toBe(7);
  });

  test.each([
    { name: 'the Lease has', seen: lease({ session: 9 }), session: 10, version: { version: '10' } },
    {
      name: 'a closed Lease has',
      seen: lease({ session: 9, holding: false }),
      session: 10,
      version: { version: '10' },
    },
    { name: 'was seen elsewhere', seen: lease({ session: 2 }), session: 5, version: { version: '10' } },
    { name: 'was seen elsewhere and there is no Lease', seen: 'absent' as const, session: 5, version: {} },
  ])('the number is above the one that $name', ({ seen, session, version }) => {
    const { effects } = drive([
      { kind: 'flushed', ok: true, nowMs: 0 },
      { kind: 'lease-read', lease: seen, nowMs: 1 },
    ]);
    expect(effects.at(-1)).toEqual({ kind: 'write-lease', session, holding: true, ...version });
  });

  test.each([
    { name: 'the kernel could not be flushed', events: [{ kind: 'flushed', ok: false, nowMs: 10 }] },
    {
      name: 'the Lease could not be read',
      events: [
        { kind: 'flushed', ok: true, nowMs: 9 },
        { kind: 'lease-read', lease: 'failed', nowMs: 10 },
      ],
    },
    ...(['stale', 'failed'] as const).map((kind) => ({
      name: `the number was not won: ${kind}`,
      events: [
        ...OPENED.slice(0, 2),
        { kind: 'lease-written', session: 7, outcome: { kind }, nowMs: 10 },
      ] as const,
    })),
  ] satisfies readonly { readonly name: string; readonly events: readonly LeaseSessionEvent[] }[])(
    'does not open where $name; after a pause it begins with the flush',
    ({ events }) => {
      const { state, effects } = drive(events);
      expect(effects.map(({ kind }) => kind)).not.toContain('session-opened');
      expect(leasedSession(state)).toBeUndefined();
      expect([state.phase.kind, leaseWakeMs(state)]).toEqual(['waiting', 260]);
      expect(drive([{ kind: 'tick', nowMs: 259 }], state).effects).toEqual([]);
      expect(drive([{ kind: 'tick', nowMs: 260 }], state).effects).toEqual([{ kind: 'flush-kernel' }]);
    },
  );

  test('renews at its pace, each time with the version that the last write brought', () => {
    const opened = drive(OPENED).state;
    expect(leaseWakeMs(opened)).toBe(1002);
    expect(drive([{ kind: 'tick', nowMs: 1001.7 }], opened).effects).toEqual([]);
    const renewing = drive([{ kind: 'tick', nowMs: 1002 }], opened);
    expect(renewing.effects).toEqual([{ kind: 'write-lease', session: 7, holding: true, version: '11' }]);
    // At most one is under way.
    expect(drive([{ kind: 'tick', nowMs: 5000 }], renewing.state).effects).toEqual([]);
    const accepted = { kind: 'accepted', version: '12' } as const;
    const renewed = drive(
      [{ kind: 'lease-written', session: 7, outcome: accepted, nowMs: 1500 }],
      renewing.state,
    );
    expect(leaseWakeMs(renewed.state)).toBe(2002);
    expect(drive([{ kind: 'tick', nowMs: 2002 }], renewed.state).effects).toMatchObject([{ version: '12' }]);
  });

  test('a renewal that failed is tried again soon: who is alive is decided elsewhere', () => {
    const failed = { kind: 'lease-written', session: 7, outcome: { kind: 'failed' }, nowMs: 1010 } as const;
    const { state } = drive([...RENEWING, failed]);
    expect([leasedSession(state), leaseWakeMs(state)]).toEqual([7, 1260]);
    expect(drive([{ kind: 'tick', nowMs: 1260 }], state).effects).toEqual([
      { kind: 'write-lease', session: 7, holding: true, version: '11' },
    ]);
  });

  test('a lost answer is read back; the same session goes on if the Lease is still ours', () => {
    const lost = drive([...RENEWING, LOST]);
    expect(lost.effects.at(-1)).toEqual({ kind: 'read-lease' });
    expect(leasedSession(lost.state)).toBe(7);
    const ours: LeaseSessionEvent = {
      kind: 'lease-read',
      lease: lease({ version: '12', session: 7 }),
      nowMs: 1020,
    };
    const kept = drive([ours], lost.state);
    expect(kept.effects).toEqual([]);
    expect(kept.state.phase).toEqual({ kind: 'open', session: 7, version: '12', writing: false });
  });

  test('lives on under its number for as long as the API server does not answer', () => {
    let { state } = drive([...RENEWING, LOST]);
    for (let nowMs = 1300; nowMs < 600_000; nowMs += 300) {
      const asked = drive([{ kind: 'tick', nowMs }], state);
      expect(asked.effects).toEqual([{ kind: 'read-lease' }]);
      state = drive([{ kind: 'lease-read', lease: 'failed', nowMs }], asked.state).state;
      expect(leasedSession(state)).toBe(7);
    }
  });

  test.each([
    { name: 'closed', lease: lease({ version: '13', session: 7, holding: false }), next: 8 },
    { name: 'held by a later session', lease: lease({ version: '13', session: 8 }), next: 9 },
    { name: 'deleted', lease: 'absent' as const, next: 8 },
  ])(
    'a Lease $name ends the session: the kernel is flushed and a higher one is opened',
    ({ lease, next }) => {
      const { state, effects } = drive([...RENEWING, LOST, { kind: 'lease-read', lease, nowMs: 1020 }]);
      expect(effects.at(-1)).toEqual({ kind: 'session-lost', session: 7 });
      expect(leasedSession(state)).toBeUndefined();
      const again = drive(
        [
          { kind: 'tick', nowMs: 1270 },
          { kind: 'flushed', ok: true, nowMs: 1271 },
          { kind: 'lease-read', lease, nowMs: 1272 },
        ],
        state,
      );
      expect(again.effects.map(({ kind }) => kind)).toEqual(['flush-kernel', 'read-lease', 'write-lease']);
      expect(again.effects.at(-1)).toMatchObject({ session: next, holding: true });
    },
  );

  test.each([
    { name: 'held', lease: lease({ version: '5', session: 6 }) },
    { name: 'closed', lease: lease({ version: '5', session: 6, holding: false }) },
  ])(
    'a Lease with an earlier session, $name, was restored: it is written over and the session goes on',
    ({ lease }) => {
      const { state, effects } = drive([...RENEWING, LOST, { kind: 'lease-read', lease, nowMs: 1020 }]);
      expect(effects.at(-1)).toEqual({ kind: 'write-lease', session: 7, holding: true, version: '5' });
      expect(leasedSession(state)).toBe(7);
      const written = drive(
        [{ kind: 'lease-written', session: 7, outcome: { kind: 'accepted', version: '6' }, nowMs: 1030 }],
        state,
      );
      expect(written.effects).toEqual([]);
      expect(written.state.phase).toEqual({ kind: 'open', session: 7, version: '6', writing: false });
    },
  );

  test('a session that is over among the peers is followed by one above what they have seen', () => {
    const { state, effects } = drive([...OPENED, { kind: 'over', session: 7, floor: 20, nowMs: 50 }]);
    expect(effects.at(-1)).toEqual({ kind: 'session-opened', session: 7 });
    expect([state.phase.kind, leaseWakeMs(state)]).toEqual(['waiting', 300]);
    const again = drive(
      [
        { kind: 'tick', nowMs: 300 },
        { kind: 'flushed', ok: true, nowMs: 301 },
        { kind: 'lease-read', lease: lease({ session: 7 }), nowMs: 302 },
      ],
      state,
    );
    expect(again.effects.at(-1)).toMatchObject({ kind: 'write-lease', session: 21 });
    // The word about a session that is not the present one is old.
    expect(drive([{ kind: 'over', session: 6, floor: 30, nowMs: 9 }], drive(OPENED).state).state).toEqual(
      drive(OPENED).state,
    );
  });

  test("the late answer to a former session's renewal is not taken for the next one's", () => {
    const { state } = drive([
      ...RENEWING,
      { kind: 'over', session: 7, floor: 0, nowMs: 1100 },
      { kind: 'tick', nowMs: 1350 },
      { kind: 'flushed', ok: true, nowMs: 1351 },
      { kind: 'lease-read', lease: lease({ version: '11', session: 7 }), nowMs: 1352 },
    ]);
    expect(state.phase).toEqual({ kind: 'opening', session: 8 });
    const late: LeaseSessionEvent = {
      kind: 'lease-written',
      session: 7,
      outcome: { kind: 'accepted', version: '12' },
      nowMs: 1353,
    };
    expect(drive([late], state)).toEqual({ state, effects: [] });
  });

  test('closing waits for the renewal in flight and writes the Lease with the version it brought', () => {
    const waiting = drive([...RENEWING, { kind: 'close', nowMs: 1003 }]);
    expect(waiting.state.phase.kind).toBe('open');
    const outcome = { kind: 'accepted', version: '12' } as const;
    const { effects, state } = drive(
      [
        { kind: 'lease-written', session: 7, outcome, nowMs: 1005 },
        { kind: 'close', nowMs: 1006 },
      ],
      waiting.state,
    );
    expect(effects).toEqual([{ kind: 'write-lease', session: 7, holding: false, version: '12' }]);
    expect(leasedSession(state)).toBeUndefined();
    expect(drive([{ ...LOST, nowMs: 1008 }], state).state.phase.kind).toBe('closed');
  });
});

type EventKind = LeaseSessionEvent['kind'];
type Outcome = readonly [LeasePhase['kind'], ...(readonly LeaseSessionEffect['kind'][])];

/** One event of each kind, about session 7 and what it would like to hear. */
const EVENTS: Readonly<Record<EventKind, LeaseSessionEvent>> = {
  tick: { kind: 'tick', nowMs: 500 },
  flushed: { kind: 'flushed', ok: true, nowMs: 500 },
  'lease-read': { kind: 'lease-read', lease: lease({ session: 7 }), nowMs: 500 },
  'lease-written': {
    kind: 'lease-written',
    session: 7,
    outcome: { kind: 'accepted', version: '12' },
    nowMs: 500,
  },
  over: { kind: 'over', session: 7, floor: 0, nowMs: 500 },
  close: { kind: 'close', nowMs: 500 },
};

/** What each event does in each phase; what is not named leaves the phase as it is, without an effect. */
const TABLE: readonly {
  readonly name: string;
  readonly phase: LeasePhase;
  readonly wakeMs?: number;
  readonly outcomes: Readonly<Partial<Record<EventKind, Outcome>>>;
}[] = [
  {
    name: 'flushing',
    phase: { kind: 'flushing' },
    outcomes: { flushed: ['reading', 'read-lease'], close: ['closed'] },
  },
  {
    name: 'reading',
    phase: { kind: 'reading' },
    outcomes: { 'lease-read': ['opening', 'write-lease'], close: ['closed'] },
  },
  {
    name: 'opening',
    phase: { kind: 'opening', session: 7 },
    outcomes: { 'lease-written': ['open', 'session-opened'], close: ['closed'] },
  },
  {
    name: 'open',
    phase: { kind: 'open', session: 7, version: '1', writing: false },
    wakeMs: 500,
    outcomes: { tick: ['open', 'write-lease'], over: ['waiting'], close: ['closing', 'write-lease'] },
  },
  {
    name: 'open, a renewal under way',
    phase: { kind: 'open', session: 7, version: '1', writing: true },
    outcomes: { 'lease-written': ['open'], over: ['waiting'] },
  },
  {
    name: 'rereading',
    phase: { kind: 'rereading', session: 7 },
    wakeMs: 500,
    outcomes: {
      tick: ['rereading', 'read-lease'],
      'lease-read': ['open'],
      over: ['waiting'],
      close: ['closed'],
    },
  },
  {
    name: 'waiting',
    phase: { kind: 'waiting', untilMs: 500 },
    wakeMs: 500,
    outcomes: { tick: ['flushing', 'flush-kernel'], close: ['closed'] },
  },
  {
    name: 'closing',
    phase: { kind: 'closing', session: 7 },
    outcomes: { 'lease-written': ['closed'] },
  },
  { name: 'closed', phase: { kind: 'closed' }, outcomes: {} },
];

describe('every event in every phase', () => {
  const cases = TABLE.flatMap(({ name, phase, outcomes }) =>
    Object.values(EVENTS).map((event) => ({
      name: `${event.kind} while ${name}`,
      phase,
      event,
      expected: outcomes[event.kind],
    })),
  );

  test.each(cases)('$name', ({ phase, event, expected }) => {
    const state: LeaseSession = { ...OPTIONS, nextMs: 500, phase };
    const step = stepLeaseSession(state, event);
    const [kind = phase.kind, ...effects] = expected ?? [];
    expect([step.state.phase.kind, ...step.effects.map((it) => it.kind)]).toEqual([kind, ...effects]);
    if (expected === undefined) expect(step.state).toEqual(state);
  });

  test.each(TABLE)('the timer while $name: $wakeMs', ({ phase, wakeMs }) => {
    expect(leaseWakeMs({ ...OPTIONS, nextMs: 500, phase })).toBe(wakeMs);
  });

  test('the table has every phase', () => {
    const phases: Readonly<Record<LeasePhase['kind'], true>> = {
      flushing: true,
      reading: true,
      opening: true,
      open: true,
      rereading: true,
      waiting: true,
      closing: true,
      closed: true,
    };
    expect(new Set(TABLE.map(({ phase }) => phase.kind))).toEqual(new Set(Object.keys(phases)));
    expect(cases).toHaveLength(TABLE.length * Object.keys(EVENTS).length);
  });
});

/** One request on its way to the API server or the kernel, or its answer on the way back. */
type Parcel =
  | { readonly kind: 'request'; readonly effect: LeaseSessionEffect }
  | { readonly kind: 'answer'; readonly event: LeaseSessionEvent };

const move = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('carry' as const), which: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), which: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(1500) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('over' as const) }) },
  /** Another agent of this node, which was thought to be gone. */
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rival' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const) }) },
);
type Move = typeof move extends fc.Arbitrary<infer T> ? T : never;

/** A Lease that swaps by version, with requests and answers that overtake each other and are lost. */
class LeaseWorld {
  readonly problems: string[] = [];
  #nowMs = 0;
  #version = 1;
  #lease: LeaseFacts | undefined = lease({ version: '1', session: 3, holding: false });
  /** Numbers that stood in the Lease, and whose. */
  readonly #owners = new Map<number, 'ours' | 'rival'>([[3, 'rival']]);
  #flushed = false;
  #parcels: readonly Parcel[] = [];
  #state: LeaseSession;

  constructor() {
    const begun = initialLeaseSession(OPTIONS);
    this.#state = begun.state;
    for (const effect of begun.effects) this.#perform(effect);
  }

  take(move: Move): void {
    switch (move.kind) {
      case 'carry':
        return this.#carry(move.which);
      case 'lose':
        return this.#lose(move.which);
      case 'wait':
        this.#nowMs += move.ms;
        return this.#step({ kind: 'tick', nowMs: this.#nowMs });
      case 'over': {
        const session = leasedSession(this.#state);
        if (session !== undefined) this.#step({ kind: 'over', session, floor: session, nowMs: this.#nowMs });
        return;
      }
      case 'rival':
        return this.#store({ session: (this.#lease?.session ?? 0) + 1, holding: true }, 'rival');
      case 'delete':
        this.#lease = undefined;
        return;
      default:
        move satisfies never;
    }
  }

  #step(event: LeaseSessionEvent): void {
    const before = leasedSession(this.#state);
    const step = stepLeaseSession(this.#state, event);
    this.#state = step.state;
    // The kernel may hold something of a session as long as it was not flushed after it.
    if (before !== undefined && leasedSession(this.#state) !== before) this.#flushed = false;
    for (const effect of step.effects) this.#perform(effect);
  }

  #perform(effect: LeaseSessionEffect): void {
    switch (effect.kind) {
      case 'session-opened':
        if (this.#owners.get(effect.session) !== 'ours')
          this.problems.push(`session ${effect.session} was not won`);
        if (!this.#flushed) this.problems.push(`session ${effect.session} began without a flush`);
        return;
      case 'session-lost':
        return;
      case 'flush-kernel':
      case 'read-lease':
      case 'write-lease':
        this.#parcels = [...this.#parcels, { kind: 'request', effect }];
        return;
      default:
        effect satisfies never;
    }
  }

  /** The newest first, so that others stay behind. */
  #pick(which: number): Parcel | undefined {
    const parcel = this.#parcels.at(-1 - (which % Math.max(1, this.#parcels.length)));
    this.#parcels = this.#parcels.filter((it) => it !== parcel);
    return parcel;
  }

  #carry(which: number): void {
    const parcel = this.#pick(which);
    if (parcel?.kind === 'answer') return this.#step({ ...parcel.event, nowMs: this.#nowMs });
    if (parcel === undefined) return;
    const event = this.#serve(parcel.effect);
    if (event !== undefined) this.#parcels = [...this.#parcels, { kind: 'answer', event }];
  }

  /** A request that never arrived and an answer that was lost look the same. */
  #lose(which: number): void {
    const parcel = this.#pick(which);
    if (parcel === undefined) return;
    const about = parcel.kind === 'request' ? parcel.effect : parcel.event;
    if (about.kind === 'flush-kernel' || about.kind === 'flushed')
      return this.#step({ kind: 'flushed', ok: false, nowMs: this.#nowMs });
    if (about.kind === 'read-lease' || about.kind === 'lease-read')
      return this.#step({ kind: 'lease-read', lease: 'failed', nowMs: this.#nowMs });
    if (about.kind !== 'write-lease' && about.kind !== 'lease-written') return;
    const { session } = about;
    this.#step({ kind: 'lease-written', session, outcome: { kind: 'stale' }, nowMs: this.#nowMs });
  }

  #serve(effect: LeaseSessionEffect): LeaseSessionEvent | undefined {
    const nowMs = this.#nowMs;
    switch (effect.kind) {
      case 'flush-kernel':
        this.#flushed = true;
        return { kind: 'flushed', ok: true, nowMs };
      case 'read-lease':
        return { kind: 'lease-read', lease: this.#lease ?? 'absent', nowMs };
      case 'write-lease': {
        const { session, holding, version } = effect;
        if (this.#lease?.version !== version)
          return { kind: 'lease-written', session, outcome: { kind: 'stale' }, nowMs };
        this.#store({ session, holding }, 'ours');
        const outcome = { kind: 'accepted', version: String(this.#version) } as const;
        return { kind: 'lease-written', session, outcome, nowMs };
      }
      case 'session-opened':
      case 'session-lost':
        return undefined;
      default:
        return effect satisfies never;
    }
  }

  #store(facts: Pick<LeaseFacts, 'session' | 'holding'>, owner: 'ours' | 'rival'): void {
    this.#version += 1;
    this.#lease = { ...facts, version: String(this.#version) };
    if (this.#owners.get(facts.session) !== owner) this.#owners.set(facts.session, owner);
  }
}

test('a session begins only with a number that was won and a kernel that was flushed, whatever is late or lost', () => {
  fc.assert(
    fc.property(fc.array(move, { minLength: 20, maxLength: 150, size: 'max' }), (moves) => {
      const world = new LeaseWorld();
      for (const it of moves) world.take(it);
      expect(world.problems).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});
