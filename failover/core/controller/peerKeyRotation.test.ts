import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PEER_KEY_ID_MAX } from '../peerKeys.ts';
import { describePeerKeyStep } from './describePeerKeyStep.ts';
import {
  type AgentKeys,
  agentKeysOf,
  CLOCK_SKEW_MAX_MS,
  ID_STEP_MAX,
  type KnownPeerKeys,
  PEER_KEY_ACTS,
  type PeerKeyStep,
  type Presence,
  type StoredKey,
  type StoredPeerKeys,
} from './peerKeyFacts.ts';
import { decidePeerKeys, PATIENCE_MS, RETIRE_WAIT_MS } from './peerKeyRotation.ts';

const WEEK_MS = 7 * 24 * 3_600_000;
const NOW_MS = Date.UTC(2026, 0, 31);
const YOUNG_MS = NOW_MS - 1000;
const OLD_MS = NOW_MS - WEEK_MS;

function agent(node: string, accepted: readonly number[], change: Partial<AgentKeys> = {}): AgentKeys {
  return { node, presence: 'ready', accepted, signing: accepted[0] ?? 0, ...change };
}
const three = (accepted: readonly number[], change: Partial<AgentKeys> = {}) =>
  ['a', 'b', 'c'].map((node) => agent(node, accepted, change));

function key(id: number, change: Partial<StoredKey> = {}): StoredKey {
  return { id, readable: true, madeMs: YOUNG_MS, ...change };
}
function secret(
  keys: readonly StoredKey[],
  change: { readonly signing?: number | undefined; readonly asked?: boolean } = {},
): StoredPeerKeys {
  return { kind: 'present', keys, signing: 1, asked: false, ...change };
}

const base = {
  remembered: [],
  agents: three([1]),
  wallMs: NOW_MS,
  monotonicMs: 0,
  rotateEveryMs: WEEK_MS,
  idStep: 1,
} as const;

/** What stands in the Secret, and what agents hold by then. */
const STATES = {
  absent: { ...base, stored: { kind: 'absent' } },
  unsigned: { ...base, stored: secret([key(1)], { signing: undefined }) },
  misnamed: { ...base, stored: secret([key(1)], { signing: 7 }) },
  unreadable: { ...base, stored: secret([key(1, { readable: false })]) },
  emptied: { ...base, stored: secret([], { signing: undefined }) },
  halfWritten: { ...base, stored: secret([key(1), key(2, { readable: false })]) },
  settled: { ...base, stored: secret([key(1)]) },
  undated: { ...base, stored: secret([key(1, { madeMs: undefined })]) },
  old: { ...base, stored: secret([key(1, { madeMs: OLD_MS })]) },
  asked: { ...base, stored: secret([key(1)], { asked: true }) },
  spreading: { ...base, stored: secret([key(1, { madeMs: OLD_MS }), key(2)]) },
  spreadingAsked: { ...base, stored: secret([key(1, { madeMs: OLD_MS }), key(2)], { asked: true }) },
  retiring: {
    ...base,
    stored: secret([key(1, { madeMs: OLD_MS }), key(2)], { signing: 2 }),
    agents: three([1, 2]),
  },
} as const satisfies Readonly<Record<string, KnownPeerKeys>>;
type StateName = keyof typeof STATES;

interface Happening {
  readonly change: Partial<KnownPeerKeys>;
  /** How long the Secret has been standing so by then. */
  readonly sinceMs?: number;
}
const lags = (presence: Presence, sinceMs: number): Happening => ({
  change: { agents: [...three([1, 2], { signing: 2 }), agent('d', [1], { presence })] },
  sinceMs,
});

