import { describe, expect, test } from 'vitest';
import {
  ELECTION_START,
  type ElectionEvent,
  type ElectionRules,
  type ElectionState,
  electionProblems,
  type LeaseWrite,
  type ObservedLease,
} from './electionState.ts';
import { nextTickMs, step } from './leaderElection.ts';

const RULES: ElectionRules = {
  identity: 'me',
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2000,
};
const NOW = 100_000;

function lease(holder: string, more: Partial<ObservedLease> = {}): ObservedLease {
  return {
    version: '7',
    holder,
    durationMs: 15_000,
    transitions: 4,
    acquireTime: 'a',
    renewTime: 'r',
    ...more,
  };
}

const follower: ElectionState = { ...ELECTION_START, wakeAtMs: NOW };
const waiting: ElectionState = {
  ...follower,
  observed: lease('other'),
  changedAtMs: NOW - 5000,
  fresh: true,
};
const leader: ElectionState = {
  ...follower,
  role: 'leader',
  observed: lease('me'),
  fresh: true,
  claimed: true,
  term: 4,
  holdsUntilMs: NOW + 8000,
};
const stopping: ElectionState = { ...leader, role: 'stopping', holdsUntilMs: Number.NEGATIVE_INFINITY };

const reading = (state: ElectionState): ElectionState => ({ ...state, pending: 'read' });
const writing = (state: ElectionState): ElectionState => ({ ...state, pending: 'write' });
const tick: ElectionEvent = { kind: 'tick', nowMs: NOW, random: 0 };
const read = (found: ObservedLease | 'absent' | 'failed'): ElectionEvent => ({
  kind: 'read',
  nowMs: NOW,
  random: 0,
  found,
});
const wrote = (
  outcome: Extract<ElectionEvent, { kind: 'wrote' }>['outcome'],
  sentAtMs = NOW - 100,
): ElectionEvent => ({ kind: 'wrote', nowMs: NOW, sentAtMs, random: 0, outcome });
const accepted = (transitions: number) =>
  ({ kind: 'accepted', lease: lease('me', { transitions }) }) as const;
const jumped: ElectionEvent = { kind: 'jumped', nowMs: NOW };
const stop: ElectionEvent = { kind: 'stop', nowMs: NOW };

const became = (role: 'leader' | 'follower', term: number) => ({ kind: 'changed', role, term });
const write = (expected: Partial<LeaseWrite>) => ({ kind: 'write', write: expected });
const claimOf = (version: string, transitions: number) =>
  write({ version, holder: 'me', durationMs: 15_000, transitions });
const renewal = write({
  version: '7',
  holder: 'me',
  durationMs: 15_000,
  transitions: 4,
  acquireTime: 'a',
});
const release = write({ version: '7', holder: '', durationMs: 1000, transitions: 4 });

interface Row {
  readonly name: string;
  readonly state: ElectionState;
  readonly event: ElectionEvent;
  readonly effects: readonly unknown[];
  readonly next: Partial<ElectionState>;
}

