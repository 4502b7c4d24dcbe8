/** Runs many seeds and says what it saw; a failing one is shrunk and printed as one line that replays it. */
import { parseArgs } from 'node:util';
import { Coverage } from './coverage.ts';
import { showFault } from './faults.ts';
import { printFigures } from './figures.ts';
import { percentiles } from './percentiles.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulate.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    keep: { type: 'string' },
    trace: { type: 'boolean', default: false },
    figures: { type: 'boolean', default: false },
    failures: { type: 'string', default: '5' },
  },
});

const PROGRESS_EVERY = 100;

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

function runMany(from: number, count: number): void {
  const coverage = new Coverage();
  const recoveries: number[] = [];
  const routes: number[] = [];
  const overlaps: number[] = [];
  let [failures, moves, events] = [0, 0, 0];
  const began = performance.now();
  for (let seed = from; seed < from + count; seed += 1) {
    const result = simulate({ seed });
    coverage.add(result.coverage);
    overlaps.push(...result.thawOverlaps);
    moves += result.moves;
    events += result.events;
    if (result.violation === undefined) {
      recoveries.push(result.recoveryMs);
      routes.push(result.routeMs);
    } else {
      failures += 1;
      const kept = shrink({ seed }, result);
      console.log(`seed ${seed}: ${kept.result.violation?.message}`);
      console.log(
        `  node test/simulation/ownership/main.ts --seed ${seed} --keep ${kept.keep.join(',')} --trace`,
      );
      console.log(`  keptSeeds.ts: { seed: ${seed}, keep: [${kept.keep.join(', ')}], story: '…' },`);
      if (failures >= Number(values.failures)) break;
    }
    const done = seed - from + 1;
    if (done % PROGRESS_EVERY === 0)
      console.log(`${done} seeds, ${failures} failed, ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }
  for (const [name, times] of [...coverage.counts].toSorted())
    console.log(`${String(times).padStart(9)} ${name}`);
  console.log(`never seen: ${coverage.missing().join(', ') || 'nothing'}`);
  console.log(`cpu ${(process.cpuUsage().user / 1e6).toFixed(1)} s`);
  console.log(
    `moves ${moves}, events ${events}, recovery ${percentiles(recoveries)}, of the router ${percentiles(routes)}, thaw overlaps ${percentiles(overlaps)}`,
  );
  if (failures > 0) process.exitCode = 1;
}

if (values.figures) printFigures(Number(values.seeds));
else if (values.seed === undefined) runMany(Number(values.from), Number(values.seeds));
else replayOne(Number(values.seed));
