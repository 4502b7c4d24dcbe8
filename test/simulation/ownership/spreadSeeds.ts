/** Plays a range of seeds in several processes, each a part of it. They print; what they saw comes back as one batch each. */
import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import { type Batch, runSeeds, type SeedRange } from './runSeeds.ts';

const PART = path.join(import.meta.dirname, 'seedsPart.ts');

/** From a part to its parent. */
export type PartWord = { readonly kind: 'failed' } | { readonly kind: 'done'; readonly batch: Batch };

/** @param failuresMax all parts together: then each ends after the seed that it plays */
export function spreadSeeds(
  range: SeedRange,
  { jobs, failuresMax }: { readonly jobs: number; readonly failuresMax: number },
): Promise<readonly Batch[]> {
  let failures = 0;
  const enough = (): boolean => failures >= failuresMax;
  if (jobs === 1) {
    const failed = (): void => {
      failures += 1;
    };
    return Promise.all([runSeeds(range, { label: '', failed, enough })]);
  }
  const children: ChildProcess[] = [];
  const failed = (): void => {
    failures += 1;
    if (enough()) for (const child of children) if (child.connected) child.send('stop');
  };
  return Promise.all(
    split(range, jobs).map(({ from, count }, index) => {
      const child = fork(PART, [String(from), String(count), `job ${index + 1}: `]);
      children.push(child);
      return batchOf(child, failed);
    }),
  );
}

/** As many parts, or as many as there are seeds. */
export function split({ from, count }: SeedRange, parts: number): readonly SeedRange[] {
  const begins = (part: number): number => from + Math.floor((part * count) / parts);
  return Array.from({ length: parts }, (_, part) => ({
    from: begins(part),
    count: begins(part + 1) - begins(part),
  })).filter((part) => part.count > 0);
}

function batchOf(child: ChildProcess, failed: () => void): Promise<Batch> {
  return new Promise((resolve, reject) => {
    child.on('message', (word: PartWord) => {
      if (word.kind === 'failed') failed();
      else resolve(word.batch);
    });
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      reject(new Error(`a process of the simulation ended without a result: ${signal ?? `code ${code}`}`)),
    );
  });
}
