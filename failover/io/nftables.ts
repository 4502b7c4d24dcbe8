/**
 * Transactions on our tables, large ones too. Each is one `nft -f -`: a process that dies takes nothing with it, and the
 * kernel applies a transaction as a whole or not at all. Small ones of the data plane go through nftSession.ts.
 */

import type { KernelOutcome } from '../core/dataPlane.ts';
import { MANAGED, type ManagedName, qualified, TABLE } from '../core/dataplane/kernelState.ts';
import { type ParsedTables, parseSet, parseTables } from '../core/dataplane/parseTables.ts';
import { readJson, runTool, type ToolRunner } from './runTool.ts';

/** Transactions waiting at the most: a kernel this far behind is as good as gone. */
const QUEUE_LENGTH_MAX = 256;
/** What nft and the kernel are given at the least: 23 MB did not fit 5 s on a busy machine. */
const BYTES_PER_MS = 500;
/** 48,000 ranges of ports take nft half a second of an idle processor, and agents start when nodes are busy. */
const READING_MS = 25_000;
/** What of a tool's complaint is worth keeping in a log line. */
const MESSAGE_LENGTH_MAX = 400;

export interface Nftables {
  /** One at a time, in the order asked. */
  run(transaction: string): Promise<KernelOutcome>;
  /** Undefined: nft did not answer, or not in time, so nothing is known. */
  read(names: readonly ManagedName[]): Promise<ParsedTables | undefined>;
  /** Marks of egress IPs whose ports are nearly used up: portLimits.ts. Empty where nft does not answer. */
  readPressed(): Promise<readonly number[]>;
}

export function createNftables(runner: ToolRunner): Nftables {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return {
    run(transaction) {
      if (transaction === '') return Promise.resolve({ kind: 'ok' });
      if (waiting >= QUEUE_LENGTH_MAX) {
        return Promise.resolve({
          kind: 'refused',
          message: `${waiting} transactions are waiting for the kernel`,
        });
      }
      waiting += 1;
      const outcome = last.then(() => transact(runner, transaction));
      last = outcome.finally(() => {
        waiting -= 1;
      });
      return outcome;
    },
    read: (names) => readTables(runner, names),
    async readPressed() {
      return parseSet(await readJson(runner, ['nft', '-j', 'list', 'set', 'inet', TABLE, 'pressed'])).map(
        Number,
      );
    },
  };
}

/**
 * First what there is, without elements, then set by set: nft 1.0.6 fetches every element of a table for most other questions,
 * that for a counter among them, and has an answer of a quarter of a gigabyte for a large cluster's.
 */
async function readTables(
  runner: ToolRunner,
  names: readonly ManagedName[],
): Promise<ParsedTables | undefined> {
  const patient = { ...runner, deadlineMs: runner.deadlineMs + READING_MS };
  const list = (command: readonly string[]): Promise<unknown> => readJson(patient, ['nft', '-j', ...command]);
  const outlines = await Promise.all(
    ['inet', 'netdev'].map((family) => list(['-t', 'list', 'ruleset', family])),
  );
  if (outlines.includes(undefined)) return undefined;
  const { state } = parseTables(outlines);
  const sets = await Promise.all(
    names
      .filter((name) => state.elements.has(name))
      .map((name) =>
        list(['list', MANAGED[name].includes(' : ') ? 'map' : 'set', ...qualified(name).split(' ')]),
      ),
  );
  return sets.includes(undefined) ? undefined : parseTables([...outlines, ...sets]);
}

async function transact(runner: ToolRunner, transaction: string): Promise<KernelOutcome> {
  const deadlineMs = runner.deadlineMs + transaction.length / BYTES_PER_MS;
  const result = await runTool({ ...runner, deadlineMs }, ['nft', '-f', '-'], transaction);
  if (result.kind === 'absent') return { kind: 'refused', message: result.message };
  if (result.kind === 'unknown') return result;
  if (result.code === 0) return { kind: 'ok' };
  return { kind: 'refused', message: result.stderr.trim().slice(0, MESSAGE_LENGTH_MAX) };
}
