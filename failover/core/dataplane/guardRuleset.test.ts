import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deriveDurations } from '../ownership/durations.ts';
import {
  addressCommands,
  flushCommands,
  GUARD,
  guardCommands,
  guardedAddress,
  heartbeatMark,
  renderGuardRuleset,
  sessionMark,
  tokenCommands,
  unguardCommands,
} from './guardRuleset.ts';

const LIFETIMES = deriveDurations({ heartbeatMs: 25, sessionMs: 200 });

const session = fc.oneof(
  fc.integer({ min: 1, max: 5000 }),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
);
const seq = fc.oneof(fc.integer({ min: 1, max: 1 << 21 }), fc.integer({ min: 1, max: 2 ** 40 }));

/** What a transaction leaves of one set or map, key to value; what it does not understand it refuses. */
class Table {
  readonly sets = new Map<string, Map<string, string>>();

  of(name: string): Readonly<Record<string, string>> {
    return Object.fromEntries(this.sets.get(name) ?? new Map());
  }

  run(transaction: string): this {
    for (const line of transaction.split('\n').filter(Boolean)) this.#line(line);
    return this;
  }

  #line(line: string): void {
    const flush = line.match(/^flush (?:map|set) netdev sallyport_guard (\w+)$/);
    if (flush !== null) {
      this.sets.set(flush[1] ?? '', new Map());
      return;
    }
    const change = line.match(/^(add|delete) (?:element|set|map) netdev sallyport_guard (\w+) \{ (.*) \}$/);
    if (change === null) throw new Error(`not understood: ${line}`);
    const [, verb, name = '', body = ''] = change;
    const elements = body.includes('elements =') ? (body.match(/elements = \{ (.*) \};?/)?.[1] ?? '') : body;
    const held = this.sets.get(name) ?? new Map<string, string>();
    this.sets.set(name, held);
    for (const element of elements.split(', ')) {
      const [key = '', value = ''] = element.split(/ : | timeout /);
      if (verb === 'add') held.set(key, value);
      else if (!held.delete(key)) throw new Error(`there is no ${key} in ${name}`);
    }
  }
}

// Marks.

