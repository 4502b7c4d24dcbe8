import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rangesOverlap } from '../cidr.ts';
import type { AddressRange } from '../model.ts';
import { RangeIndex } from './rangeIndex.ts';

interface Item {
  readonly range: AddressRange;
}
const rangeOf = ({ range }: Item): AddressRange => range;
const encloses = (outer: AddressRange, inner: AddressRange): boolean =>
  outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;

/** The dumb twin: a list that is walked. */
class Twin {
  readonly items: Item[] = [];
  overlapping(sought: AddressRange): readonly Item[] {
    return this.items.filter(({ range }) => rangesOverlap(range, sought));
  }
  enclosing(sought: AddressRange): readonly Item[] {
    return this.items.filter(({ range }) => encloses(range, sought));
  }
}

function expectSame(index: RangeIndex<Item>, twin: Twin, sought: AddressRange): void {
  const found = index.overlapping(sought);
  expect(found).toHaveLength(twin.overlapping(sought).length);
  expect(new Set(found)).toEqual(new Set(twin.overlapping(sought)));
  const firsts = found.map(({ range }) => range.first);
  expect(firsts).toEqual(firsts.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
  const enclosing: Item[] = [];
  index.visitEnclosing(sought, (item) => enclosing.push(item) > 0);
  expect(new Set(enclosing)).toEqual(new Set(twin.enclosing(sought)));
  expect(index.overlaps(sought)).toBe(found.length > 0);
}

const ranges = (span: number, size: number) =>
  fc.tuple(fc.nat(span), fc.nat(size), fc.boolean()).map(
    ([first, length, v6]): AddressRange => ({
      family: v6 ? 6 : 4,
      first: BigInt(first),
      last: BigInt(first + length),
    }),
  );

describe('the range index', () => {
  test('says after every addition and removal what a walk over all items says', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ add: ranges(60, 12) }) },
      { weight: 2, arbitrary: fc.record({ remove: fc.nat() }) },
    );
    fc.assert(
      fc.property(
        fc.array(ranges(60, 12), { maxLength: 20 }),
        fc.array(step, { maxLength: 60 }),
        ranges(70, 20),
        (built, steps, sought) => {
          const twin = new Twin();
          twin.items.push(...built.map((range) => ({ range })));
          const index = new RangeIndex(rangeOf, twin.items);
          expectSame(index, twin, sought);
          for (const change of steps) {
            if ('add' in change) {
              const item = { range: change.add };
              twin.items.push(item);
              index.add(item);
            } else if (twin.items.length > 0) {
              const [item] = twin.items.splice(change.remove % twin.items.length, 1);
              expect(item !== undefined && index.remove(item)).toBe(true);
            }
            expectSame(index, twin, sought);
          }
        },
      ),
    );
  });

  test('stays right while thousands of items split its chunks and empty them again', () => {
    const random = lcg(20_261_129);
    const twin = new Twin();
    const index = new RangeIndex<Item>(rangeOf);
    for (let step = 0; step < 6000; step += 1) {
      const grows = step < 3000 ? 9 : 2;
      if (random(10) < grows) {
        const first = BigInt(random(400));
        const item = { range: { family: 4 as const, first, last: first + BigInt(random(20) ** 2) } };
        twin.items.push(item);
        index.add(item);
      } else {
        const [item] = twin.items.splice(random(twin.items.length), 1);
        if (item !== undefined) expect(index.remove(item)).toBe(true);
      }
      if (step % 50 === 0) {
        const first = BigInt(random(800));
        expectSame(index, twin, { family: 4, first, last: first + BigInt(random(30)) });
      }
    }
  });

  test('an item that was never added is not removed, although another has its range', () => {
    const range: AddressRange = { family: 4, first: 1n, last: 2n };
    const index = new RangeIndex(rangeOf, [{ range }]);
    expect(index.remove({ range })).toBe(false);
    expect(index.overlapping(range)).toHaveLength(1);
  });

  test('a walk ends where the visitor says so', () => {
    const items = [0, 1, 2, 3].map((at) => ({ range: { family: 4 as const, first: BigInt(at), last: 9n } }));
    const index = new RangeIndex(rangeOf, items);
    expect(index.overlapping({ family: 4, first: 5n, last: 6n }, 2)).toEqual(items.slice(2));
    expect(index.enclosing({ family: 4, first: 5n, last: 6n })).toBe(items[3]);
  });
});

/** Numbers below a bound, the same in every run (Numerical Recipes' constants). */
function lcg(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return below === 0 ? 0 : Math.floor((state / 2 ** 32) * below);
  };
}
