import fc from 'fast-check';
import { expect, test } from 'vitest';
import { growDemand } from './portDemand.ts';

const IP = '203.0.113.10';
const of = (ports: number): ReadonlyMap<string, number> => new Map([[IP, ports]]);
const grow = (known: number, use: number, held: number): number | undefined =>
  growDemand(known === 0 ? new Map() : of(known), { use: of(use), held: of(held) }).get(IP);

test.each([
  { name: 'half in use', known: 0, use: 256, held: 512, wanted: undefined },
  { name: 'more than half', known: 0, use: 257, held: 512, wanted: 1024 },
  { name: 'asked for, and not given yet', known: 1024, use: 500, held: 512, wanted: 1024 },
  { name: 'given, and filling again', known: 1024, use: 600, held: 1024, wanted: 2048 },
  { name: 'asked for, and no longer needed', known: 1024, use: 3, held: 512, wanted: 1024 },
  { name: 'nothing held yet', known: 0, use: 3, held: 0, wanted: undefined },
  { name: 'nearly all there are', known: 0, use: 40_000, held: 50_000, wanted: 65_536 },
])('$name: $wanted', ({ known, use, held, wanted }) => {
  expect(grow(known, use, held)).toBe(wanted);
});

test('what did not change is the same object', () => {
  const known = of(1024);
  expect(growDemand(known, { use: of(500), held: of(512) })).toBe(known);
  expect(growDemand(known, { use: new Map(), held: new Map() })).toBe(known);
});

test('demand never falls, and with a controller that gives what is asked use fits what is held', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 40 }), (uses) => {
      let [known, held] = [new Map() as ReadonlyMap<string, number>, 512];
      for (const use of uses) {
        const next = growDemand(known, { use: of(Math.min(use, held)), held: of(held) });
        expect(next.get(IP) ?? 0).toBeGreaterThanOrEqual(known.get(IP) ?? 0);
        if (use > held / 2) expect(next.get(IP) ?? 0).toBeGreaterThan(held);
        known = next;
        held = Math.max(held, Math.min(known.get(IP) ?? 0, 60_000));
      }
    }),
  );
});