const rows: readonly Row[] = [
  // A follower
  {
    name: 'looks when it is time',
    state: follower,
    event: tick,
    effects: [{ kind: 'read' }],
    next: { pending: 'read' },
  },
  {
    name: 'does nothing before it is time',
    state: { ...follower, wakeAtMs: NOW + 1 },
    event: tick,
    effects: [],
    next: { pending: 'none' },
  },
  {
    name: 'claims a Lease that nobody holds, in a term of its own',
    state: reading(follower),
    event: read(lease('')),
    effects: [claimOf('7', 5)],
    next: { pending: 'write', claimed: true },
  },
  {
    name: 'creates a Lease that is not there',
    state: reading(follower),
    event: read('absent'),
    effects: [write({ holder: 'me', durationMs: 15_000, transitions: 1 })],
    next: { pending: 'write' },
  },
  {
    name: 'never reuses a term when the Lease was deleted',
    state: reading({ ...follower, term: 9 }),
    event: read('absent'),
    effects: [write({ holder: 'me', durationMs: 15_000, transitions: 10 })],
    next: {},
  },
  {
    name: 'claims a Lease in its own name anew, for it does not know since when',
    state: reading(follower),
    event: read(lease('me')),
    effects: [claimOf('7', 5)],
    next: {},
  },
  {
    name: 'waits from its first sight of another holder, however old the times in the record are',
    state: reading(follower),
    event: read(lease('other')),
    effects: [],
    next: { changedAtMs: NOW, wakeAtMs: NOW + 2000, pending: 'none' },
  },
  {
    name: 'goes on counting while the record stays the same',
    state: reading(waiting),
    event: read(lease('other', { version: '8' })),
    effects: [],
    next: { changedAtMs: NOW - 5000 },
  },
  {
    name: 'counts anew when the holder renewed',
    state: reading(waiting),
    event: read(lease('other', { renewTime: 'r2' })),
    effects: [],
    next: { changedAtMs: NOW },
  },
  {
    name: 'claims what was not renewed for the duration that its holder published',
    state: reading({ ...waiting, observed: lease('other', { durationMs: 5000 }) }),
    event: read(lease('other', { durationMs: 5000 })),
    effects: [claimOf('7', 5)],
    next: {},
  },
  {
    name: 'waits for a longer duration than its own if the holder published one',
    state: reading({
      ...waiting,
      changedAtMs: NOW - 20_000,
      observed: lease('other', { durationMs: 30_000 }),
    }),
    event: read(lease('other', { durationMs: 30_000 })),
    effects: [],
    next: {},
  },
  {
    name: 'tries later when it cannot read',
    state: reading(follower),
    event: read('failed'),
    effects: [],
    next: { wakeAtMs: NOW + 2000 },
  },
  {
    name: 'leads when its claim was accepted, from when it was sent',
    state: writing(follower),
    event: wrote(accepted(5)),
    effects: [became('leader', 5)],
    next: { role: 'leader', term: 5, holdsUntilMs: NOW + 9900, wakeAtMs: NOW + 1900 },
  },
  {
    name: 'does not lead by an answer that took longer than the deadline',
    state: writing(follower),
    event: wrote(accepted(5), NOW - 10_000),
    effects: [],
    next: { role: 'follower', wakeAtMs: NOW },
  },
  {
    name: 'does not lead a term twice when the answer to its renewal comes late',
    state: writing({ ...follower, term: 4 }),
    event: wrote(accepted(4)),
    effects: [],
    next: { role: 'follower', wakeAtMs: NOW },
  },
  ...(['stale', 'unknown', 'failed'] as const).map((kind) => ({
    name: `tries later when its claim is ${kind}`,
    state: writing(follower),
    event: wrote({ kind }),
    effects: [],
    next: { role: 'follower', pending: 'none', wakeAtMs: NOW + 2000 } as const,
  })),
  {
    name: 'ends without a request if it never claimed',
    state: follower,
    event: stop,
    effects: [{ kind: 'ended' }],
    next: { role: 'stopped' },
  },
  {
    name: 'looks for something to release if a claim of it may have been taken',
    state: { ...follower, claimed: true },
    event: stop,
    effects: [{ kind: 'read' }],
    next: { role: 'stopping' },
  },
  ...[reading(follower), writing(follower)].map((state) => ({
    name: `waits for what is under way when it is stopped during a ${state.pending}`,
    state,
    event: stop,
    effects: [],
    next: { role: 'stopping' } as const,
  })),
  // A leader
  {
    name: 'renews when it is time',
    state: leader,
    event: tick,
    effects: [renewal],
    next: { pending: 'write' },
  },
  {
    name: 'looks first where it does not know what stands there',
    state: { ...leader, fresh: false },
    event: tick,
    effects: [{ kind: 'read' }],
    next: { pending: 'read' },
  },
  {
    name: 'extends its hold from the sending of an accepted renewal',
    state: writing(leader),
    event: wrote(accepted(4), NOW - 500),
    effects: [],
    next: { role: 'leader', holdsUntilMs: NOW + 9500, wakeAtMs: NOW + 1500 },
  },
  ...(['stale', 'unknown'] as const).map((kind) => ({
    name: `reads back at once when its renewal is ${kind}, and holds meanwhile`,
    state: writing(leader),
    event: wrote({ kind }),
    effects: [{ kind: 'read' }],
    next: { role: 'leader', holdsUntilMs: NOW + 8000, fresh: false } as const,
  })),
  {
    name: 'tries again when its renewal was refused',
    state: writing(leader),
    event: wrote({ kind: 'failed' }),
    effects: [],
    next: { role: 'leader', fresh: true, wakeAtMs: NOW + 2000 },
  },
  {
    name: 'stays when it reads its own name, and renews over that version',
    state: reading({ ...leader, fresh: false }),
    event: read(lease('me', { version: '9', renewTime: 'r2' })),
    effects: [],
    next: { role: 'leader', fresh: true, holdsUntilMs: NOW + 8000 },
  },
  ...[lease('other', { transitions: 5 }), lease(''), 'absent' as const].map((found) => ({
    name: `stops at once when it reads ${found === 'absent' ? 'that the Lease is gone' : `"${found.holder}" as holder`}`,
    state: reading(leader),
    event: read(found),
    effects: [became('follower', 4)],
    next: { role: 'follower', holdsUntilMs: Number.NEGATIVE_INFINITY } as const,
  })),
  {
    name: 'holds on while it cannot read',
    state: reading(leader),
    event: read('failed'),
    effects: [],
    next: { role: 'leader', holdsUntilMs: NOW + 8000, wakeAtMs: NOW + 2000 },
  },
  ...[leader, reading(leader), writing(leader)].flatMap((state) => [
    {
      name: `stops when its deadline has come (${state.pending} under way)`,
      state: { ...state, holdsUntilMs: NOW },
      event: tick,
      effects: [became('follower', 4), ...(state.pending === 'none' ? [{ kind: 'read' }] : [])],
      next: { role: 'follower' } as const,
    },
    {
      name: `stops when the machine was suspended (${state.pending} under way)`,
      state,
      event: jumped,
      effects: [became('follower', 4)],
      next: { role: 'follower', holdsUntilMs: Number.NEGATIVE_INFINITY } as const,
    },
  ]),
  {
    name: 'releases when it is stopped, having ceased to lead first',
    state: leader,
    event: stop,
    effects: [became('follower', 4), release],
    next: { role: 'releasing', holdsUntilMs: Number.NEGATIVE_INFINITY },
  },
  ...[reading(leader), writing(leader)].map((state) => ({
    name: `ceases at once when it is stopped during a ${state.pending}`,
    state,
    event: stop,
    effects: [became('follower', 4)],
    next: { role: 'stopping' } as const,
  })),
  // Stopping
  {
    name: 'releases what it finds in its name',
    state: reading(stopping),
    event: read(lease('me')),
    effects: [release],
    next: { role: 'releasing' },
  },
  {
    name: 'leaves what another holds',
    state: reading(stopping),
    event: read(lease('other')),
    effects: [{ kind: 'ended' }],
    next: { role: 'stopped' },
  },
  {
    name: 'does not insist on reading',
    state: reading(stopping),
    event: read('failed'),
    effects: [{ kind: 'ended' }],
    next: { role: 'stopped' },
  },
  {
    name: 'releases what was just renewed',
    state: writing(stopping),
    event: wrote(accepted(4)),
    effects: [release],
    next: { role: 'releasing' },
  },
  {
    name: 'reads back a write that it does not know the end of',
    state: writing(stopping),
    event: wrote({ kind: 'unknown' }),
    effects: [{ kind: 'read' }],
    next: { role: 'stopping' },
  },
  {
    name: 'releases although its renewal was refused',
    state: writing(stopping),
    event: wrote({ kind: 'failed' }),
    effects: [release],
    next: { role: 'releasing' },
  },
  ...(['accepted', 'stale', 'unknown', 'failed'] as const).map((kind) => ({
    name: `ends after its release, ${kind} or not`,
    state: writing({ ...stopping, role: 'releasing' }),
    event: wrote(kind === 'accepted' ? { kind, lease: lease('') } : { kind }),
    effects: [{ kind: 'ended' }],
    next: { role: 'stopped' } as const,
  })),
  // Deaf
  ...[
    reading(stopping),
    writing(stopping),
    writing({ ...stopping, role: 'releasing' } as const),
    { ...stopping, role: 'stopped' } as const,
  ].flatMap((state) =>
    [tick, stop, jumped].map((event) => ({
      name: 'does not care',
      state,
      event,
      effects: [],
      next: { role: state.role },
    })),
  ),
  ...[reading(follower), writing(follower)].map((state) => ({
    name: 'waits for its answer',
    state,
    event: tick,
    effects: [],
    next: { pending: state.pending },
  })),
  ...[reading(leader), writing(leader)].map((state) => ({
    name: 'waits for its answer',
    state,
    event: tick,
    effects: [],
    next: { role: 'leader', pending: state.pending } as const,
  })),
  ...[follower, reading(follower), writing(follower)].map((state) => ({
    name: 'has nothing to lose',
    state,
    event: jumped,
    effects: [],
    next: { role: 'follower' } as const,
  })),
];

