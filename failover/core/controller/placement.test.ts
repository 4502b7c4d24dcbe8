import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Gateway } from './gatewayRank.ts';
import { place, type Unplaced } from './placement.ts';

function gateway(name: string, change: Partial<Gateway> = {}): Gateway {
  return { name, zone: 'a', capacity: 256, standing: 'fit', waits: false, ...change };
}

const cordoned = { standing: 'leaving', why: 'cordoned' } as const;
const three = [gateway('gw-1'), gateway('gw-2'), gateway('gw-3', { zone: 'b' })];
const everywhere = three.map(({ name }) => name);

describe('placement', () => {
  test('keeps an address where it is and prefers a standby in another zone', () => {
    expect(
      place([{ name: '203.0.113.10', eligible: everywhere, holder: 'gw-2' }], three).get('203.0.113.10'),
    ).toEqual({
      order: ['gw-2', 'gw-3', 'gw-1'],
      reason: 'stays where it is',
    });
  });

  test('a cordoned holder hands over, unless everyone is cordoned', () => {
    const held: Unplaced = { name: 'x', eligible: everywhere, holder: 'gw-1' };
    const one = three.map((it) => (it.name === 'gw-1' ? { ...it, ...cordoned } : it));
    expect(place([held], one).get('x')?.order[0]).not.toBe('gw-1');
    const all = three.map((it) => ({ ...it, ...cordoned }));
    expect(place([held], all).get('x')?.order[0]).toBe('gw-1');
  });

  test('with nobody eligible, or everyone full, the address is placed nowhere', () => {
    expect(place([{ name: 'x', eligible: [] }], three).get('x')?.order).toEqual([]);
    const full = [gateway('gw-1', { capacity: 1 })];
    const both = place(
      [
        { name: 'x', eligible: ['gw-1'] },
        { name: 'y', eligible: ['gw-1'] },
      ],
      full,
    );
    expect([...both.values()].map(({ order }) => order.length).toSorted()).toEqual([0, 1]);
  });

  test('the addresses of a gateway that dies would go to all survivors alike', () => {
    const gateways = ['gw-1', 'gw-2', 'gw-3', 'gw-4'].map((name, at) =>
      gateway(name, { zone: at < 2 ? 'a' : 'b' }),
    );
    const names = gateways.map(({ name }) => name);
    const wanted = Array.from(
      { length: 30 },
      (_, at): Unplaced => ({ name: `ip-${at}`, eligible: names, holder: 'gw-1' }),
    );
    const placed = place(wanted, gateways);
    const firsts = [...placed.values()].map(({ order }) => order[1]);
    for (const name of ['gw-2', 'gw-3', 'gw-4'])
      expect(firsts.filter((first) => first === name)).toHaveLength(10);
  });

  test('a standby of another zone is named even where those of the own zone have more room', () => {
    const own = ['gw-1', 'gw-2', 'gw-3', 'gw-4', 'gw-5'].map((name) => gateway(name));
    const gateways = [...own, gateway('far', { zone: 'b', capacity: 3 })];
    const names = gateways.map(({ name }) => name);
    const wanted = ['x', 'y'].map((name): Unplaced => ({ name, eligible: names, holder: 'gw-1' }));
    for (const { order } of place(wanted, gateways).values()) expect(order).toContain('far');
  });

  test('an unhealthy holder hands over to a cordoned one, never to another that is unhealthy', () => {
    const held: Unplaced = { name: 'x', eligible: everywhere, holder: 'gw-1' };
    const standings = (...all: readonly Gateway['standing'][]) =>
      three.map((it, at) => ({ ...it, standing: all[at] ?? 'fit', why: 'told' }));
    expect(place([held], standings('unhealthy', 'unhealthy', 'leaving')).get('x')?.order).toEqual([
      'gw-3',
      'gw-1',
      'gw-2',
    ]);
    expect(place([held], standings('unhealthy', 'unhealthy', 'unhealthy')).get('x')).toMatchObject({
      order: ['gw-1', expect.anything(), expect.anything()],
      reason: 'stays (told): no better gateway has room',
    });
    expect(place([held], standings('leaving', 'unhealthy', 'unhealthy')).get('x')?.order[0]).toBe('gw-1');
  });

  test('a holder that waits for its turn keeps what it holds and is given nothing', () => {
    const gateways = three.map((it) => (it.name === 'gw-1' ? { ...it, ...cordoned, waits: true } : it));
    const placed = place(
      [
        { name: 'x', eligible: everywhere, holder: 'gw-1' },
        { name: 'y', eligible: everywhere },
      ],
      gateways,
    );
    expect(placed.get('x')).toMatchObject({
      order: ['gw-1', expect.anything(), expect.anything()],
      reason: 'waits for its turn to leave it (cordoned)',
    });
    expect(placed.get('y')?.order[0]).not.toBe('gw-1');
  });

  test('a drained gateway keeps what finds no room elsewhere, and what nobody holds goes first', () => {
    const gateways = [gateway('gw-1', { ...cordoned, capacity: 3 }), gateway('gw-2', { capacity: 1 })];
    const eligible = ['gw-1', 'gw-2'];
    const placed = place(
      [
        { name: 'a', eligible, holder: 'gw-1' },
        { name: 'b', eligible, holder: 'gw-1' },
        { name: 'c', eligible, holder: 'gone' },
      ],
      gateways,
    );
    expect([...placed.values()].map(({ order }) => order[0])).toEqual(['gw-1', 'gw-1', 'gw-2']);
  });

  const cases = fc.record({
    count: fc.integer({ min: 2, max: 6 }),
    addresses: fc.integer({ min: 1, max: 40 }),
    dead: fc.nat(5),
    shuffle: fc.infiniteStream(fc.nat()),
  });

  test('one gateway leaving moves only its addresses, spread evenly over the others', () => {
    fc.assert(
      fc.property(cases, ({ count, addresses, dead, shuffle }) => {
        const gateways = Array.from({ length: count }, (_, index) => gateway(`gw-${index}`));
        const names = gateways.map(({ name }) => name);
        const wanted = Array.from(
          { length: addresses },
          (_, index): Unplaced => ({ name: `ip-${index}`, eligible: names }),
        );
        const before = place(wanted, gateways);
        const loads = countHolders(before);
        expect(
          Math.max(...names.map((name) => loads.get(name) ?? 0)) -
            Math.min(...names.map((name) => loads.get(name) ?? 0)),
        ).toBeLessThanOrEqual(1);

        const gone = `gw-${dead % count}`;
        const eligible = names.filter((name) => name !== gone);
        const holderOf = (name: string) => before.get(name)?.order[0] ?? '';
        const after = place(
          wanted.map(({ name }) => ({ name, eligible, holder: holderOf(name) })),
          gateways,
        );
        for (const { name } of wanted) {
          const holder = after.get(name)?.order[0];
          if (holderOf(name) === gone) expect(eligible).toContain(holder);
          else expect(holder).toBe(holderOf(name));
        }
        const survivors = eligible.map((name) => countHolders(after).get(name) ?? 0);
        expect(Math.max(...survivors) - Math.min(...survivors)).toBeLessThanOrEqual(1);

        const reordered = wanted
          .map((it) => ({ it, key: shuffle.next().value }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ it }) => it);
        expect(place(reordered, gateways.toReversed())).toEqual(before);
      }),
    );
  });
});

function countHolders(placed: ReturnType<typeof place>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { order } of placed.values()) {
    const [holder] = order;
    if (holder !== undefined) counts.set(holder, (counts.get(holder) ?? 0) + 1);
  }
  return counts;
}
