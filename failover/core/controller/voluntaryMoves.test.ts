import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Policy } from '../../../policy/model.ts';
import { address, policyOf } from '../../../test/simulation/controllerWorld.ts';
import { type AddressFacts, loadOf } from './addressFacts.ts';
import { initialController, viewOf } from './controllerState.ts';
import { emptyEgressIp } from './emptyEgressIp.ts';
import type { Gateway } from './gatewayRank.ts';
import { decideVoluntaryMoves, followPace, fullPace, VOLUNTARY_MOVES_PER_MINUTE } from './voluntaryMoves.ts';

const NOW_MS = 1_000_000;
const MINUTE_MS = 60_000;

interface Fact {
  readonly holder: string;
  readonly home?: string;
  readonly owners?: readonly Policy[];
  readonly settled?: boolean;
  readonly eligible?: readonly string[];
}

const NAMES = ['gw-1', 'gw-2', 'gw-3'];
const returning = policyOf('r', [], { returnPolicy: 'Return', returnAfterMs: 5000 });
const staying = policyOf('s', [], { returnAfterMs: 0 });

function factsOf(facts: readonly Fact[]): readonly AddressFacts[] {
  return facts.map(({ holder, home, owners = [returning], settled = true, eligible = NAMES }, at) => {
    const name = `ip-${String(at).padStart(3, '0')}`;
    const claim = { name, address: address(at), owners, current: undefined };
    const current = { ...emptyEgressIp(claim, EMPTY_VIEW, 0), ...(home === undefined ? {} : { home }) };
    const all = new Set(eligible);
    return { claim: { ...claim, current }, holder, settled, eligible, allowed: all, chosen: all };
  });
}

const EMPTY_VIEW = (() => {
  const state = initialController();
  const caches = Object.fromEntries(Object.keys(state.caches).map((name) => [name, new Map()]));
  const view = viewOf({ ...state, caches: caches as unknown as typeof state.caches }, 0);
  if (view === undefined) throw new Error('every collection is there');
  return view;
})();

function decide(
  facts: readonly Fact[],
  change: {
    readonly gateways?: Readonly<Record<string, Partial<Gateway>>>;
    readonly sinceMs?: number;
    readonly pace?: readonly number[];
    readonly rebalancing?: readonly string[];
  } = {},
) {
  const { gateways = {}, sinceMs = NOW_MS - MINUTE_MS, pace = [], rebalancing = [] } = change;
  const addresses = factsOf(facts);
  return decideVoluntaryMoves(addresses, {
    gateways: NAMES.map((name) => ({
      name,
      zone: 'a',
      capacity: 100,
      standing: 'fit',
      waits: false,
      ...gateways[name],
    })),
    load: loadOf(addresses),
    fitSince: new Map(NAMES.map((name) => [name, { session: 1, sinceMs }])),
    pace,
    rebalancing: new Set(rebalancing),
    nowMs: NOW_MS,
  });
}

describe('an address returns', () => {
  const away: Fact = { holder: 'gw-2', home: 'gw-1' };

  test('to its home, if that was fit for long enough', () => {
    expect(decide([away]).moves).toEqual(new Map([['ip-000', { to: 'gw-1', reason: 'returned' }]]));
  });

  test.each([
    { name: 'it is at home', fact: { holder: 'gw-1', home: 'gw-1' } },
    { name: 'it has no home', fact: { holder: 'gw-2' } },
    { name: 'it is on its way', fact: { ...away, settled: false } },
    { name: 'its policy says Stay', fact: { ...away, owners: [staying] } },
    { name: 'one of its policies says Stay', fact: { ...away, owners: [returning, staying] } },
    { name: 'its home may not hold it now', fact: { ...away, eligible: ['gw-2', 'gw-3'] } },
    { name: 'its home is full', fact: away, change: { gateways: { 'gw-1': { capacity: 0 } } } },
    {
      name: 'its home is to leave',
      fact: away,
      change: { gateways: { 'gw-1': { standing: 'leaving' as const } } },
    },
    {
      name: 'its holder is to leave, which has a turn of its own',
      fact: away,
      change: { gateways: { 'gw-2': { standing: 'leaving' as const } } },
    },
    { name: 'its home is not fit for long enough', fact: away, change: { sinceMs: NOW_MS - 4999 } },
  ])('not while $name', ({ fact, change = {} }) => {
    expect(decide([fact], change).moves.size).toBe(0);
  });

  test('after the longest time that one of its policies wants, and we are woken for it', () => {
    const slow = policyOf('slow', [], { returnPolicy: 'Return', returnAfterMs: 90_000 });
    const plan = decide([{ ...away, owners: [returning, slow] }]);
    expect([plan.moves.size, plan.wakeMs]).toEqual([0, NOW_MS + 30_000]);
  });
});