describe.each(['follower', 'leader', 'stopping', 'releasing', 'stopped'] as const)('a %s', (role) => {
  test.each(rows.filter(({ state }) => state.role === role))('$name ($event.kind)', (row) => {
    const { state, effects } = step(row.state, row.event, RULES);
    expect(effects).toEqual(row.effects);
    expect(state).toMatchObject(row.next);
  });
});

test('every state that can be is shown with every event that can come in it', () => {
  const states = [
    ...['none', 'read', 'write'].flatMap((pending) => [`follower ${pending}`, `leader ${pending}`]),
    ...['stopping read', 'stopping write', 'releasing write', 'stopped none'],
  ];
  const expected = states.flatMap((state) => [
    ...['tick', 'jumped', 'stop'].map((event) => `${state}: ${event}`),
    ...(state.endsWith('read') ? [`${state}: read`] : []),
    ...(state.endsWith('write') ? [`${state}: wrote`] : []),
  ]);
  const shown = new Set(rows.map(({ state, event }) => `${state.role} ${state.pending}: ${event.kind}`));
  expect([...shown].toSorted()).toEqual(expected.toSorted());
});

test('retries are jittered, so that candidates do not meet for ever', () => {
  const event: ElectionEvent = { kind: 'read', nowMs: NOW, random: 0.5, found: 'failed' };
  expect(step(reading(follower), event, RULES).state.wakeAtMs).toBe(NOW + 2200);
});

test('a leader is woken by its deadline even while an answer is out', () => {
  expect(nextTickMs(writing(leader))).toBe(NOW + 8000);
  expect(nextTickMs(writing(follower))).toBe(Number.POSITIVE_INFINITY);
});

test.each([
  { name: "client-go's defaults are fine", rules: [15_000, 10_000, 2000], problems: 0 },
  { name: 'a deadline as long as the Lease', rules: [10_000, 10_000, 2000], problems: 1 },
  { name: 'a retry that with its jitter meets the deadline', rules: [15_000, 2400, 2000], problems: 1 },
  { name: 'half a second', rules: [1500, 1000, 200], problems: 1 },
  { name: 'nothing at all', rules: [0, 0, 0], problems: 4 },
])('$name: $problems problems', ({ rules, problems }) => {
  const [leaseDurationMs = 0, renewDeadlineMs = 0, retryPeriodMs = 0] = rules;
  expect(electionProblems({ leaseDurationMs, renewDeadlineMs, retryPeriodMs })).toHaveLength(problems);
});