const HAPPENINGS = {
  nothing: { change: {} },
  remembered: { change: { remembered: [1] } },
  allAccept: { change: { agents: three([1, 2]) } },
  allSign: { change: { agents: three([1, 2], { signing: 2 }) } },
  allSignForLong: { change: { agents: three([1, 2], { signing: 2 }) }, sinceMs: RETIRE_WAIT_MS },
  readyLags: lags('ready', PATIENCE_MS.ready - 1),
  readyLagsTooLong: lags('ready', PATIENCE_MS.ready),
  notReadyLags: lags('not-ready', PATIENCE_MS['not-ready'] - 1),
  notReadyLagsTooLong: lags('not-ready', PATIENCE_MS['not-ready']),
  goneLags: lags('gone', PATIENCE_MS.gone - 1),
  goneLagsTooLong: lags('gone', PATIENCE_MS.gone),
  nobody: { change: { agents: [] } },
  restarted: { change: { agents: three([]) } },
  clockAtZero: { change: { wallMs: 0 } },
  clockFarAhead: { change: { wallMs: Date.UTC(2200, 0, 1) } },
  clockBeyondDates: { change: { wallMs: Date.UTC(20_000, 0, 1) } },
  never: { change: { rotateEveryMs: 0 } },
} as const satisfies Readonly<Record<string, Happening>>;
type HappeningName = keyof typeof HAPPENINGS;

/** The first look sees the Secret, the second comes after the time that passed: what it decides. */
function decided(known: KnownPeerKeys, { change, sinceMs = 0 }: Happening): PeerKeyStep {
  const first = decidePeerKeys({ ...known, ...change }, undefined);
  return decidePeerKeys({ ...known, ...change, monotonicMs: sinceMs }, first.watch).step;
}

const MARKS = { stored: '', remembered: '!', held: '?', made: '+' } as const;
/** `sign 1 2 by 2`: the act, the keys, the one signed with. `1!` remembered, `1?` held by agents alone, `2+` made. */
function textOf(step: PeerKeyStep): string {
  if (step.kind === 'keep') return [step.phase, ...step.waitingFor].join(' ');
  const keys = step.next.keys.map(({ id, source }) => `${id}${MARKS[source]}`).join(' ');
  const left = step.leftBehind.map((node) => ` without ${node}`).join('');
  return `${step.act} ${keys} by ${step.next.signing}${left}`;
}

type Row = Readonly<Record<HappeningName, string>>;
/** The same, whatever happens, but for what is named. */
const row = (always: string, but: Partial<Row> = {}): Row => ({
  ...(Object.fromEntries(Object.keys(HAPPENINGS).map((name) => [name, always])) as Row),
  ...but,
});

const LAGS: readonly HappeningName[] = [
  'readyLags',
  'readyLagsTooLong',
  'notReadyLags',
  'notReadyLagsTooLong',
  'goneLags',
  'goneLagsTooLong',
];
const each = (names: readonly HappeningName[], text: string): Partial<Row> =>
  Object.fromEntries(names.map((name) => [name, text]));
/** Agents sign with 2 already, most of them. */
const ALL_SIGN: readonly HappeningName[] = ['allSign', 'allSignForLong', ...LAGS];
const NOBODY: readonly HappeningName[] = ['nobody', 'restarted'];

const FORGOTTEN = row('repair 1 by 1', {
  allAccept: 'repair 1 2? by 1',
  // They sign with what no keeper has: whoever starts could not.
  ...each(ALL_SIGN, 'repair 1 2? 3+ by 2'),
});
const SPREADING = row('spreading a b c', {
  ...each(['allAccept', 'allSign', 'allSignForLong', 'nobody'], 'sign 1 2 by 2'),
  ...each(['readyLags', 'notReadyLags', 'goneLags'], 'spreading d'),
  ...each(['readyLagsTooLong', 'notReadyLagsTooLong', 'goneLagsTooLong'], 'sign 1 2 by 2 without d'),
});
/** A new key gets a number that no agent has ever named. */
const ADDING = row('add 1 2+ by 1', each(['allAccept', ...ALL_SIGN], 'add 1 3+ by 1'));

