import { expect, test } from 'vitest';
import { makeAddress } from '../../policy/address.ts';
import type { KernelOutcome } from '../core/dataPlane.ts';
import { soleUplink } from '../core/uplinks.ts';
import { createAnswerGate, type KernelGate } from './answerGate.ts';
import type { KernelCommands } from './kernelCommands.ts';
import type { ToolResult } from './runTool.ts';

const OK: KernelOutcome = { kind: 'ok' };
const NOTHING: ToolResult = { kind: 'done', code: 0, stdout: '', stderr: '' };

/** Of a node on which nothing is: its tools print nothing, as long as they end. */
function openGate() {
  const commanded: string[] = [];
  let [ending, answering] = [true, true];
  let looks = 0;
  const unused = (): void => undefined;
  const commands: Pick<KernelCommands, 'run' | 'send'> = {
    async run({ operation }) {
      commanded.push(operation);
      return answering ? OK : { kind: 'unknown', message: 'it has not come back' };
    },
    send: unused,
  };
  const run = (): Promise<ToolResult> => {
    looks += 1;
    return ending ? Promise.resolve(NOTHING) : new Promise(unused);
  };
  const gate: KernelGate = createAnswerGate({
    runner: { execPrefix: [], deadlineMs: 1000, starter: { run } },
    self: makeAddress(4, 0xcb00710bn),
    uplinks: soleUplink('eth0'),
    durations: { windows: [] },
    token: new Uint8Array(16),
    commands,
    nft: { run: () => Promise.resolve(OK) },
    announcer: { prepare: unused, announce: unused, refresh: unused, close: unused },
  });
  return {
    gate,
    commanded,
    looks: () => looks,
    tools: (end: boolean) => {
      ending = end;
    },
    kernel: (answers: boolean) => {
      answering = answers;
    },
  };
}

test('no heartbeat waits for a look at the table, nor does a takeover', async () => {
  const { gate, commanded, tools } = openGate();
  const address = makeAddress(4, 0xcb00710an);
  await gate.guard([address]);
  tools(false);
  void gate.reassert();
  void gate.arm(address, 1);
  expect(await gate.beat(1, 1)).toEqual(OK);
  expect(commanded.toSorted()).toEqual(['arm', 'beat']);
});

test('the first command waits until the table is there, and so does the next after one that did not come back', async () => {
  const { gate, looks, kernel } = openGate();
  await gate.beat(1, 1);
  const first = looks();
  expect(first).toBeGreaterThan(0);
  kernel(false);
  expect(await gate.beat(1, 2)).toMatchObject({ kind: 'unknown' });
  expect(looks()).toBe(first);
  kernel(true);
  expect(await gate.beat(1, 3)).toEqual(OK);
  expect(looks()).toBeGreaterThan(first);
});
