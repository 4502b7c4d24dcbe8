/** Runs many seeds and says what it saw; a failing one is shrunk and printed as one line that replays it. */
import { parseArgs } from 'node:util';
import { Coverage } from './coverage.ts';
import { showFault } from './faults.ts';
import { printFigures } from './figures.ts';
import { percentiles } from './percentiles.ts';
import type { Batch, SeedRange } from './runSeeds.ts';
import { simulate } from './simulate.ts';
import { spreadSeeds } from './spreadSeeds.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    keep: { type: 'string' },
    trace: { type: 'boolean', default: false },
    figures: { type: 'boolean', default: false },
    failures: { type: 'string', default: '5' },
    /** Processes. */
    jobs: { type: 'string', default: '1' },
  },
});

/** More than any machine of ours has processors: a slip of the hand. */
const JOBS_MAX = 256;
/** Of all seeds. A fifth of them restores etcd, and one in several hundred of those has two answerers for a moment. */
const AFTER_RESTORE_MAX = 0.001;

function replayOne(seed: number): void {
  const keep = values.keep === undefined ? {} : { keep: values.keep.split(',').map(Number) };
  const result = simulate({ seed, ...keep, trace: values.trace ? (line) => console.log(line) : undefined });
  for (const fault of result.faults) console.log(showFault(fault));
  console.log(
    result.violation?.message ??
      `seed ${seed} holds, ${result.events} events, recovery ${result.recoveryMs.toFixed(0)} ms`,
  );
  if (result.violation !== undefined) process.exitCode = 1;
}

async function runMany(range: SeedRange): Promise<void> {
  const [jobs, failuresMax] = [Number(values.jobs), Number(values.failures)];
  if (!(Number.isInteger(jobs) && jobs >= 1 && jobs <= JOBS_MAX))
    throw new Error(`--jobs ${values.jobs}: not a number from 1 to ${JOBS_MAX}`);
  const batches = await spreadSeeds(range, { jobs, failuresMax });
  const coverage = new Coverage();
  for (const { counts } of batches) coverage.add({ counts: new Map(counts) });
  for (const [name, times] of [...coverage.counts].toSorted())
    console.log(`${String(times).padStart(9)} ${name}`);
  const sum = (of: (batch: Batch) => number): number => batches.reduce((total, it) => total + of(it), 0);
  const all = (of: (batch: Batch) => readonly number[]): string => percentiles(batches.flatMap(of));
  console.log(`never seen: ${coverage.missing().join(', ') || 'nothing'}`);
  console.log(`cpu ${(sum(({ cpuMs }) => cpuMs) / 1000).toFixed(1)} s`);
  console.log(
    `moves ${sum(({ moves }) => moves)}, events ${sum(({ events }) => events)}, recovery ${all((it) => it.recoveries)}, of the router ${all((it) => it.routes)}, thaw overlaps ${all((it) => it.overlaps)}`,
  );
  const afterRestore = batches.flatMap((batch) => batch.afterRestore);
  console.log(
    `two answered after etcd was restored: in ${afterRestore.length} seeds (${afterRestore.join(', ')})`,
  );
  const isTooOften = afterRestore.length > range.count * AFTER_RESTORE_MAX;
  if (sum(({ failures }) => failures) > 0 || isTooOften) process.exitCode = 1;
}

if (values.figures) printFigures(Number(values.seeds));
else if (values.seed === undefined) await runMany({ from: Number(values.from), count: Number(values.seeds) });
else replayOne(Number(values.seed));
