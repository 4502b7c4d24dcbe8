import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  initialSession,
  openSession,
  type SessionEffect,
  type SessionEvent,
  type SessionPhase,
  type SessionState,
  stepSession,
} from './session.ts';

const OPTIONS = { heartbeatMs: 500, lifetimeMs: 3000, floor: 4 };

function drive(events: readonly SessionEvent[], from = initialSession(OPTIONS).state) {
  let state = from;
  const effects: SessionEffect[] = [];
  for (const event of events) {
    const step = stepSession(state, event);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects };
}

const OPENED: readonly SessionEvent[] = [
  { kind: 'flushed', ok: true, nowMs: 0 },
  { kind: 'lease-read', lease: { version: '10', session: 6, holding: true }, nowMs: 1 },
  { kind: 'lease-written', outcome: { kind: 'accepted', version: '11' }, nowMs: 2 },
];
const SENDING: readonly SessionEvent[] = [
  ...OPENED,
  { kind: 'tick', nowMs: 2 },
  { kind: 'inserted', seq: 1, ok: true, nowMs: 3 },
];

describe('a session', () => {
  test('flushes the kernel before anything else, then opens above every number seen', () => {
    expect(initialSession(OPTIONS).effects).toEqual([{ kind: 'flush-kernel' }]);
    const { state, effects } = drive(OPENED);
    expect(state.phase).toMatchObject({ kind: 'open', session: 7 });
    expect(effects).toContainEqual({ kind: 'write-lease', session: 7, holding: true, version: '10' });
  });

  test('does not open while the kernel could not be flushed', () => {
    const { state, effects } = drive([{ kind: 'flushed', ok: false, nowMs: 0 }]);
    expect(state.phase.kind).toBe('waiting');
    expect(effects).toEqual([{ kind: 'wake-at', atMs: 250 }]);
  });

  test('inserts the timed element before the heartbeat is sent, and points at it only once accepted', () => {
    const { effects, state } = drive([
      ...SENDING,
      { kind: 'lease-written', outcome: { kind: 'accepted', version: '12' }, nowMs: 9 },
    ]);
    const granted = drive([{ kind: 'granted', seq: 1, ok: true, nowMs: 10 }], state);
    expect(openSession(state)).toBeUndefined();
    expect(openSession(granted.state)).toBe(7);
    const kinds = effects
      .map(({ kind }) => kind)
      .filter((kind) => kind.endsWith('heartbeat') || kind === 'write-lease');
    expect(kinds).toEqual(['write-lease', 'insert-heartbeat', 'write-lease', 'grant-heartbeat']);
  });

  test.each([
    { name: 'between heartbeats', phase: { kind: 'open', session: 7, version: '1' }, atMs: 500 },
    { name: 'before a new try', phase: { kind: 'waiting', untilMs: 300 }, atMs: 300 },
  ] as const)('a timer that fires early $name is set again, not lost', ({ phase, atMs }) => {
    const state = { ...drive(OPENED).state, nextBeatMs: 500, phase };
    expect(stepSession(state, { kind: 'tick', nowMs: atMs - 0.3 }).effects).toEqual([
      { kind: 'wake-at', atMs },
    ]);
    expect(stepSession(state, { kind: 'tick', nowMs: atMs }).effects).not.toContainEqual({
      kind: 'wake-at',
      atMs,
    });
  });

  test('a lost answer is read back; the same session goes on if the Lease is still ours', () => {
    const lost = drive([...SENDING, { kind: 'lease-written', outcome: { kind: 'stale' }, nowMs: 9 }]);
    expect(lost.state.phase.kind).toBe('rereading');
    const kept = drive(
      [{ kind: 'lease-read', lease: { version: '12', session: 7, holding: true }, nowMs: 10 }],
      lost.state,
    );
    expect(kept.state.phase).toEqual({ kind: 'open', session: 7, version: '12' });
  });

  test.each([
    { name: 'closed by the controller', lease: { version: '13', session: 7, holding: false } },
    { name: 'held by a later session', lease: { version: '13', session: 8, holding: true } },
    { name: 'deleted', lease: 'absent' as const },
  ])('a Lease $name ends the session: the kernel is flushed and a higher one is opened', ({ lease }) => {
    const { state } = drive([
      ...SENDING,
      { kind: 'lease-written', outcome: { kind: 'stale' }, nowMs: 9 },
      { kind: 'lease-read', lease, nowMs: 10 },
    ]);
    expect(state.phase.kind).toBe('flushing');
    expect(openSession(state)).toBeUndefined();
    const again = drive(
      [
        { kind: 'flushed', ok: true, nowMs: 11 },
        { kind: 'lease-read', lease, nowMs: 12 },
      ],
      state,
    );
    expect(again.effects.at(-1)).toMatchObject({
      kind: 'write-lease',
      session: lease === 'absent' ? 8 : lease.session + 1,
    });
  });

  test('closing waits for the heartbeat in flight and writes the Lease with the version it brought', () => {
    const waiting = drive([...SENDING, { kind: 'close', nowMs: 4 }]);
    expect(waiting.state.phase.kind).toBe('open');
    const { effects, state } = drive(
      [
        { kind: 'lease-written', outcome: { kind: 'accepted', version: '12' }, nowMs: 5 },
        { kind: 'granted', seq: 1, ok: true, nowMs: 6 },
        { kind: 'close', nowMs: 7 },
      ],
      waiting.state,
    );
    expect(effects.at(-1)).toEqual({ kind: 'write-lease', session: 7, holding: false, version: '12' });
    expect(
      drive([{ kind: 'lease-written', outcome: { kind: 'stale' }, nowMs: 8 }], state).state.phase.kind,
    ).toBe('closed');
  });

  test('every event is accepted in every phase', () => {
    const phases: Readonly<Record<SessionPhase['kind'], SessionPhase>> = {
      flushing: { kind: 'flushing' },
      reading: { kind: 'reading' },
      opening: { kind: 'opening', session: 7 },
      open: { kind: 'open', session: 7, version: '1' },
      rereading: { kind: 'rereading', session: 7 },
      waiting: { kind: 'waiting', untilMs: 5 },
      closing: { kind: 'closing', session: 7 },
      closed: { kind: 'closed' },
    };
    const events: Readonly<Record<SessionEvent['kind'], SessionEvent>> = {
      tick: { kind: 'tick', nowMs: 9 },
      flushed: { kind: 'flushed', ok: true, nowMs: 9 },
      'lease-read': { kind: 'lease-read', lease: 'absent', nowMs: 9 },
      'lease-written': { kind: 'lease-written', outcome: { kind: 'failed' }, nowMs: 9 },
      inserted: { kind: 'inserted', seq: 1, ok: true, nowMs: 9 },
      granted: { kind: 'granted', seq: 1, ok: true, nowMs: 9 },
      close: { kind: 'close', nowMs: 9 },
    };
    const base = drive(OPENED).state;
    for (const phase of Object.values(phases)) {
      for (const event of Object.values(events)) {
        expect(stepSession({ ...base, phase }, event).state.phase.kind in phases).toBe(true);
      }
    }
  });
});

