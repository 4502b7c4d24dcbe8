/**
 * `npm run bench -- [name] [--runs N] [--json]`: runs one bench, or all of them, and prints what was measured on this machine.
 * With `--json` the output of each bench ends with one JSON line of its figures.
 */
import os from 'node:os';
import { parseArgs } from 'node:util';
import { admission } from './admission.ts';
import type { Bench } from './bench.ts';
import { failover } from './failover.ts';

const BENCHES: Readonly<Record<string, Bench>> = { admission, failover };
/** Enough to see a median and the shape; a percentile needs more. */
const RUNS_DEFAULT = 5;
const RUNS_MAX = 10_000;

const USAGE = `usage: npm run bench -- [name] [--runs N] [--json]
${Object.entries(BENCHES)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join('\n')}`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Request {
  readonly names: readonly string[];
  readonly json: boolean;
  readonly runs: number;
}

/** A text says what is wrong with the arguments. */
function parseRequest(argv: readonly string[]): Request | string {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const { values, positionals } = parsed;
  const unknown = positionals.find((name) => !Object.hasOwn(BENCHES, name));
  if (unknown !== undefined)
    return `there is no bench ${unknown}; there is: ${Object.keys(BENCHES).join(', ')}`;
  if (positionals.length > 1) return 'name one bench, or none to run all';
  const runs = Number(values.runs ?? RUNS_DEFAULT);
  if (!Number.isInteger(runs) || runs < 1 || runs > RUNS_MAX) return `--runs: use 1 to ${RUNS_MAX}`;
  return {
    names: positionals.length > 0 ? positionals : Object.keys(BENCHES),
    json: values.json ?? false,
    runs,
  };
}

function parse(argv: readonly string[]) {
  const options = { json: { type: 'boolean' }, runs: { type: 'string' } } as const;
  return parseArgs({ args: [...argv], options, allowPositionals: true });
}

/** The load counts: figures of a machine that does something else at the same time are worse than they could be. */
function describeMachine(): string {
  const cpus = os.cpus();
  const loads = os.loadavg().map((load) => load.toFixed(1));
  return `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus.length} cores (${cpus[0]?.model ?? 'model unknown'}), load ${loads.join(' ')} at the start`;
}

async function run({ names, json, runs }: Request): Promise<void> {
  say(describeMachine());
  for (const name of names) {
    say(`\n── ${name}: ${BENCHES[name]?.about}\n`);
    const figures = await BENCHES[name]?.run(say, { runs });
    if (json) say(JSON.stringify(figures));
  }
}

const request = parseRequest(process.argv.slice(2));
if (typeof request === 'string') {
  process.stderr.write(`${request}\n${USAGE}\n`);
  process.exitCode = 2;
} else {
  await run(request);
}
