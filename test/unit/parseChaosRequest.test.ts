import { describe, expect, test } from 'vitest';
import { type ChaosRequest, parseChaosRequest } from '../chaos/parseChaosRequest.ts';

const KNOWN = { classes: ['powerCut', 'starvedProcessors'], sessionMs: 600 };

function requestOf(...argv: readonly string[]): ChaosRequest | string {
  return parseChaosRequest(argv, KNOWN);
}

describe('a command line that is understood', () => {
  test.each([
    { name: 'nothing: every class once', argv: [], only: undefined, repeat: 1 },
    { name: 'repetitions of all', argv: ['--repeat', '3'], only: undefined, repeat: 3 },
    {
      name: 'one class, for five minutes by default',
      argv: ['--class', 'powerCut'],
      only: { key: 'powerCut', extent: { kind: 'minutes', minutes: 5 } },
      repeat: 1,
    },
    {
      name: 'one class for half a minute, twice',
      argv: ['--class', 'powerCut', '--minutes', '0.5', '--repeat', '2'],
      only: { key: 'powerCut', extent: { kind: 'minutes', minutes: 0.5 } },
      repeat: 2,
    },
    {
      name: 'one class so many times',
      argv: ['--class', 'starvedProcessors', '--runs', '7'],
      only: { key: 'starvedProcessors', extent: { kind: 'runs', runs: 7 } },
      repeat: 1,
    },
  ])('$name', ({ argv, only, repeat }) => {
    expect(requestOf(...argv)).toEqual({ only, repeat, sessionMs: 600 });
  });

  test("a session's length", () => {
    expect(requestOf('--session', '200')).toEqual({ only: undefined, repeat: 1, sessionMs: 200 });
  });
});

test.each([
  { argv: ['--class', 'flood'], says: 'there is no class flood; there is: powerCut, starvedProcessors' },
  { argv: ['--minutes', '3'], says: '--minutes and --runs go with --class' },
  {
    argv: ['--class', 'powerCut', '--minutes', '3', '--runs', '3'],
    says: 'give --minutes or --runs, not both',
  },
  { argv: ['--repeat', '0'], says: '--repeat: use 1 to 100' },
  { argv: ['--class', 'powerCut', '--runs', '1.5'], says: '--runs: use 1 to 10000' },
  { argv: ['--class', 'powerCut', '--minutes', 'x'], says: '--minutes: use 0 to 1440' },
  { argv: ['--session', '5'], says: '--session: use 100 to 60000' },
])('$argv is refused: $says', ({ argv, says }) => {
  expect(requestOf(...argv)).toBe(says);
});

test('an option that does not exist is named', () => {
  expect(requestOf('--clas', 'powerCut')).toContain('--clas');
});
