/**
 * `npm run bench -- [name] [--json]`: runs one bench, or all of them, and prints what was measured on this machine.
 * With `--json` the output of each bench ends with one JSON line of its figures.
 */
import os from 'node:os';
import { admission } from './admission.ts';
import type { Bench } from './bench.ts';

const BENCHES: Readonly<Record<string, Bench>> = { admission };

const USAGE = `usage: npm run bench -- [name] [--json]
${Object.entries(BENCHES)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join('\n')}`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Request {
  readonly names: readonly string[];
  readonly json: boolean;
}

/** A text says what is wrong with the arguments. */
function parseArguments(argv: readonly string[]): Request | string {
  const unknownFlag = argv.find((argument) => argument.startsWith('-') && argument !== '--json');
  if (unknownFlag !== undefined) return `there is no flag ${unknownFlag}`;
  const named = argv.filter((argument) => argument !== '--json');
  const unknownName = named.find((name) => !Object.hasOwn(BENCHES, name));
  if (unknownName !== undefined)
    return `there is no bench ${unknownName}; there is: ${Object.keys(BENCHES).join(', ')}`;
  if (named.length > 1) return 'name one bench, or none to run all';
  return { names: named.length > 0 ? named : Object.keys(BENCHES), json: argv.includes('--json') };
}

/** The load counts: figures of a machine that does something else at the same time are worse than they could be. */
function describeMachine(): string {
  const cpus = os.cpus();
  const loads = os.loadavg().map((load) => load.toFixed(1));
  return `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus.length} cores (${cpus[0]?.model ?? 'model unknown'}), load ${loads.join(' ')} at the start`;
}

async function run({ names, json }: Request): Promise<void> {
  say(describeMachine());
  for (const name of names) {
    say(`\n── ${name}: ${BENCHES[name]?.about}\n`);
    const figures = await BENCHES[name]?.run(say);
    if (json) say(JSON.stringify(figures));
  }
}

const request = parseArguments(process.argv.slice(2));
if (typeof request === 'string') {
  process.stderr.write(`${request}\n${USAGE}\n`);
  process.exitCode = 2;
} else {
  await run(request);
}
