/** Placement against a dumb twin, and what must hold of it whatever the gateways and addresses are. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rendezvousWeight } from '../rendezvous.ts';
import type { Gateway, Standing } from './gatewayRank.ts';
import { type Placement, place, type Unplaced } from './placement.ts';

interface Input {
  readonly addresses: readonly Unplaced[];
  readonly gateways: readonly Gateway[];
}

const STANDINGS: readonly Standing[] = ['fit', 'leaving', 'unhealthy'];
const NAMES = ['gw-1', 'gw-2', 'gw-3', 'gw-4', 'gw-5'];

const gateways = fc
  .tuple(
    ...NAMES.map((name) =>
      fc.record({
        name: fc.constant(name),
        zone: fc.constantFrom('a', 'b'),
        capacity: fc.integer({ min: 0, max: 12 }),
        standing: fc.oneof(
          { weight: 3, arbitrary: fc.constant('fit' as const) },
          fc.constantFrom(...STANDINGS),
        ),
        waits: fc.boolean(),
      }),
    ),
  )
  .map((all) =>
    all.map(
      ({ standing, waits, ...rest }): Gateway =>
        standing === 'fit'
          ? { ...rest, standing, waits: false }
          : { ...rest, standing, why: 'cordoned', waits },
    ),
  );
const input: fc.Arbitrary<Input> = fc.record({
  gateways,
  addresses: fc
    .array(
      fc.record({ eligible: fc.subarray(NAMES), holder: fc.constantFrom(undefined, 'gone', ...NAMES) }),
      {
        maxLength: 20,
      },
    )
    .map((all) =>
      all.map(({ holder, eligible }, at): Unplaced => {
        const name = `ip-${String(at).padStart(2, '0')}`;
        return holder === undefined ? { name, eligible } : { name, eligible, holder };
      }),
    ),
});

const rankOf = ({ standing }: Gateway): number => STANDINGS.indexOf(standing);

/** Who holds what, one address after the other, each time looking at every gateway and counting anew. */
function placeDumbly({ addresses, gateways: all }: Input): ReadonlyMap<string, string> {
  const at = new Map<string, string>();
  const eligible = ({ eligible: names }: Unplaced) => all.filter(({ name }) => names.includes(name));
  const kept = (it: Unplaced) => eligible(it).find(({ name }) => name === it.holder);
  for (const it of addresses) if (kept(it) !== undefined) at.set(it.name, it.holder ?? '');
  const count = (gateway: string) => [...at.values()].filter((name) => name === gateway).length;
  const move = (it: Unplaced): void => {
    const now = kept(it);
    if (now !== undefined && (now.standing === 'fit' || now.waits)) return;
    let best: Gateway | undefined;
    for (const other of eligible(it)) {
      if (count(other.name) >= other.capacity) continue;
      if (now !== undefined && rankOf(other) >= rankOf(now)) continue;
      if (best === undefined || isBetter(it.name, other, best)) best = other;
    }
    if (best !== undefined) at.set(it.name, best.name);
  };
  const isBetter = (address: string, a: Gateway, b: Gateway): boolean => {
    const fill = ({ name, capacity }: Gateway) => count(name) / capacity;
    if (rankOf(a) !== rankOf(b)) return rankOf(a) < rankOf(b);
    if (fill(a) !== fill(b)) return fill(a) < fill(b);
    return rendezvousWeight(address, a.name) > rendezvousWeight(address, b.name);
  };
  for (const it of addresses) if (kept(it) === undefined) move(it);
  for (const it of addresses) if (kept(it) !== undefined) move(it);
  for (const it of addresses) if (!at.has(it.name)) move(it);
  return at;
}

function holders(placed: ReadonlyMap<string, Placement>): ReadonlyMap<string, string> {
  return new Map(
    [...placed].flatMap(([name, { order }]) => (order[0] === undefined ? [] : [[name, order[0]] as const])),
  );
}

function check(property: (given: Input, placed: ReadonlyMap<string, Placement>) => void): void {
  fc.assert(
    fc.property(input, (given) => property(given, place(given.addresses, given.gateways))),
    { numRuns: 500 },
  );
}

test('every address is where the dumb twin has it', () => {
  check((given, placed) => {
    expect(holders(placed)).toEqual(placeDumbly(given));
  });
});

test('the order in which gateways and addresses come makes no difference', () => {
  fc.assert(
    fc.property(
      input.chain((given) =>
        fc.record({
          given: fc.constant(given),
          addresses: fc.shuffledSubarray([...given.addresses], { minLength: given.addresses.length }),
          others: fc.shuffledSubarray([...given.gateways], { minLength: given.gateways.length }),
        }),
      ),
      ({ given, addresses, others }) => {
        const turned = addresses.map((it) => ({ ...it, eligible: it.eligible.toReversed() }));
        expect(place(turned, others)).toEqual(place(given.addresses, given.gateways));
      },
    ),
  );
});

