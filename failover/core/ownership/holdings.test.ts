import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Announcing,
  acknowledge,
  announceAgain,
  announceWakeMs,
  becomeHolding,
  becomeUnknown,
  isAnnounced,
  NOT_ANNOUNCING,
} from './holdings.ts';
import { type Holding, holdingBytes, MOVED_BYTES_MAX } from './messages.ts';

const PEERS = ['w-1', 'w-2'];

function holding(host: number, fields: Partial<Holding> = {}): Holding {
  return { address: `203.0.113.${host}`, right: { epoch: 3, index: 0 }, blocksVersion: 1, ...fields };
}

function holds(holdings: readonly Holding[], nowMs = 0, from: Announcing = NOT_ANNOUNCING): Announcing {
  return becomeHolding(from, { session: 5, holdings, nowMs });
}

function neverSent(): never {
  throw new Error('there was no such part');
}

/** Everything that is said from `fromMs` until `untilMs`, while the peers in `acking` answer at once. */
function listen(
  from: Announcing,
  span: { readonly fromMs?: number; readonly untilMs: number; readonly acking?: readonly string[] },
) {
  const { fromMs = 0, untilMs, acking = [] } = span;
  const heard: { readonly atMs: number; readonly to: string; readonly addresses: readonly string[] }[] = [];
  let announcing = from;
  let nowMs = fromMs;
  for (let next = announceWakeMs(announcing); next !== undefined && Math.max(next, nowMs) <= untilMs; ) {
    nowMs = Math.max(next, nowMs);
    const said = announceAgain(announcing, PEERS, nowMs);
    announcing = said.announcing;
    for (const { to, message } of said.outgoing) {
      if (message.kind !== 'moved') throw new Error('only moves are announced');
      heard.push({ atMs: nowMs, to, addresses: message.holdings.map(({ address }) => address) });
      const { session, after, upTo } = message;
      if (acking.includes(to))
        announcing = acknowledge(announcing, to, { kind: 'moved-ack', session, after, upTo });
    }
    next = announceWakeMs(announcing);
  }
  return { announcing, heard };
}

test('what is held is told to every peer at once, and again every 20 ms to those that have not acknowledged it', () => {
  const { heard } = listen(holds([holding(1)]), { untilMs: 60, acking: ['w-1'] });
  expect(heard.map(({ atMs, to }) => `${atMs} ${to}`)).toEqual([
    '0 w-1',
    '0 w-2',
    '20 w-2',
    '40 w-2',
    '60 w-2',
  ]);
});

test('a peer that acknowledged a part is told the rest', () => {
  const ack = { kind: 'moved-ack', session: 5, after: 0, upTo: 1 } as const;
  const announcing = acknowledge(holds([holding(1), holding(2)]), 'w-1', ack);
  const { outgoing } = announceAgain(announcing, ['w-1'], 0);
  expect(outgoing.map(({ message }) => message)).toEqual([
    { kind: 'moved', session: 5, after: 1, upTo: 2, holdings: [holding(2)] },
  ]);
});

test('a peer that acknowledged what lies behind a gap is told all of it again', () => {
  const now = holds([holding(1), holding(2)]);
  const ack = { kind: 'moved-ack', session: 5, after: 1, upTo: 2 } as const;
  expect(acknowledge(now, 'w-1', ack)).toBe(now);
});

test('an acknowledgement of what was never said counts for nothing', () => {
  const now = holds([holding(1)]);
  const ack = { kind: 'moved-ack', session: 5, after: 0, upTo: 2 } as const;
  expect(acknowledge(now, 'w-1', ack)).toBe(now);
});

test('a peer that stays silent is asked ever more seldom, and given up until the next refreshing', () => {
  const { heard } = listen(holds([holding(1)]), { untilMs: 7000 });
  const times = heard.filter(({ to }) => to === 'w-2').map(({ atMs }) => atMs);
  expect(times).toEqual([0, 20, 40, 60, 80, 120, 200, 360, 680, 1320, 2600]);
});

test('everybody is told anew every five seconds, once, also who acknowledged: it may have restarted', () => {
  const { heard } = listen(holds([holding(1)]), { untilMs: 16_000, acking: ['w-1'] });
  const times = (peer: string) => heard.filter(({ to }) => to === peer).map(({ atMs }) => atMs);
  expect(times('w-1')).toEqual([0, 7600, 12_600]);
  expect(times('w-2').filter((atMs) => atMs > 2600)).toEqual([7600, 12_600]);
});

test('a peer that is new is told at once, and nobody else who knows', () => {
  const { announcing } = listen(holds([holding(1)]), { untilMs: 3000, acking: PEERS });
  const { heard } = listen(becomeUnknown(announcing, 'w-2', 3000), {
    fromMs: 3000,
    untilMs: 3100,
    acking: ['w-2'],
  });
  expect(heard).toEqual([{ atMs: 3000, to: 'w-2', addresses: ['203.0.113.1'] }]);
});

