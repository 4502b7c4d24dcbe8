/** The ownership protocol under simulated faults: many seeds, directed chains of mishaps, and planted bugs to be found. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { DIRECTED_BUGS, PLANTED_BUGS } from './plantedBugs.ts';

const JOB = path.join(import.meta.dirname, 'job.ts');
/** The project's own, which runs TypeScript as it stands; what runs vitest may be older. */
const NODE = path.resolve(import.meta.dirname, '../../../node_modules/.bin/node');
/** Ten times what they take on a machine of their own. */
const LONG_MS = 300_000;

/** What was wrong, in sentences. */
async function runJob(kind: string, name = ''): Promise<unknown> {
  const { stdout } = await promisify(execFile)(NODE, [JOB, kind, name]);
  return JSON.parse(stdout);
}

// Each waits for a process of its own: the machine's cores share them.
test.concurrent.each([
  {
    kind: 'batch',
    name: 'nobody overlaps and everybody recovers in 200 seeds, which see every rule at work',
  },
  { kind: 'scenarios', name: 'the directed chains of mishaps break nothing' },
  { kind: 'leaving', name: 'a gateway that leaves moves its own addresses only' },
  { kind: 'below', name: 'faults below the detection threshold move nothing' },
  { kind: 'failover', name: 'a power cut is over as fast as promised' },
])(
  '$name',
  async ({ kind }) => {
    expect(await runJob(kind)).toEqual([]);
  },
  LONG_MS,
);

describe('the checker finds', () => {
  test.concurrent.each([...PLANTED_BUGS, ...DIRECTED_BUGS.map(({ bug }) => bug)])(
    '$name',
    async ({ name }) => {
      expect(await runJob('bug', name)).toEqual([]);
    },
    LONG_MS,
  );
});