test('nothing moves from a gateway that is fit or waits, nor to one that is no better', () => {
  check(({ addresses, gateways: all }, placed) => {
    for (const { name, eligible, holder } of addresses) {
      const before = all.find((it) => it.name === holder && eligible.includes(it.name));
      const after = all.find((it) => it.name === placed.get(name)?.order[0]);
      if (before === undefined || after === before) continue;
      expect(before.standing !== 'fit' && !before.waits).toBe(true);
      expect(after !== undefined && rankOf(after) < rankOf(before)).toBe(true);
    }
  });
});

test('what was placed stays where it is when it is placed again, but for what found none that is fit', () => {
  check(({ addresses, gateways: all }, placed) => {
    // What found room only where it may not stay goes on from there: another one's leaving may have made room meanwhile.
    const fit = new Set(all.filter(({ standing }) => standing === 'fit').map(({ name }) => name));
    const moved = addresses.flatMap(({ name, holder }) => {
      const now = placed.get(name)?.order[0];
      return now === undefined || now === holder ? [] : [now];
    });
    fc.pre(moved.every((gateway) => fit.has(gateway)));
    const again = addresses.map(({ name, eligible, holder }) => {
      const now = placed.get(name)?.order[0] ?? holder;
      return now === undefined ? { name, eligible } : { name, eligible, holder: now };
    });
    expect(holders(place(again, all))).toEqual(holders(placed));
  });
});

test('no gateway is given more than it may hold', () => {
  check(({ addresses, gateways: all }, placed) => {
    for (const { name, capacity } of all) {
      const held = addresses.filter((it) => placed.get(it.name)?.order[0] === name);
      const before = addresses.filter((it) => it.holder === name && it.eligible.includes(name));
      if (held.some((it) => it.holder !== name)) expect(held.length).toBeLessThanOrEqual(capacity);
      else expect(held.length).toBeLessThanOrEqual(before.length);
    }
  });
});

test('a dead gateway leaves its addresses to all who are fit, as evenly as they come', () => {
  const deaths = fc.record({ count: fc.integer({ min: 1, max: 40 }), dead: fc.constantFrom(...NAMES) });
  fc.assert(
    fc.property(deaths, ({ count, dead }) => {
      const all = NAMES.map(
        (name): Gateway => ({ name, zone: 'a', capacity: 64, standing: 'fit', waits: false }),
      );
      const eligible = NAMES.filter((name) => name !== dead);
      const wanted = Array.from(
        { length: count },
        (_, at): Unplaced => ({ name: `ip-${at}`, eligible, holder: dead }),
      );
      const held = [...holders(place(wanted, all)).values()];
      const loads = eligible.map((name) => held.filter((it) => it === name).length);
      expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
    }),
  );
});

test('standbys are others, once each, the willing before the unwilling, and of another zone where one is as willing', () => {
  check(({ addresses, gateways: all }, placed) => {
    for (const { name, eligible } of addresses) {
      const order = (placed.get(name)?.order ?? []).flatMap((it) => all.filter((other) => other.name === it));
      const [holder, ...standbys] = order;
      expect(new Set(order).size).toBe(order.length);
      expect(order.every((it) => eligible.includes(it.name))).toBe(true);
      expect(standbys.map(rankOf)).toEqual(standbys.map(rankOf).toSorted());
      const last = standbys.at(-1);
      if (holder === undefined || last === undefined) continue;
      const unnamed = all.filter((it) => eligible.includes(it.name) && !order.includes(it));
      const held = (gateway: string) => [...holders(placed).values()].filter((it) => it === gateway).length;
      const far = unnamed.filter(
        (it) => it.zone !== holder.zone && rankOf(it) <= rankOf(last) && held(it.name) < it.capacity,
      );
      // Room is counted as if the holder's other addresses had gone to their standbys before.
      const spare = far.filter((it) => it.capacity - held(it.name) > addresses.length);
      if (spare.length > 0) expect(standbys.some(({ zone }) => zone !== holder.zone)).toBe(true);
    }
  });
});

test('every place has a reason that people can read', () => {
  check(({ addresses }, placed) => {
    expect(placed.size).toBe(addresses.length);
    for (const { reason } of placed.values())
      expect(reason).toMatch(
        /^(stays where it is|stays \(cordoned\): no better gateway has room|waits for its turn to leave it \(cordoned\)|has the most room of \d eligible|no gateway is eligible|every eligible gateway is full)$/,
      );
  });
});