const EXPECTED: Readonly<Record<StateName, Row>> = {
  absent: row('make 1? 2+ by 1', {
    remembered: 'make 1! 2+ by 1',
    allAccept: 'make 1? 2? 3+ by 1',
    ...each(ALL_SIGN, 'make 1? 2? 3+ by 2'),
    ...each(NOBODY, 'make 1+ by 1'),
  }),
  emptied: row('repair 1? 2+ by 1', {
    remembered: 'repair 1! by 1',
    allAccept: 'repair 1? 2? 3+ by 1',
    ...each(ALL_SIGN, 'repair 1? 2? 3+ by 2'),
    ...each(NOBODY, 'repair 1+ by 1'),
  }),
  unsigned: FORGOTTEN,
  misnamed: FORGOTTEN,
  unreadable: row('add 1? 2+ by 1', {
    remembered: 'repair 1! by 1',
    ...each(['allAccept', ...ALL_SIGN], 'add 1? 3+ by 1'),
    ...each(NOBODY, 'repair 2+ by 2'),
  }),
  halfWritten: row('repair 1 by 1', each(['allAccept', ...ALL_SIGN], 'add 1 2? 3+ by 1')),
  settled: row('settled', {
    clockAtZero: 'stamp 1 by 1',
    ...each(['clockFarAhead', 'clockBeyondDates'], 'add 1 2+ by 1'),
  }),
  undated: row('stamp 1 by 1'),
  old: { ...ADDING, never: 'settled', clockAtZero: 'stamp 1 by 1' },
  asked: ADDING,
  spreading: SPREADING,
  spreadingAsked: SPREADING,
  retiring: row('retiring a b c', {
    ...each(['allSign', 'nobody'], 'retiring'),
    allSignForLong: 'retire 2 by 2',
    ...each(['readyLags', 'notReadyLags', 'goneLags'], 'retiring d'),
    // What it may have sent at the last moment is waited for all the same.
    ...each(['readyLagsTooLong', 'notReadyLagsTooLong', 'goneLagsTooLong'], 'retiring'),
  }),
};

describe.each(Object.keys(STATES) as StateName[])('a Secret that is %s', (state) => {
  test.each(Object.keys(HAPPENINGS) as HappeningName[])('and then: %s', (happening) => {
    expect(textOf(decided(STATES[state], HAPPENINGS[happening]))).toBe(EXPECTED[state][happening]);
  });
});

test('every act and every phase that is waited in is in the table', () => {
  const texts = Object.values(EXPECTED).flatMap((it) => Object.values(it));
  expect(new Set(texts.map((text) => text.split(' ')[0]))).toEqual(
    new Set([...PEER_KEY_ACTS, 'settled', 'spreading', 'retiring']),
  );
});

describe('the waits', () => {
  const retiring = { ...STATES.retiring, agents: three([1, 2], { signing: 2 }) };

  test('the wait before a key is removed begins when the last agent has followed, not when the first has', () => {
    const late = [...three([1, 2], { signing: 2 }), agent('d', [1, 2])];
    const before = decidePeerKeys({ ...retiring, agents: late }, undefined).watch;
    const at = (monotonicMs: number, watch = before) => decidePeerKeys({ ...retiring, monotonicMs }, watch);
    const agreed = at(RETIRE_WAIT_MS);
    expect(textOf(agreed.step)).toBe('retiring');
    expect(textOf(at(2 * RETIRE_WAIT_MS - 1, agreed.watch).step)).toBe('retiring');
    expect(textOf(at(2 * RETIRE_WAIT_MS, agreed.watch).step)).toBe('retire 2 by 2');
  });

  test('one that falls back begins it anew', () => {
    const agreed = decidePeerKeys(retiring, undefined).watch;
    const late = [...retiring.agents, agent('d', [1, 2])];
    const fallen = decidePeerKeys({ ...retiring, agents: late, monotonicMs: RETIRE_WAIT_MS }, agreed);
    expect(textOf(fallen.step)).toBe('retiring d');
    const again = decidePeerKeys({ ...retiring, monotonicMs: RETIRE_WAIT_MS + 1 }, fallen.watch);
    expect(textOf(again.step)).toBe('retiring');
  });

  test('a new leader waits anew, whatever the wall clock says', () => {
    const known = { ...retiring, monotonicMs: 10 * RETIRE_WAIT_MS, wallMs: NOW_MS + WEEK_MS };
    expect(textOf(decidePeerKeys(known, undefined).step)).toBe('retiring');
  });

  test('a Secret that changed meanwhile is waited for from its change', () => {
    const other = decidePeerKeys({ ...STATES.spreading, agents: three([1]) }, undefined).watch;
    const known = { ...retiring, monotonicMs: 10 * RETIRE_WAIT_MS };
    expect(textOf(decidePeerKeys(known, other).step)).toBe('retiring');
  });

  test('who was not waited for is named when the old key goes too', () => {
    const known = { ...retiring, agents: [...retiring.agents, agent('d', [1], { presence: 'gone' })] };
    const first = decidePeerKeys(known, undefined).watch;
    const given = decidePeerKeys({ ...known, monotonicMs: PATIENCE_MS.gone }, first).watch;
    const monotonicMs = PATIENCE_MS.gone + RETIRE_WAIT_MS;
    expect(textOf(decidePeerKeys({ ...known, monotonicMs }, given).step)).toBe('retire 2 by 2 without d');
  });
});

