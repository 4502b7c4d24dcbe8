/**
 * `npm run bench -- [name] [--runs N] [--classes a,b] [--json]`: runs one bench, or all of them, and prints what was
 * measured on this machine. With `--json` the output of each bench ends with one JSON line of its figures.
 */
import os from 'node:os';
import { admission } from './admission.ts';
import type { Bench } from './bench.ts';
import { datapath } from './datapath.ts';
import { failover } from './failover.ts';
import { guard } from './guard.ts';
import { heartbeats } from './heartbeats.ts';
import { type BenchRequest, parseRequest } from './parseRequest.ts';

const BENCHES: Readonly<Record<string, Bench>> = { admission, datapath, failover, guard, heartbeats };

const USAGE = `usage: npm run bench -- [name] [--runs N] [--classes a,b] [--json]
${Object.entries(BENCHES)
  .map(([name, { about, classes }]) => {
    const choice = classes === undefined ? '' : `\n${' '.repeat(14)}classes: ${classes.join(', ')}`;
    return `  ${name.padEnd(12)}${about}${choice}`;
  })
  .join('\n')}`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** The load counts: figures of a machine that does something else at the same time are worse than they could be. */
function describeMachine(): string {
  const cpus = os.cpus();
  const loads = os.loadavg().map((load) => load.toFixed(1));
  return `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus.length} cores (${cpus[0]?.model ?? 'model unknown'}), load ${loads.join(' ')} at the start`;
}

async function run({ names, json, options }: BenchRequest): Promise<void> {
  say(describeMachine());
  for (const name of names) {
    say(`\n── ${name}: ${BENCHES[name]?.about}\n`);
    const figures = await BENCHES[name]?.run(say, options);
    if (json) say(JSON.stringify(figures));
  }
}

const request = parseRequest(process.argv.slice(2), BENCHES);
if (typeof request === 'string') {
  process.stderr.write(`${request}\n${USAGE}\n`);
  process.exitCode = 2;
} else {
  await run(request);
}
