/**
 * Fuzzes the webhook's server: `npm run fuzz -- [--minutes 5] [--seed N] [--case N]`. A failing case is printed with the
 * line that replays it alone.
 */
import { parseArgs } from 'node:util';
import { type FuzzFailure, runCases } from './runCases.ts';

const SHOWN_BYTES = 4000;
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string' },
    case: { type: 'string' },
  },
});

const seed = Number(values.seed ?? Date.now() % 1_000_000);
const only = values.case === undefined ? undefined : Number(values.case);
const untilMs = performance.now() + Number(values.minutes) * 60_000;

let current = 'before the first case';
process.on('uncaughtException', (error) => die('an uncaught exception', error));
process.on('unhandledRejection', (error) => die('an unhandled rejection', error));

function die(what: string, error: unknown): never {
  console.log(`${what} ${current}:`, error);
  process.exit(1);
}

function showFailure({ at, problem, request }: FuzzFailure): void {
  const sent = request.kind === 'raw' ? request.bytes : request.body;
  console.log(`case ${at}: ${problem}`);
  if (request.kind === 'http') console.log(`POST ${request.path} ${JSON.stringify(request.headers)}`);
  console.log(sent.subarray(0, SHOWN_BYTES).toString('latin1'));
  console.log(`\nnpm run fuzz -- --seed ${seed} --case ${at}`);
}

const report = await runCases({
  seed,
  from: only ?? 0,
  goOn: (cases) => {
    current = `in case ${(only ?? 0) + cases} of seed ${seed}`;
    return only === undefined ? performance.now() < untilMs : cases === 0;
  },
});
const { cases, answers, slowestMs, slowestAt, failure } = report;
console.log(`seed ${seed}: ${cases} cases, slowest ${slowestMs.toFixed(0)} ms (case ${slowestAt})`);
for (const [answer, count] of Object.entries(answers).toSorted(([, a], [, b]) => b - a))
  console.log(`  ${answer.padEnd(12)}${count}`);
if (failure !== undefined) {
  showFailure(failure);
  process.exitCode = 1;
}
