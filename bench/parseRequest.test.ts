import { expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { parseRequest } from './parseRequest.ts';

const run = (): Record<string, never> => ({});
const BENCHES: Readonly<Record<string, Bench>> = {
  admission: { about: 'decisions', run },
  failover: { about: 'failures', classes: ['powerCut', 'agentFreeze', 'drain'], run },
};
const parse = (line: string): ReturnType<typeof parseRequest> =>
  parseRequest(
    line.split(' ').filter((word) => word !== ''),
    BENCHES,
  );

test('without arguments all benches run, with five runs and all classes', () => {
  expect(parse('')).toEqual({ names: ['admission', 'failover'], json: false, options: { runs: 5 } });
});

test('a bench, its runs and its classes are chosen', () => {
  expect(parse('failover --runs 20 --classes powerCut,drain --json')).toEqual({
    names: ['failover'],
    json: true,
    options: { runs: 20, classes: ['powerCut', 'drain'] },
  });
});

test.each([
  { name: 'an unknown bench', line: 'failure', says: /no bench failure; there is: admission, failover/ },
  { name: 'two benches', line: 'admission failover', says: /name one bench/ },
  { name: 'no runs', line: 'failover --runs 0', says: /--runs: use 1 to/ },
  { name: 'runs that are no number', line: 'failover --runs many', says: /--runs: use 1 to/ },
  { name: 'an unknown class', line: 'failover --classes drain,fire', says: /no 'fire'; there is: powerCut/ },
  { name: 'an empty class', line: 'failover --classes drain,', says: /there is no ''/ },
  { name: 'classes of a bench without any', line: 'admission --classes drain', says: /that has classes/ },
  { name: 'classes of no named bench', line: '--classes drain', says: /that has classes/ },
  { name: 'an unknown option', line: 'failover --fast', says: /--fast/ },
])('$name is refused, and the text says what is wrong', ({ line, says }) => {
  expect(parse(line)).toMatch(says);
});
