import { expect, test } from 'vitest';
import { type Lane, type Measured, runTogether } from './runTogether.ts';

const MEASURED: Measured = {
  gapMs: 230,
  lostPackets: 3,
  opened: 40,
  alive: 39,
  answerers: ['gw-1', 'gw-2'],
  answerersMax: 1,
  stallMs: 4,
};
const STEPS = ['waitWhole', 'startTraffic', 'inject', 'settle', 'restore'] as const;

/** Writes down what is asked of it, each step's begin and, a few turns of the event loop later, its end. */
function fakeLane(name: string, log: string[], broken: Partial<Record<keyof Lane, string>> = {}): Lane {
  const act = async (step: keyof Lane): Promise<void> => {
    log.push(`${name} ${step}`);
    for (let turn = 0; turn < name.length; turn += 1) await Promise.resolve();
    if (broken[step] !== undefined) throw new Error(broken[step]);
    log.push(`${name} ${step} done`);
  };
  const steps = Object.fromEntries(STEPS.map((step) => [step, () => act(step)]));
  return {
    // Made of exactly these steps, which fromEntries forgets.
    ...(steps as Record<(typeof STEPS)[number], () => Promise<void>>),
    markGaps: () => void log.push(`${name} markGaps`),
    measure: async () => {
      await act('measure');
      return MEASURED;
    },
  };
}

test('no system begins a step before every system has ended the one before', async () => {
  const log: string[] = [];
  const results = await runTogether([fakeLane('ours', log), fakeLane('a slow peer', log)]);
  const stepOf = (line: string): string => line.replace(/^(ours|a slow peer) /, '').replace(' done', '');
  const order = log.map(stepOf).filter((step, index, all) => step !== all[index - 1]);
  expect(order).toEqual(['waitWhole', 'startTraffic', 'markGaps', 'inject', 'settle', 'measure', 'restore']);
  expect(results).toEqual([MEASURED, MEASURED]);
});

test('every step begins in all systems before it ends in any', async () => {
  const log: string[] = [];
  await runTogether([fakeLane('a', log), fakeLane('b', log)]);
  for (const step of [...STEPS, 'measure']) {
    const lines = log.filter((line) => line.includes(step)).map((line) => line.replace(/^[ab] /, ''));
    expect(lines).toEqual([step, step, `${step} done`, `${step} done`]);
  }
});

test.each([
  { first: 0, order: ['a inject', 'b inject'] },
  { first: 1, order: ['b inject', 'a inject'] },
])('lane $first is hit first, and the other before the first is done', async ({ first, order }) => {
  const log: string[] = [];
  await runTogether([fakeLane('a', log), fakeLane('b', log)], first);
  const injects = log.filter((line) => line.includes('inject'));
  expect(injects.slice(0, 2)).toEqual(order);
});

test('results come in the order of the lanes, whoever is hit first', async () => {
  const broken = fakeLane('b', [], { settle: 'no takeover within 30 s' });
  const results = await runTogether([fakeLane('a', []), broken], 1);
  expect(results.map(({ gapMs }) => gapMs)).toEqual([230, null]);
});

test('one that does not settle keeps what was counted, without a gap, and the other keeps all', async () => {
  const log: string[] = [];
  const [ours, peer] = await runTogether([
    fakeLane('ours', log),
    fakeLane('peer', log, { settle: 'no takeover within 30 s' }),
  ]);
  expect(ours).toEqual(MEASURED);
  expect(peer).toEqual({ ...MEASURED, gapMs: null, failure: 'not settled: no takeover within 30 s' });
  expect(log).toContain('peer restore done');
});

test.each([
  { step: 'waitWhole', failure: 'not whole: broken' },
  { step: 'startTraffic', failure: 'no traffic: broken' },
] as const)('one that fails at $step is not hit, but put back, and the other goes on', async (row) => {
  const log: string[] = [];
  const broken = fakeLane('ours', log, { [row.step]: 'broken' });
  const [ours, peer] = await runTogether([broken, fakeLane('peer', log)]);
  expect(ours).toMatchObject({ gapMs: null, failure: row.failure, opened: 0, lostPackets: 0 });
  expect(peer).toEqual(MEASURED);
  expect(log.filter((line) => /^ours (inject|measure|markGaps|settle)/.test(line))).toEqual([]);
  expect(log).toContain('ours restore done');
});

test('a fault that cannot be injected is no gap, but its traffic is ended and told', async () => {
  const [ours] = await runTogether([fakeLane('ours', [], { inject: 'no process matches' })]);
  expect(ours).toMatchObject({
    gapMs: null,
    opened: 40,
    failure: 'the fault could not be injected: no process matches',
  });
});

test('a system that cannot be put back keeps its figures and says so', async () => {
  const [ours] = await runTogether([fakeLane('ours', [], { restore: 'the node does not boot' })]);
  expect(ours).toEqual({ ...MEASURED, leftBroken: 'the node does not boot' });
});

test('a measuring that fails is a failure of the run', async () => {
  const [ours] = await runTogether([fakeLane('ours', [], { measure: 'the probe died' })]);
  expect(ours).toMatchObject({ gapMs: null, opened: 0, failure: 'not measured: the probe died' });
});
