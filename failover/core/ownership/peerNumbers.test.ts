import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NO_PEER_NUMBERS, numberOf, withNumber } from './peerNumbers.ts';

test('what was set last is read, as from a map, and an older one stays as it was', () => {
  const peer = fc.oneof(
    fc.nat({ max: 200 }).map((index) => `node-${index}`),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(peer, fc.nat())), fc.array(peer), (changes, others) => {
      const twin = new Map<string, number>();
      let numbers = NO_PEER_NUMBERS;
      for (const [name, value] of changes) {
        const [before, known] = [numbers, numberOf(numbers, name)];
        numbers = withNumber(numbers, name, value);
        twin.set(name, value);
        expect(numberOf(before, name)).toBe(known);
      }
      for (const name of [...twin.keys(), ...others])
        expect(numberOf(numbers, name)).toBe(twin.get(name) ?? 0);
    }),
  );
});

test('a thousand nodes that are named alike are spread: a change copies a small part of them', () => {
  let numbers = NO_PEER_NUMBERS;
  for (let index = 0; index < 1000; index += 1)
    numbers = withNumber(numbers, `ip-10-0-${Math.floor(index / 256)}-${index % 256}.example.internal`, 1);
  expect(Math.max(...numbers.map(({ size }) => size))).toBeLessThan(64);
});
