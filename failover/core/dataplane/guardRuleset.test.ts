import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  addressCommands,
  armCommands,
  disarmCommands,
  GUARD,
  grantCommands,
  guardCommands,
  heartbeatMark,
  insertCommand,
  renderGuardRuleset,
  sessionMark,
  unguardCommands,
} from './guardRuleset.ts';

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

test('the chain of an address holds from its arming to its disarming', () => {
  const table = new Table().run(
    insertCommand(5, 7, 200) + grantCommands(5, 7) + armCommands('203.0.113.1', 5),
  );
  expect(table.of('guarded')).toEqual({ '203.0.113.1': '' });
  const mark = table.of('address_session')['203.0.113.1'] ?? '';
  const beat = table.of('session_heartbeat')[mark] ?? '';
  expect(table.of('live')[beat]).toBe('200ms');
  table.run(disarmCommands('203.0.113.1'));
  expect(table.of('address_session')).toEqual({});
  // It stays guarded: it may still be on the device.
  expect(table.of('guarded')).toEqual({ '203.0.113.1': '' });
});

test('a session hangs on its newest granted heartbeat, and no other session on any', () => {
  const table = new Table().run(grantCommands(5, 7) + grantCommands(5, 9));
  expect(table.of('session_heartbeat')).toEqual({ [sessionMark(5)]: `${heartbeatMark(5, 9)}` });
  table.run(grantCommands(6, 1));
  expect(table.of('session_heartbeat')).toEqual({ [sessionMark(6)]: `${heartbeatMark(6, 1)}` });
});

test('all that is armed, written whole, leaves nothing else armed and all of it guarded', () => {
  const table = new Table().run(armCommands('203.0.113.9', 4) + guardCommands(['203.0.113.8']));
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

// The table itself.

test('the table is replaced whole, and names every set that the commands write', () => {
  const { text } = renderGuardRuleset('eth0');
  expect(text.startsWith(`table ${GUARD}\ndelete table ${GUARD}\ntable ${GUARD} {\n`)).toBe(true);
  for (const name of ['guarded', 'live']) expect(text).toContain(`set ${name} {`);
  for (const name of ['address_session', 'session_heartbeat']) expect(text).toContain(`map ${name} {`);
  expect(text.split('{').length).toBe(text.split('}').length);
});

test('a packet that is guarded goes out only by the end of the chain, and is counted if not', () => {
  const { text } = renderGuardRuleset('eth0');
  const fence = text
    .match(/chain fence \{\n([^}]*)\n {2}\}/)?.[1]
    ?.split('\n')
    .map((line) => line.trim());
  expect(fence).toEqual([
    'meta mark set 0',
    'meta mark set arp saddr ip map @address_session',
    'meta mark set meta mark map @session_heartbeat',
    'meta mark @live accept',
    'counter name fenced drop',
  ]);
});

test('another uplink is another table by name', () => {
  expect(renderGuardRuleset('eth0').fingerprint).toBe(renderGuardRuleset('eth0').fingerprint);
  expect(renderGuardRuleset('eth0').fingerprint).not.toBe(renderGuardRuleset('eth1').fingerprint);
});

test('no heartbeat has the mark that a packet has at first: every address would hang on it', () => {
  for (const it of [2048, 4096]) expect(heartbeatMark(it, 1 << 20)).not.toBe(0);
});