test('who holds nothing has nothing to say to a peer that is new', () => {
  expect(becomeUnknown(NOT_ANNOUNCING, 'w-2', 3000)).toBe(NOT_ANNOUNCING);
});

test('a thousand peers are told in small parts, each of them in every round, and refreshed at a bounded pace', () => {
  const peers = Array.from({ length: 1000 }, (_, index) => `n-${index}`);
  let announcing = holds([holding(1)]);
  const told = new Map<string, number>();
  const perSecond: number[] = [];
  let last = 0;
  let most = 0;
  for (let nowMs = 0; nowMs < 40_000; nowMs = announceWakeMs(announcing) ?? Number.NaN) {
    const said = announceAgain(announcing, peers, nowMs);
    announcing = said.announcing;
    most = Math.max(most, said.outgoing.length);
    perSecond[Math.floor(nowMs / 1000)] = (perSecond[Math.floor(nowMs / 1000)] ?? 0) + said.outgoing.length;
    for (const { to } of said.outgoing) told.set(to, (told.get(to) ?? 0) + 1);
    if (said.outgoing.length > 0) last = nowMs;
  }
  expect(new Set(told.values())).toEqual(new Set([11 + 3]));
  expect(most).toBe(12);
  expect(Math.max(...Object.values(perSecond))).toBeLessThanOrEqual(3000 + 12);
  expect(last).toBeGreaterThan(30_000);
});

test('more than fits one packet is told in several', () => {
  const each = Math.floor(MOVED_BYTES_MAX / holdingBytes(holding(100)));
  const many = Array.from({ length: 2 * each + 1 }, (_, index) => holding(100 + index));
  const { heard } = listen(holds(many), { untilMs: 0, acking: PEERS });
  const told = heard.filter(({ to }) => to === 'w-1').map(({ addresses }) => addresses);
  expect(told.map(({ length }) => length)).toEqual([each, each, 1]);
  expect(told.flat()).toEqual(many.map(({ address }) => address));
});

test('whose packet was lost of several is told from there on, and from nowhere else', () => {
  const each = Math.floor(MOVED_BYTES_MAX / holdingBytes(holding(100)));
  const many = Array.from({ length: 3 * each }, (_, index) => holding(100 + index));
  const { announcing, outgoing } = announceAgain(holds(many), ['w-1'], 0);
  const acks = outgoing.map(({ message }) => {
    if (message.kind !== 'moved') throw new Error('only moves are announced');
    const { session, after, upTo } = message;
    return { kind: 'moved-ack', session, after, upTo } as const;
  });
  const toldAgain = (heard: readonly number[]): readonly string[] => {
    const known = heard.reduce((it, part) => acknowledge(it, 'w-1', acks[part] ?? neverSent()), announcing);
    return listen(known, { untilMs: 20 }).heard.flatMap(({ to, addresses }) =>
      to === 'w-1' ? addresses : [],
    );
  };
  const names = many.map(({ address }) => address);
  expect(toldAgain([0])).toEqual(names.slice(each));
  expect(toldAgain([0, 1])).toEqual(names.slice(2 * each));
  expect(toldAgain([1, 0, 2])).toEqual(names.slice(each));
  expect(toldAgain([1, 2])).toEqual(names);
  expect(toldAgain([0, 1, 2, 0, 1])).toEqual([]);
});

test('whatever is lost on the way, a peer counts as told only of what it heard, and hears everything in the end', () => {
  const change = fc.record({ host: fc.nat({ max: 120 }), held: fc.boolean(), version: fc.nat({ max: 2 }) });
  const rounds = fc.array(
    fc.record({
      changes: fc.array(change, { maxLength: 60 }),
      lost: fc.array(fc.boolean(), { maxLength: 40 }),
    }),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(rounds, (steps) => {
      const held = new Map<number, Holding>();
      const heard = new Map<string, string>();
      let announcing = NOT_ANNOUNCING;
      let nowMs = 0;
      const hear = (lost: readonly boolean[]): void => {
        nowMs = Math.max(nowMs, announceWakeMs(announcing) ?? nowMs);
        const said = announceAgain(announcing, ['w-1'], nowMs);
        announcing = said.announcing;
        for (const [index, { message }] of said.outgoing.entries()) {
          if (message.kind !== 'moved' || lost[2 * index] === true) continue;
          const { session, after, upTo, holdings } = message;
          for (const it of holdings) heard.set(it.address, JSON.stringify(it));
          if (lost[2 * index + 1] === true) continue;
          announcing = acknowledge(announcing, 'w-1', { kind: 'moved-ack', session, after, upTo });
        }
      };
      const knows = (): boolean =>
        [...held.values()].every((it) => heard.get(it.address) === JSON.stringify(it));
      for (const { changes, lost } of steps) {
        for (const { host, held: holdsIt, version } of changes)
          if (holdsIt) held.set(host, holding(host, { blocksVersion: version }));
          else held.delete(host);
        announcing = holds([...held.values()], nowMs, announcing);
        hear(lost);
        // Who would be told nothing more knows everything.
        const next = announceAgain(announcing, ['w-1'], Number.MAX_SAFE_INTEGER).outgoing;
        expect(next.length > 0 || knows()).toBe(true);
      }
      hear([]);
      expect(knows()).toBe(true);
    }),
  );
});

