/** Makes a failing run shorter: faults are left out, in ever smaller groups, while the same rule is still broken. */
import { type RunOptions, type RunResult, simulate } from './simulate.ts';

const RUNS_MAX = 200;

export function shrink(
  options: RunOptions,
  failed: RunResult,
): { readonly keep: readonly number[]; readonly result: RunResult } {
  let keep: readonly number[] = options.keep ?? failed.faults.map((_, index) => index);
  let result = failed;
  let runs = 0;
  for (let size = Math.ceil(keep.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < keep.length && runs < RUNS_MAX; ) {
      const fewer = [...keep.slice(0, start), ...keep.slice(start + size)];
      runs += 1;
      const again = simulate({ ...options, keep: fewer });
      if (again.violation?.rule === failed.violation?.rule) [keep, result] = [fewer, again];
      else start += size;
    }
  }
  return { keep, result };
}
