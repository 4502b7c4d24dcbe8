/** What the command line asks for, or what is wrong with it. */
import { parseArgs } from 'node:util';
import type { Bench, BenchOptions } from './bench.ts';

/** Enough to see a median and the shape; a percentile needs more. */
const RUNS_DEFAULT = 5;
const RUNS_MAX = 10_000;

export interface BenchRequest {
  readonly names: readonly string[];
  readonly json: boolean;
  readonly options: BenchOptions;
}

/** A text says what is wrong with the arguments. */
export function parseRequest(
  argv: readonly string[],
  benches: Readonly<Record<string, Bench>>,
): BenchRequest | string {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const { values, positionals } = parsed;
  const unknown = positionals.find((name) => !Object.hasOwn(benches, name));
  if (unknown !== undefined)
    return `there is no bench ${unknown}; there is: ${Object.keys(benches).join(', ')}`;
  if (positionals.length > 1) return 'name one bench, or none to run all';
  const runs = Number(values.runs ?? RUNS_DEFAULT);
  if (!Number.isInteger(runs) || runs < 1 || runs > RUNS_MAX) return `--runs: use 1 to ${RUNS_MAX}`;
  const names = positionals.length > 0 ? positionals : Object.keys(benches);
  const json = values.json ?? false;
  if (values.classes === undefined) return { names, json, options: { runs } };
  const [only] = positionals;
  const classes = parseClasses(values.classes, only === undefined ? undefined : benches[only]);
  return typeof classes === 'string' ? classes : { names, json, options: { runs, classes } };
}

function parse(argv: readonly string[]) {
  const options = {
    json: { type: 'boolean' },
    runs: { type: 'string' },
    classes: { type: 'string' },
  } as const;
  return parseArgs({ args: [...argv], options, allowPositionals: true });
}

function parseClasses(list: string, bench: Bench | undefined): readonly string[] | string {
  if (bench?.classes === undefined) return '--classes: name a bench that has classes, such as failover';
  const { classes } = bench;
  const asked = list.split(',').map((name) => name.trim());
  const unknown = asked.filter((name) => !classes.includes(name));
  if (unknown.length > 0)
    return `--classes: there is no ${unknown.map((name) => `'${name}'`).join(', ')}; there is: ${classes.join(', ')}`;
  return asked;
}