test('addresses that are armed one after another are no word of their own each', () => {
  const said = listen(holds([holding(1)]), { untilMs: 0 }).announcing;
  expect(announceWakeMs(holds([holding(1), holding(2)], 1, said))).toBe(4);
  expect(announceWakeMs(holds([holding(1), holding(2)], 9, said))).toBe(9);
});

test.each([
  { name: 'a higher right', news: holding(1, { right: { epoch: 4, index: 0 } }) },
  { name: 'more ports', news: holding(1, { blocksVersion: 2 }) },
])('an address that is held by $name is told again, and what was acknowledged already is not', ({ news }) => {
  const first = listen(holds([holding(1), holding(2)]), { untilMs: 0, acking: PEERS }).announcing;
  expect(isAnnounced(first, [holding(1), holding(2)])).toBe(true);
  expect(isAnnounced(first, [news, holding(2)])).toBe(false);
  const { heard } = listen(holds([news, holding(2)], 100, first), { untilMs: 100, acking: PEERS });
  expect(heard.map(({ to, addresses }) => `${to} ${addresses}`)).toEqual([
    'w-1 203.0.113.1',
    'w-2 203.0.113.1',
  ]);
});

test('an acknowledgement of an older word, or to a former session, counts for nothing', () => {
  const now = holds([holding(1, { blocksVersion: 2 })], 0, holds([holding(1)]));
  const ack = { kind: 'moved-ack', session: 5, after: 0, upTo: 1 } as const;
  expect(announceAgain(acknowledge(now, 'w-1', ack), ['w-1'], 0).outgoing).toHaveLength(1);
  expect(announceAgain(acknowledge(now, 'w-1', { ...ack, upTo: 2 }), ['w-1'], 0).outgoing).toEqual([]);
  const former = { ...ack, session: 4 } as const;
  expect(acknowledge(now, 'w-1', former)).toBe(now);
});

test('what is acknowledged late, after news, still counts for what was said', () => {
  const news = holds([holding(1), holding(2)], 4, holds([holding(1)]));
  const heard = acknowledge(news, 'w-1', { kind: 'moved-ack', session: 5, after: 0, upTo: 1 });
  expect(listen(heard, { fromMs: 4, untilMs: 4 }).heard).toEqual([
    { atMs: 4, to: 'w-1', addresses: ['203.0.113.2'] },
    { atMs: 4, to: 'w-2', addresses: ['203.0.113.1', '203.0.113.2'] },
  ]);
});

test('news does not send the turn back: every peer hears of the first while addresses come one by one', () => {
  const peers = Array.from({ length: 30 }, (_, index) => `n-${index}`);
  const told = new Set<string>();
  let announcing = NOT_ANNOUNCING;
  for (let news = 1; news <= 3; news += 1) {
    const holdings = Array.from({ length: news }, (_, index) => holding(index));
    announcing = holds(holdings, news * 4, announcing);
    const said = announceAgain(announcing, peers, news * 4);
    for (const { to } of said.outgoing) told.add(to);
    announcing = said.announcing;
  }
  expect([...told].toSorted()).toEqual(peers.toSorted());
});

test('a new session tells everything anew', () => {
  const first = listen(holds([holding(1)]), { untilMs: 0, acking: PEERS }).announcing;
  const next = becomeHolding(first, { session: 6, holdings: [holding(1)], nowMs: 50 });
  expect(announceAgain(next, PEERS, 50).outgoing).toHaveLength(2);
});

test('who holds nothing says nothing and need not be woken', () => {
  const empty = holds([], 100, holds([holding(1)]));
  expect(announceWakeMs(empty)).toBeUndefined();
  expect(announceAgain(empty, PEERS, 10_000).outgoing).toEqual([]);
  expect(announceWakeMs(NOT_ANNOUNCING)).toBeUndefined();
});

test('without peers nothing is said, and the next look is at the next refreshing', () => {
  const { announcing, outgoing } = announceAgain(holds([holding(1)]), [], 0);
  expect(outgoing).toEqual([]);
  expect(announceWakeMs(announcing)).toBe(5000);
});
