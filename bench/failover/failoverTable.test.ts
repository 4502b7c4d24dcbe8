import { expect, test } from 'vitest';
import { renderOutcomes } from './failoverTable.ts';
import type { ClassFigures, ClassSummary } from './summarizeRuns.ts';

const FIGURES: ClassFigures = {
  runs: 5,
  p50Ms: 231.4,
  p99Ms: null,
  maxMs: 300,
  lostPackets: 400,
  tcpOpened: 200,
  tcpAlive: 200,
  answerersMax: 1,
};

const summary = (figures: Partial<ClassFigures>, failed = 0): ClassSummary => ({
  figures: { ...FIGURES, ...figures },
  failed,
});

const cells = (text: string): readonly (readonly string[])[] =>
  text.split('\n').map((line) => line.trim().split(/ {2,}/));

test('a class that both have gives both lines and the ratio of each figure', () => {
  const peer = { name: 'processKill', summary: summary({ p50Ms: 347.1, maxMs: 450, tcpAlive: 190 }) };
  const [head, ...rows] = cells(renderOutcomes([{ name: 'agentKill', ours: summary({}), peer }]));
  expect(head?.[0]).toBe('class');
  expect(rows).toEqual([
    ['agentKill', '5', '0', '231', '–', '300', '400', '200 of 200', '1'],
    ['keepalived: processKill', '5', '0', '347', '–', '450', '400', '190 of 200', '1'],
    ['keepalived ÷ ours', '1.50', '–', '1.50', '1.00', '0.95'],
  ]);
});

test('a class of ours alone is one line', () => {
  expect(renderOutcomes([{ name: 'apiServerStop', ours: summary({}) }]).split('\n')).toHaveLength(2);
});

test('nothing is divided by nothing, by an unknown, or by a run without connections', () => {
  const ours = summary({ p50Ms: null, maxMs: null, lostPackets: 0, tcpOpened: 0, tcpAlive: 0 }, 5);
  const peer = { name: 'drain', summary: summary({}) };
  const ratios = cells(renderOutcomes([{ name: 'drain', ours, peer }])).at(-1);
  expect(ratios).toEqual(['keepalived ÷ ours', '–', '–', '–', '–', '–']);
});
