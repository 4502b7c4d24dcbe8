import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  hasMajority,
  isVoter,
  majorityOf,
  majorityValue,
  type VoterConfig,
  votersOf,
} from './voterConfig.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

const set = fc.uniqueArray(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 5 });
const config = fc.record({ version: fc.nat(9), sets: fc.array(set, { maxLength: 2 }) });
const reached = fc.dictionary(fc.constantFrom(...NAMES), fc.nat(9), { noNullPrototype: true });

/** More than half of each set, counted one by one. */
function holdsInEverySet({ sets }: VoterConfig, holds: (voter: string) => boolean): boolean {
  if (sets.length === 0) return false;
  for (const voters of sets) {
    let count = 0;
    for (const voter of voters) if (holds(voter)) count += 1;
    if (count * 2 <= voters.length) return false;
  }
  return true;
}

/** Tries every value from above. */
function greatestHeld(of: VoterConfig, reachedBy: (voter: string) => number | undefined): number | undefined {
  for (let value = 9; value >= 0; value -= 1)
    if (holdsInEverySet(of, (voter) => (reachedBy(voter) ?? -1) >= value)) return value;
  return undefined;
}

test('a majority is what counting one by one says', () => {
  fc.assert(
    fc.property(config, fc.subarray(NAMES), (it, holding) => {
      const holds = (voter: string): boolean => holding.includes(voter);
      expect(hasMajority(it, holds)).toBe(holdsInEverySet(it, holds));
    }),
  );
});

test('the value of a majority is the greatest that one counts from above', () => {
  fc.assert(
    fc.property(config, reached, (it, values) => {
      const reachedBy = (voter: string): number | undefined => values[voter];
      expect(majorityValue(it, reachedBy)).toBe(greatestHeld(it, reachedBy));
    }),
    { numRuns: 1000 },
  );
});

test('two majorities of one configuration share a voter in every set', () => {
  fc.assert(
    fc.property(config, fc.subarray(NAMES), fc.subarray(NAMES), (it, one, other) => {
      fc.pre(hasMajority(it, (voter) => one.includes(voter)));
      fc.pre(hasMajority(it, (voter) => other.includes(voter)));
      for (const voters of it.sets)
        expect(voters.some((voter) => one.includes(voter) && other.includes(voter))).toBe(true);
    }),
  );
});

test.each([
  { name: 'one', size: 1, majority: 1 },
  { name: 'two', size: 2, majority: 2 },
  { name: 'three', size: 3, majority: 2 },
  { name: 'four', size: 4, majority: 3 },
  { name: 'five', size: 5, majority: 3 },
])('of $name voters a majority is $majority', ({ size, majority }) => {
  expect(majorityOf(NAMES.slice(0, size))).toBe(majority);
});

test('while two sets count, a majority of one of them decides nothing', () => {
  const joint: VoterConfig = {
    version: 2,
    sets: [
      ['a', 'b', 'c'],
      ['c', 'd', 'e'],
    ],
  };
  const of = (voters: string) => (voter: string) => voters.includes(voter);
  expect(hasMajority(joint, of('abc'))).toBe(false);
  expect(hasMajority(joint, of('cde'))).toBe(false);
  expect(hasMajority(joint, of('ace'))).toBe(true);
  expect(majorityValue(joint, (voter) => ({ a: 7, b: 7, c: 7 })[voter])).toBeUndefined();
  expect(majorityValue(joint, (voter) => ({ a: 7, b: 7, d: 3, e: 4 })[voter])).toBe(3);
});

test('without a set, or with an empty one, nobody decides', () => {
  for (const sets of [[], [[]]]) {
    expect(hasMajority({ version: 1, sets }, () => true)).toBe(false);
    expect(majorityValue({ version: 1, sets }, () => 1)).toBeUndefined();
  }
});

test('a voter of either set votes, and counts once', () => {
  const joint: VoterConfig = {
    version: 2,
    sets: [
      ['a', 'b', 'c'],
      ['b', 'c', 'd'],
    ],
  };
  expect(votersOf(joint)).toEqual(['a', 'b', 'c', 'd']);
  expect(NAMES.filter((voter) => isVoter(joint, voter))).toEqual(['a', 'b', 'c', 'd']);
});