/** The kernel's chain and the Lease as the world has them; draws decide how long each command and answer takes. */
interface World {
  readonly state: SessionState;
  readonly expiries: ReadonlyMap<number, number>;
  readonly pointer: number;
  readonly lease: { readonly version: number; readonly holding: boolean; readonly changedAtMs: number };
}

/** Runs one session against a controller that closes its Lease after it stood still; returns the overlap found, ms. */
function overlapAfterDeath(draws: readonly number[], promiseMs: number): number {
  let index = 0;
  const draw = (): number => draws[index++ % draws.length] ?? 0;
  let nowMs = 10;
  let world: World = {
    state: drive(OPENED).state,
    expiries: new Map(),
    pointer: 0,
    lease: { version: 11, holding: true, changedAtMs: 2 },
  };
  /** Time passes; the controller closes a Lease that it saw unchanged for the promise. Returns the overlap at that moment. */
  const pass = (ms: number): number => {
    const deathMs = world.lease.changedAtMs + promiseMs;
    nowMs += ms;
    if (nowMs < deathMs) return 0;
    world = { ...world, lease: { ...world.lease, version: world.lease.version + 1, holding: false } };
    return Math.max(0, (world.expiries.get(world.pointer) ?? 0) - deathMs);
  };
  for (let round = 0; round < 60; round += 1) {
    const { state, effects } = stepSession(world.state, { kind: 'tick', nowMs });
    world = { ...world, state };
    let queue = [...effects];
    while (queue.length > 0) {
      const effect = queue[0];
      queue = queue.slice(1);
      if (effect === undefined || effect.kind === 'wake-at') continue;
      const before = pass(draw());
      if (before > 0 || !world.lease.holding)
        return Math.max(before, pointedAfterDeath(world, effect, nowMs));
      const event = perform(effect);
      const after = pass(draw());
      if (after > 0) return after;
      const step = stepSession(world.state, event);
      world = { ...world, state: step.state };
      queue.push(...step.effects);
    }
    const idle = pass(draw());
    if (idle > 0) return idle;
  }
  return 0;

  function perform(effect: SessionEffect): SessionEvent {
    switch (effect.kind) {
      case 'insert-heartbeat':
        world = { ...world, expiries: new Map(world.expiries).set(effect.seq, nowMs + effect.lifetimeMs) };
        return { kind: 'inserted', seq: effect.seq, ok: true, nowMs };
      case 'grant-heartbeat':
        world = { ...world, pointer: effect.seq };
        return { kind: 'granted', seq: effect.seq, ok: true, nowMs };
      case 'write-lease': {
        if (effect.version !== String(world.lease.version)) {
          return { kind: 'lease-written', outcome: { kind: 'stale' }, nowMs };
        }
        const version = world.lease.version + 1;
        world = { ...world, lease: { version, holding: true, changedAtMs: nowMs } };
        return { kind: 'lease-written', outcome: { kind: 'accepted', version: String(version) }, nowMs };
      }
      default:
        return { kind: 'lease-read', lease: 'failed', nowMs };
    }
  }
}

/** After death only a grant could revive the chain, and only for an element whose write was accepted before. */
function pointedAfterDeath(world: World, effect: SessionEffect, nowMs: number): number {
  if (effect.kind !== 'grant-heartbeat') return 0;
  return Math.max(0, (world.expiries.get(effect.seq) ?? 0) - nowMs);
}

describe('the kernel falls silent before the controller may declare the session dead', () => {
  const pauses = fc.array(fc.oneof(fc.nat(30), fc.nat(30), fc.nat(4000)), { minLength: 10, maxLength: 80 });

  test('whatever command or answer is delayed, and however long', () => {
    fc.assert(
      fc.property(pauses, (draws) => overlapAfterDeath(draws, OPTIONS.lifetimeMs + 1) === 0),
      { numRuns: 2000 },
    );
  });

  test('a promise shorter than the lifetime is found out', () => {
    const run = fc.check(
      fc.property(pauses, (draws) => overlapAfterDeath(draws, OPTIONS.lifetimeMs - 1000) === 0),
      { numRuns: 2000 },
    );
    expect(run.failed).toBe(true);
  });
});