test.each([
  { name: 'a little ahead, as clocks are', aheadMs: CLOCK_SKEW_MAX_MS, text: 'settled' },
  { name: 'far ahead', aheadMs: CLOCK_SKEW_MAX_MS + 1, text: 'stamp 1 by 1' },
])('a key whose time is $name: $text', ({ aheadMs, text }) => {
  const known = { ...base, stored: secret([key(1, { madeMs: NOW_MS + aheadMs })]) };
  expect(textOf(decidePeerKeys(known, undefined).step)).toBe(text);
});

test('a stamp is read back as it was written, so that nothing is written twice', () => {
  for (const wallMs of [-5, 0, 1234, NOW_MS + 999, Date.UTC(20_000, 0, 1)]) {
    const { step } = decidePeerKeys({ ...STATES.undated, wallMs }, undefined);
    const madeMs = step.kind === 'write' ? step.next.keys[0]?.madeMs : undefined;
    expect(madeMs).toSatisfy((it: number) => it % 1000 === 0 && new Date(it).toISOString().length === 24);
    const again = decidePeerKeys(
      { ...base, rotateEveryMs: 0, wallMs, stored: secret([key(1, { madeMs })]) },
      undefined,
    );
    expect(textOf(again.step)).toBe('settled');
  }
});

test.each([
  { name: 'a due key', stored: secret([key(PEER_KEY_ID_MAX)], { signing: PEER_KEY_ID_MAX, asked: true }) },
  { name: 'a lost Secret', stored: { kind: 'absent' } as const },
])('without a number left nothing is written over $name', ({ stored }) => {
  const known = { ...base, stored, agents: three([PEER_KEY_ID_MAX]) };
  expect(textOf(decidePeerKeys(known, undefined).step)).toBe('exhausted');
});

test('of several newer keys the newest is taken', () => {
  const known = { ...base, stored: secret([key(1), key(2), key(3)]), agents: three([1, 2, 3]) };
  expect(textOf(decidePeerKeys(known, undefined).step)).toBe('sign 1 2 3 by 3');
});

test('an agent that states no keys is waited for; its node tells for how long', () => {
  const node = { labels: {}, addresses: [], podCidrs: [], unschedulable: false };
  const views = {
    gatewayNodes: new Map([
      ['a', { name: 'a', peerKeys: { accepted: [1, 2], signing: 1 } }],
      ['b', { name: 'b' }],
      ['c', { name: 'c' }],
    ]),
    nodes: new Map([
      ['a', { ...node, name: 'a', ready: true }],
      ['b', { ...node, name: 'b', ready: false }],
    ]),
    // Of both objects only what is read: the rest of them is long.
  } as unknown as Parameters<typeof agentKeysOf>[0];
  expect(agentKeysOf(views)).toEqual([
    { node: 'a', presence: 'ready', accepted: [1, 2], signing: 1 },
    { node: 'b', presence: 'not-ready', accepted: [], signing: 0 },
    { node: 'c', presence: 'gone', accepted: [], signing: 0 },
  ]);
});

