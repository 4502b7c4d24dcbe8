/** Plays a range of seeds one after another and adds up what they saw; a failing one is shrunk and printed at once. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Coverage } from './coverage.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulate.ts';

export interface SeedRange {
  readonly from: number;
  readonly count: number;
}

/** Survives JSON: it comes from another process where there are several. */
export interface Batch {
  readonly counts: readonly (readonly [string, number])[];
  readonly recoveries: readonly number[];
  readonly routes: readonly number[];
  readonly overlaps: readonly number[];
  readonly moves: number;
  readonly events: number;
  readonly failures: number;
  /** Of the failures none: in these two answered for a moment after etcd was restored (decision 0016). */
  readonly afterRestore: readonly number[];
  readonly cpuMs: number;
}

const PROGRESS_EVERY = 1000;

export async function runSeeds(
  { from, count }: SeedRange,
  options: {
    /** Before each line. */
    readonly label: string;
    readonly failed: () => void;
    /** Asked before each seed. */
    readonly enough: () => boolean;
  },
): Promise<Batch> {
  const coverage = new Coverage();
  const recoveries: number[] = [];
  const routes: number[] = [];
  const overlaps: number[] = [];
  const afterRestore: number[] = [];
  let [failures, moves, events] = [0, 0, 0];
  const began = performance.now();
  for (let seed = from; seed < from + count && !options.enough(); seed += 1) {
    const result = simulate({ seed });
    coverage.add(result.coverage);
    overlaps.push(...result.thawOverlaps);
    moves += result.moves;
    events += result.events;
    if (result.violation === undefined) {
      recoveries.push(result.recoveryMs);
      routes.push(result.routeMs);
    } else if (result.violation.isAfterRestore) afterRestore.push(seed);
    else {
      failures += 1;
      options.failed();
      printFailure(seed, shrink({ seed }, result));
    }
    const done = seed - from + 1;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    if (done % PROGRESS_EVERY === 0)
      console.log(`${options.label}${done} seeds, ${failures} failed, ${seconds} s`);
    // So that a word of other processes is heard.
    await nextTurn();
  }
  const cpuMs = process.cpuUsage().user / 1000;
  return {
    ...{ counts: [...coverage.counts], recoveries, routes, overlaps, moves, events },
    ...{ failures, afterRestore, cpuMs },
  };
}

function printFailure(seed: number, { keep, result }: ReturnType<typeof shrink>): void {
  console.log(
    [
      `seed ${seed}: ${result.violation?.message}`,
      `  node test/simulation/ownership/main.ts --seed ${seed} --keep ${keep.join(',')} --trace`,
      `  keptSeeds.ts: { seed: ${seed}, keep: [${keep.join(', ')}], story: '…' },`,
    ].join('\n'),
  );
}
