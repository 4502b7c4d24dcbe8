import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PeerMessage, Verdict } from './messages.ts';
import { parsePeerMessage, parseVoterConfig } from './parsePeerMessage.ts';
import { renderPeerMessage } from './renderPeerMessage.ts';
import type { VoterConfig } from './voterConfig.ts';

const name = fc.string({ maxLength: 253 });
const natural = fc.maxSafeNat();
const session = fc.record({ gateway: name, session: natural });
const echo = fc.record({ session: natural, boot: name, seq: natural });
const config: fc.Arbitrary<VoterConfig> = fc.record({
  version: natural,
  sets: fc.array(fc.array(name, { maxLength: 5 }), { maxLength: 2 }),
});
const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc.record({ kind: fc.constant('granted' as const), generation: name }),
  fc.record({ kind: fc.constant('refused' as const), highest: natural }),
  fc.constant({ kind: 'retracting' as const }),
  fc.constant({ kind: 'outdated' as const }),
);
const holdings = fc.array(
  fc.record({
    address: name,
    right: fc.record({ epoch: natural, index: natural }),
    blocksVersion: natural,
  }),
  { maxLength: 50 },
);
const statements = {
  echo,
  dead: fc.dictionary(
    name.filter((it) => it !== '__proto__'),
    natural,
    { noNullPrototype: true },
  ),
  configVersion: natural,
};
const span = { after: natural, upTo: natural };
const asking = { candidate: session, target: session, address: name, epoch: natural };

/** One for each kind: a kind that is missing here does not compile. */
const MESSAGES: {
  readonly [K in PeerMessage['kind']]: fc.Arbitrary<Extract<PeerMessage, { readonly kind: K }>>;
} = {
  heartbeat: fc.record(
    {
      kind: fc.constant('heartbeat'),
      session: natural,
      boot: name,
      seq: natural,
      configVersion: natural,
      closed: fc.boolean(),
      awaits: fc.array(name, { maxLength: 5 }),
    },
    { requiredKeys: ['kind', 'session', 'boot', 'seq', 'configVersion', 'closed'] },
  ),
  answer: fc.record(
    { kind: fc.constant('answer'), verdict, ...statements, config },
    { requiredKeys: ['kind', 'verdict', 'echo', 'dead', 'configVersion'] },
  ),
  statements: fc.record({ kind: fc.constant('statements'), ...statements }),
  ask: fc.record({ kind: fc.constant('ask'), ...asking, last: fc.boolean() }),
  told: fc.record({
    kind: fc.constant('told'),
    ...asking,
    state: fc.constantFrom('released' as const, 'holding' as const),
  }),
  moved: fc.record({ kind: fc.constant('moved'), session: natural, ...span, holdings }),
  'moved-ack': fc.record({ kind: fc.constant('moved-ack'), session: natural, ...span }),
  hello: fc.record({ kind: fc.constant('hello') }),
};

const KINDS = Object.entries(MESSAGES).map(([kind, arbitrary]) => ({
  name: kind,
  message: arbitrary as fc.Arbitrary<PeerMessage>, // What is common to all is enough here.
}));

function onTheWire(message: PeerMessage): Readonly<Record<string, unknown>> {
  return JSON.parse(renderPeerMessage(message));
}

type Path = readonly (string | number)[];

/** Every place in a JSON value. */
function pathsIn(value: unknown, at: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [at];
  const keys = Array.isArray(value) ? value.map((_, index) => index) : Object.keys(value);
  return [
    at,
    ...keys.flatMap((key) => pathsIn((value as Record<string | number, unknown>)[key], [...at, key])),
  ];
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((it, key) => (it as Record<string | number, unknown>)[key], value);
}

/** A copy with the value at `path` replaced; undefined: taken out. */
function changed(value: unknown, path: Path, by: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<
    string | number,
    unknown
  >;
  copy[key] = changed(copy[key], rest, by);
  return JSON.parse(JSON.stringify(copy));
}

/** Of another type than any field may have in the place of `value`. */
function wrongFor(value: unknown): readonly unknown[] {
  const others: readonly unknown[] = [null, 1.5, -1, 2 ** 53, 'x'.repeat(254), true, [null], { a: {} }];
  switch (typeof value) {
    case 'boolean':
      return others.filter((it) => typeof it !== 'boolean');
    default:
      return others;
  }
}

test.each(KINDS)('a message of kind $name comes out of JSON as it went in', ({ message }) => {
  fc.assert(
    fc.property(message, (it) => {
      expect(parsePeerMessage(onTheWire(it))).toEqual(it);
    }),
  );
});

test.each(KINDS)('a message of kind $name with any field of a wrong type is refused', ({ message }) => {
  fc.assert(
    fc.property(message.map(onTheWire), fc.nat(), fc.nat(), (it, where, how) => {
      const paths = pathsIn(it);
      const path = paths[where % paths.length] ?? [];
      const wrong = wrongFor(valueAt(it, path));
      expect(parsePeerMessage(changed(it, path, wrong[how % wrong.length]))).toBeUndefined();
    }),
    { numRuns: 1000 },
  );
});

test.each(KINDS)('a message of kind $name that lacks a field is refused', ({ message }) => {
  fc.assert(
    fc.property(message.map(onTheWire), fc.nat(), (it, which) => {
      const fields = Object.keys(it).filter((field) => field !== 'config' && field !== 'awaits');
      const field = fields[which % fields.length] ?? '';
      expect(parsePeerMessage(changed(it, [field], undefined))).toBeUndefined();
    }),
  );
});

test('whatever JSON comes is read or refused, and nothing throws', () => {
  const kind = fc.constantFrom(...Object.keys(MESSAGES), 'other');
  const fields = ['session', 'boot', 'seq', 'echo', 'dead', 'verdict', 'candidate', 'holdings', 'config'];
  const anything = fc.oneof(
    fc.jsonValue(),
    fc.tuple(kind, fc.dictionary(fc.constantFrom(...fields), fc.jsonValue())).map(([it, rest]) => ({
      ...rest,
      kind: it,
    })),
  );
  fc.assert(
    fc.property(anything, (raw) => {
      const parsed = parsePeerMessage(raw);
      expect(parsed === undefined || parsed.kind in MESSAGES).toBe(true);
    }),
  );
});

test.each([
  { name: 'more voters in a set than any packet holds', sets: [Array.from({ length: 1025 }, () => 'a')] },
  { name: 'a voter that is no name', sets: [['a', 7]] },
  { name: 'no sets', sets: undefined },
])('a voter configuration with $name is refused', ({ sets }) => {
  expect(parseVoterConfig({ version: 1, sets })).toBeUndefined();
});

test('what a newer agent adds to a message is left out', () => {
  const ask = fc.sample(MESSAGES.ask, 1)[0];
  expect(parsePeerMessage({ ...ask, later: 1 })).toEqual(ask);
  const moved = { kind: 'moved', session: 1, after: 0, upTo: 1 };
  expect(parsePeerMessage({ ...moved, holdings: [['203.0.113.1', 3, 0, 2, 'later']] })).toEqual({
    ...moved,
    holdings: [{ address: '203.0.113.1', right: { epoch: 3, index: 0 }, blocksVersion: 2 }],
  });
});