describe('a rebalance', () => {
  const asked = (count: number, holder: string): readonly Fact[] =>
    Array.from({ length: count }, () => ({ holder, owners: [staying] }));

  test('moves from the fullest to the emptiest until no move makes them more even', () => {
    const plan = decide([...asked(7, 'gw-1'), ...asked(2, 'gw-2')], { rebalancing: ['uid-s'] });
    const targets = [...plan.moves.values()].map(({ to }) => to);
    expect(targets.toSorted()).toEqual(['gw-2', 'gw-3', 'gw-3', 'gw-3']);
    expect([...plan.uneven]).toEqual(['uid-s']);
  });

  test('goes by how full gateways are, not by how many addresses they hold', () => {
    const gateways = { 'gw-1': { capacity: 90 }, 'gw-2': { capacity: 30 }, 'gw-3': { capacity: 0 } };
    const plan = decide([...asked(6, 'gw-1'), ...asked(2, 'gw-2')], { rebalancing: ['uid-s'], gateways });
    expect([plan.moves.size, plan.uneven.size]).toEqual([0, 0]);
  });

  test('touches only what asks, and counts what does not', () => {
    const others = Array.from({ length: 4 }, (): Fact => ({ holder: 'gw-3' }));
    const plan = decide([...asked(2, 'gw-1'), ...others], { rebalancing: ['uid-s'] });
    expect([...plan.moves]).toEqual([['ip-000', { to: 'gw-2', reason: 'rebalanced' }]]);
  });

  test('is not done while an address of it is on its way', () => {
    const plan = decide([{ holder: 'gw-1', owners: [staying], settled: false }], { rebalancing: ['uid-s'] });
    expect([plan.moves.size, [...plan.uneven]]).toEqual([0, ['uid-s']]);
  });

  test('ends: placed again and again it comes to rest, as even as it can be', () => {
    const holders = fc.array(fc.constantFrom(...NAMES), { maxLength: 40 });
    fc.assert(
      fc.property(holders, (start) => {
        let now = start;
        for (let round = 0; ; round += 1) {
          expect(round).toBeLessThan(4);
          const facts = now.map((holder): Fact => ({ holder, owners: [staying] }));
          const { moves, uneven } = decide(facts, { rebalancing: ['uid-s'] });
          expect(uneven.size > 0).toBe(moves.size > 0);
          if (moves.size === 0) break;
          now = now.map((holder, at) => moves.get(`ip-${String(at).padStart(3, '0')}`)?.to ?? holder);
        }
        const loads = NAMES.map((name) => now.filter((it) => it === name).length);
        expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('in any minute', () => {
  const many = Array.from({ length: 50 }, (): Fact => ({ holder: 'gw-2', home: 'gw-1' }));

  test('only so many moves are begun, and the next when the first is a minute old', () => {
    const fresh = decide(many);
    expect(fresh.moves.size).toBe(VOLUNTARY_MOVES_PER_MINUTE);
    const begun = Array.from({ length: VOLUNTARY_MOVES_PER_MINUTE - 2 }, () => NOW_MS - 20_000);
    const some = decide(many, { pace: begun });
    expect([some.moves.size, some.wakeMs]).toEqual([2, NOW_MS + 40_000]);
  });

  test('returns and rebalances count together', () => {
    const facts = many.map((fact) => ({ ...fact, owners: [returning] }));
    const plan = decide(facts, { rebalancing: ['uid-r'], gateways: { 'gw-1': { capacity: 10 } } });
    expect(plan.moves.size).toBeLessThanOrEqual(VOLUNTARY_MOVES_PER_MINUTE);
  });

  test('a new leader begins none in its first, for it does not know of those before', () => {
    expect(decide(many, { pace: fullPace(NOW_MS - 1) }).moves.size).toBe(0);
    expect(decide(many, { pace: fullPace(NOW_MS - MINUTE_MS) }).moves.size).toBe(VOLUNTARY_MOVES_PER_MINUTE);
  });

  test('moves are forgotten after it', () => {
    expect(followPace([NOW_MS - MINUTE_MS, NOW_MS - 1], 2, NOW_MS)).toEqual([NOW_MS - 1, NOW_MS, NOW_MS]);
  });
});