test('each act is told in a sentence of its own, and who was left behind makes it a warning', () => {
  const next = { keys: [{ id: 3, madeMs: 0, source: 'stored' } as const], signing: 3 };
  const told = PEER_KEY_ACTS.map((act) => describePeerKeyStep({ kind: 'write', act, next, leftBehind: [] }));
  for (const field of ['reason', 'message'] as const)
    expect(new Set(told.map((it) => it[field])).size).toBe(PEER_KEY_ACTS.length);
  expect(told.filter(({ type }) => type === 'Warning')).toHaveLength(1);
  const leftBehind = Array.from({ length: 9 }, (_, index) => `${index}`.repeat(253));
  const { type, message } = describePeerKeyStep({ kind: 'write', act: 'sign', next, leftBehind });
  expect([type, message.length < 1024, message.endsWith(' and 6 more.')]).toEqual(['Warning', true, true]);
});

describe('whatever stands in the Secret and whatever agents say', () => {
  const id = fc.integer({ min: 1, max: 5 });
  const ids = fc.uniqueArray(id, { maxLength: 4 }).map((it) => it.toSorted((a, b) => a - b));
  const time = fc.option(fc.integer({ min: -1, max: 4e12 }), { nil: undefined });
  const known: fc.Arbitrary<KnownPeerKeys> = fc.record({
    stored: fc.oneof(
      fc.constant<StoredPeerKeys>({ kind: 'absent' }),
      fc.record({
        kind: fc.constant('present' as const),
        keys: ids.chain((them) =>
          fc.tuple(
            ...them.map((it) => fc.record({ id: fc.constant(it), readable: fc.boolean(), madeMs: time })),
          ),
        ),
        signing: fc.option(id, { nil: undefined }),
        asked: fc.boolean(),
      }),
    ),
    remembered: ids,
    agents: fc.array(
      fc.record({
        node: fc.string(),
        presence: fc.constantFrom<Presence>('ready', 'not-ready', 'gone'),
        accepted: ids,
        signing: fc.integer({ min: 0, max: 5 }),
      }),
      { maxLength: 4 },
    ),
    wallMs: fc.integer({ min: -1e15, max: 1e15 }),
    monotonicMs: fc.integer({ min: 0, max: 1e9 }),
    rotateEveryMs: fc.constantFrom(0, WEEK_MS),
    idStep: fc.integer({ min: 1, max: ID_STEP_MAX }),
  });
  const watch = fc.option(
    fc.record({
      shape: fc.tuple(id, ids).map(([signing, them]) => `${signing} of ${them.join(',')}`),
      sinceMs: fc.integer({ min: 0, max: 1e9 }),
      agreedSinceMs: fc.option(fc.integer({ min: 0, max: 1e9 }), { nil: undefined }),
    }),
    { nil: undefined },
  );

  test('what is written is whole, takes no readable key that is in use, and uses no number twice', () => {
    fc.assert(
      fc.property(known, watch, (it, before) => {
        const { step } = decidePeerKeys(it, before);
        if (step.kind === 'keep') return;
        const { keys, signing } = step.next;
        const named = keys.map((key) => key.id);
        const stored = it.stored.kind === 'present' ? it.stored : { keys: [], signing: undefined };
        expect(named).toEqual([...new Set(named)].toSorted((a, b) => a - b));
        expect(named).toContain(signing);
        const used = [
          ...stored.keys.map((key) => key.id),
          ...it.remembered,
          ...it.agents.flatMap((a) => [...a.accepted, a.signing]),
        ];
        for (const { id, source } of keys) {
          if (source === 'made') expect(used).not.toContain(id);
          if (source === 'stored')
            expect(stored.keys).toContainEqual(expect.objectContaining({ id, readable: true }));
          if (source === 'remembered') expect(it.remembered).toContain(id);
        }
        // Nothing but the last step takes away what can be read, and that leaves what is signed with.
        const lost = stored.keys.filter((key) => key.readable && !named.includes(key.id));
        if (step.act !== 'retire') expect(lost).toEqual([]);
        else expect(lost.filter((key) => key.id >= signing)).toEqual([]);
        if (step.act === 'retire' || step.act === 'add' || step.act === 'stamp')
          expect(signing).toBe(stored.signing);
        // Another key is signed with only where all that are waited for accept it.
        if (step.act === 'sign')
          for (const { node, accepted } of it.agents)
            expect(accepted.includes(signing) || step.leftBehind.includes(node)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
