import { expect, test } from 'vitest';
import {
  becomeProven,
  becomeStated,
  concludeDeaths,
  type Deaths,
  isProvenDead,
  NO_DEATHS,
} from './deaths.ts';
import type { DeadTable } from './messages.ts';
import type { VoterConfig } from './voterConfig.ts';

const CONFIG: VoterConfig = { version: 4, sets: [['a', 'b', 'c']] };
const JOINT: VoterConfig = {
  version: 4,
  sets: [
    ['a', 'b', 'c'],
    ['c', 'd', 'e'],
  ],
};

interface Word {
  readonly voter: string;
  readonly dead: DeadTable;
  /** Default: fresh at 100. */
  readonly freshUntilMs?: number;
  readonly configVersion?: number;
}

function heard(words: readonly Word[], from: Deaths = NO_DEATHS): Deaths {
  return words.reduce(
    (deaths, { voter, dead, freshUntilMs = 101, configVersion = 4 }) =>
      becomeStated(deaths, voter, { dead, freshUntilMs, configVersion }),
    from,
  );
}

interface Case {
  readonly name: string;
  readonly words: readonly Word[];
  readonly config?: VoterConfig;
  /** Session of gw up to which all are dead at 100; 0: none. */
  readonly upTo: number;
}

test.each<Case>([
  { name: 'nobody says a word', words: [], upTo: 0 },
  { name: 'one of three is no majority', words: [{ voter: 'a', dead: { gw: 3 } }], upTo: 0 },
  {
    name: 'two of three are one',
    words: [
      { voter: 'a', dead: { gw: 3 } },
      { voter: 'b', dead: { gw: 3 } },
    ],
    upTo: 3,
  },
  {
    name: 'they agree on the lower session where one knows a later one',
    words: [
      { voter: 'a', dead: { gw: 3 } },
      { voter: 'b', dead: { gw: 5 } },
    ],
    upTo: 3,
  },
  {
    name: 'they speak of different gateways',
    words: [
      { voter: 'a', dead: { gw: 3 } },
      { voter: 'b', dead: { other: 3 } },
    ],
    upTo: 0,
  },
  {
    name: 'one of the two has run out at this very moment',
    words: [
      { voter: 'a', dead: { gw: 3 }, freshUntilMs: 100 },
      { voter: 'b', dead: { gw: 3 } },
    ],
    upTo: 0,
  },
  {
    name: 'one of the two speaks under a configuration that is not known here yet',
    words: [
      { voter: 'a', dead: { gw: 3 }, configVersion: 5 },
      { voter: 'b', dead: { gw: 3 } },
    ],
    upTo: 0,
  },
  {
    name: 'one of the two spoke under an older configuration, in which it was a voter too',
    words: [
      { voter: 'a', dead: { gw: 3 }, configVersion: 3 },
      { voter: 'b', dead: { gw: 3 } },
    ],
    upTo: 3,
  },
  {
    name: 'one of the two is no voter',
    words: [
      { voter: 'x', dead: { gw: 3 } },
      { voter: 'b', dead: { gw: 3 } },
    ],
    upTo: 0,
  },
  {
    name: 'a voter took its word back before the second came',
    words: [
      { voter: 'a', dead: { gw: 3 }, freshUntilMs: 101 },
      { voter: 'a', dead: {}, freshUntilMs: 102 },
      { voter: 'b', dead: { gw: 3 } },
    ],
    upTo: 0,
  },
  {
    name: 'a voter lowered its word',
    words: [
      { voter: 'a', dead: { gw: 5 }, freshUntilMs: 101 },
      { voter: 'a', dead: { gw: 4 }, freshUntilMs: 102 },
      { voter: 'b', dead: { gw: 5 } },
    ],
    upTo: 4,
  },
  {
    name: 'an older word of a voter arrives late and changes nothing',
    words: [
      { voter: 'a', dead: {}, freshUntilMs: 102 },
      { voter: 'a', dead: { gw: 3 }, freshUntilMs: 101 },
      { voter: 'b', dead: { gw: 3 } },
    ],
    upTo: 0,
  },
  {
    name: 'of two sets only the old one agrees',
    config: JOINT,
    words: [
      { voter: 'a', dead: { gw: 3 } },
      { voter: 'b', dead: { gw: 3 } },
    ],
    upTo: 0,
  },
  {
    name: 'both sets agree',
    config: JOINT,
    words: [
      { voter: 'a', dead: { gw: 3 } },
      { voter: 'c', dead: { gw: 3 } },
      { voter: 'e', dead: { gw: 2 } },
    ],
    upTo: 2,
  },
])('$name: dead up to session $upTo', ({ words, config = CONFIG, upTo }) => {
  const deaths = concludeDeaths(heard(words), config, 100);
  expect(deaths.verdicts.get('gw') ?? 0).toBe(upTo);
  for (const session of [1, 2, 3, 4, 5, 6])
    expect(isProvenDead(deaths, { gateway: 'gw', session })).toBe(session <= upTo);
});

test('two statements that were never fresh at the same moment prove nothing', () => {
  const early = concludeDeaths(heard([{ voter: 'a', dead: { gw: 3 }, freshUntilMs: 50 }]), CONFIG, 49);
  const late = concludeDeaths(heard([{ voter: 'b', dead: { gw: 3 }, freshUntilMs: 90 }], early), CONFIG, 50);
  expect(late.verdicts.size).toBe(0);
});

test('a verdict stands when every voter takes its word back', () => {
  const both = ['a', 'b'].map((voter): Word => ({ voter, dead: { gw: 3 } }));
  const proven = concludeDeaths(heard(both), CONFIG, 100);
  const back = ['a', 'b', 'c'].map((voter): Word => ({ voter, dead: {}, freshUntilMs: 500 }));
  const later = concludeDeaths(heard(back, proven), CONFIG, 400);
  expect(isProvenDead(later, { gateway: 'gw', session: 3 })).toBe(true);
});

test('what others have proven counts, and a lower word of theirs takes nothing back', () => {
  const high = becomeProven(NO_DEATHS, [{ gateway: 'gw', session: 4 }]);
  const low = becomeProven(high, [{ gateway: 'gw', session: 2 }]);
  expect(low).toBe(high);
  const twice = becomeProven(NO_DEATHS, [
    { gateway: 'gw', session: 4 },
    { gateway: 'gw', session: 2 },
  ]);
  expect(twice.verdicts.get('gw')).toBe(4);
});

test('a gateway that is named like a member of every object is dead only if voters say so', () => {
  const one = heard([
    { voter: 'a', dead: { constructor: 3 } as unknown as DeadTable },
    { voter: 'b', dead: {} },
  ]);
  expect(concludeDeaths(one, CONFIG, 100).verdicts.size).toBe(0);
  const three = heard([{ voter: 'c', dead: { constructor: 2 } as unknown as DeadTable }], one);
  expect(concludeDeaths(three, CONFIG, 100).verdicts.get('constructor')).toBe(2);
});