test('a session is never taken for a heartbeat: the top bit tells them apart', () => {
  fc.assert(
    fc.property(session, session, seq, (one, other, number) => {
      for (const mark of [sessionMark(one), heartbeatMark(other, number)]) {
        expect(Number.isInteger(mark)).toBe(true);
        expect(mark).toBeGreaterThanOrEqual(0);
        expect(mark).toBeLessThan(2 ** 32);
      }
      expect(sessionMark(one) >= 2 ** 31).toBe(true);
      expect(heartbeatMark(other, number) < 2 ** 31).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test('no session has the mark that a packet has at first, which hangs on nothing', () => {
  fc.assert(
    fc.property(session, (it) => {
      expect(sessionMark(it)).not.toBe(0);
    }),
  );
});

test('sessions that may follow each other have marks of their own', () => {
  fc.assert(
    fc.property(session, fc.integer({ min: 1, max: 1_000_000 }), (it, later) => {
      fc.pre(Number.isSafeInteger(it + later));
      expect(sessionMark(it)).not.toBe(sessionMark(it + later));
    }),
  );
});

test('of all heartbeats of seven hours no two share a mark, nor two of sessions that follow each other', () => {
  fc.assert(
    fc.property(session, seq, fc.integer({ min: 1, max: (1 << 20) - 1 }), (it, number, later) => {
      expect(heartbeatMark(it, number)).not.toBe(heartbeatMark(it, number + later));
      fc.pre(Number.isSafeInteger(it + 1));
      expect(heartbeatMark(it, number)).not.toBe(heartbeatMark(it + 1, number + later));
    }),
    { numRuns: 1000 },
  );
});

// What the commands leave in the table.

test('a token is the only one from the moment it is written', () => {
  const table = new Table().run(tokenCommands(Uint8Array.of(1, 2)) + tokenCommands(Uint8Array.of(0, 3, 4)));
  expect(table.of('tokens')).toEqual({ '0x304': '' });
});

test('a flush ends every right and every session, and leaves all guarded', () => {
  const table = new Table().run(addressCommands(new Map([['203.0.113.1', 5]])) + flushCommands(LIFETIMES));
  expect(table.of('address_session')).toEqual({});
  expect([table.of('valid'), table.of('sent_25'), table.of('sent_175')]).toEqual([{}, {}, {}]);
  expect([...table.sets.keys()].filter((name) => name.startsWith('sent_'))).toHaveLength(7);
  expect(table.of('guarded')).toEqual({ '203.0.113.1': '' });
});

test('all that is armed, written whole, leaves nothing else armed and all of it guarded', () => {
  const table = new Table().run(
    addressCommands(new Map([['203.0.113.9', 4]])) + guardCommands(['203.0.113.8']),
  );
  table.run(
    addressCommands(
      new Map([
        ['203.0.113.1', 5],
        ['203.0.113.2', 5],
      ]),
    ),
  );
  expect(table.of('address_session')).toEqual({
    '203.0.113.1': `${sessionMark(5)}`,
    '203.0.113.2': `${sessionMark(5)}`,
  });
  expect(Object.keys(table.of('guarded')).toSorted()).toEqual([
    '203.0.113.1',
    '203.0.113.2',
    '203.0.113.8',
    '203.0.113.9',
  ]);
  table.run(addressCommands(new Map()));
  expect(table.of('address_session')).toEqual({});
  expect(Object.keys(table.of('guarded'))).toHaveLength(4);
});

test('what is guarded no more is taken out, and nothing is written for none', () => {
  const table = new Table().run(
    guardCommands(['203.0.113.1', '203.0.113.2']) + unguardCommands(['203.0.113.1']),
  );
  expect(table.of('guarded')).toEqual({ '203.0.113.2': '' });
  expect([guardCommands([]), unguardCommands([])]).toEqual(['', '']);
});

test('IPv6 addresses are numbers in sets of their own, and are read back as what they are', () => {
  const table = new Table().run(
    guardCommands(['203.0.113.1', '2001:db8::1']) + addressCommands(new Map([['2001:db8::2', 5]])),
  );
  const [one, two] = ['0x20010db8000000000000000000000001', '0x20010db8000000000000000000000002'];
  expect(table.of('guarded')).toEqual({ '203.0.113.1': '' });
  expect(table.of('guarded6')).toEqual({ [one]: '', [two]: '' });
  expect(table.of('address_session6')).toEqual({ [two]: `${sessionMark(5)}` });
  expect(table.of('address_session')).toEqual({});
  expect(guardedAddress('guarded6', one)).toBe('2001:db8::1');
  expect(guardedAddress('guarded', '203.0.113.1')).toBe('203.0.113.1');
  expect(table.run(unguardCommands(['2001:db8::1'])).of('guarded6')).toEqual({ [two]: '' });
  expect(table.run(flushCommands(LIFETIMES)).of('address_session6')).toEqual({});
  expect(() => guardCommands(['2001:db8::x'])).toThrow(RangeError);
});

// The table itself.

test('the table is replaced whole, and names every set that the commands write', () => {
  const { text } = renderGuardRuleset('eth0', LIFETIMES);
  expect(text.startsWith(`table ${GUARD}\ndelete table ${GUARD}\ntable ${GUARD} {\n`)).toBe(true);
  for (const name of ['guarded', 'guarded6', 'tokens', 'sent_25', 'sent_175', 'valid'])
    expect(text).toContain(`set ${name} {`);
  for (const name of ['address_session', 'address_session6']) expect(text).toContain(`map ${name} {`);
  expect(text.split('{').length).toBe(text.split('}').length);
});

const chainOf = (name: string): readonly string[] | undefined =>
  renderGuardRuleset('eth0', LIFETIMES)
    .text.match(new RegExp(`chain ${name} \\{[^\n]*\n([^}]*)\n {2}\\}`))?.[1]
    ?.split('\n')
    .map((line) => line.trim());

const SPEAKS_FOR = [
  { chain: 'fence', where: 'arp saddr ip', map: 'address_session' },
  { chain: 'fence_target', where: '@th,64,128', map: 'address_session6' },
  { chain: 'fence_source', where: '@nh,64,128', map: 'address_session6' },
];

test.each(SPEAKS_FOR)(
  'a packet that is guarded goes out only by the end of $chain, and is counted if not',
  ({ chain, where, map }) => {
    expect(chainOf(chain)).toEqual([
      'meta mark set 0',
      `meta mark set ${where} map @${map}`,
      'meta mark @valid accept',
      'counter name fenced drop',
    ]);
  },
);

test('every way to speak for an address leads into its own chain, for good', () => {
  const ways = chainOf('guard')?.map((line) => / goto (\w+)$/.exec(line)?.[1]);
  expect(ways).toEqual(SPEAKS_FOR.map(({ chain }) => chain));
  expect(chainOf('guard')?.map((line) => line.split(' @guarded')[0])).toEqual([
    'arp saddr ip',
    'icmpv6 type nd-neighbor-advert @th,64,128',
    'icmpv6 type 133-137 @nh,64,128',
  ]);
});

test('a grant lets the kernel answer for what is left of the session by the first set that still holds its heartbeat', () => {
  const { text } = renderGuardRuleset('eth0', LIFETIMES);
  const grants = [...text.matchAll(/meta mark @sent_(\d+) update @valid \{ \S+ timeout (\d+)ms \}/g)];
  const windows = grants.map(([, within, answer]) => [Number(within), Number(answer)]);
  expect(windows).toHaveLength(7);
  expect(windows.map(([within]) => within)).toEqual(
    windows.map(([within]) => within).toSorted((a = 0, b = 0) => a - b),
  );
  for (const [within = 0, answer = 0] of windows) {
    expect(within + answer).toBe(200);
    expect(text).toContain(`timeout ${within}ms;`);
    expect(text).toContain(`add @sent_${within} {`);
  }
});

test('another uplink, or another lifetime, is another table by name', () => {
  expect(
    renderGuardRuleset('eth0', deriveDurations({ heartbeatMs: 25, sessionMs: 400 })).fingerprint,
  ).not.toBe(renderGuardRuleset('eth0', LIFETIMES).fingerprint);
  expect(renderGuardRuleset('eth0', LIFETIMES).fingerprint).toBe(
    renderGuardRuleset('eth0', LIFETIMES).fingerprint,
  );
  expect(renderGuardRuleset('eth0', LIFETIMES).fingerprint).not.toBe(
    renderGuardRuleset('eth1', LIFETIMES).fingerprint,
  );
});

test('no heartbeat has the mark that a packet has at first: every address would hang on it', () => {
  for (const it of [2048, 4096]) expect(heartbeatMark(it, 1 << 20)).not.toBe(0);
});
