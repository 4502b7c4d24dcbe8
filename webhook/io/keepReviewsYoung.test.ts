import { spawn } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { collectOutput } from '../../test/lab/collectOutput.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../test/lab/reviewGarbage.ts');
/** A review allocates some 50 KiB. */
const NEXT_TO_NOTHING_BYTES = 200;
const MUCH_BYTES = 1000;

async function bytesLeft(...words: readonly string[]): Promise<number> {
  const { code, out, err } = await collectOutput(
    spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', 'pipe', 'pipe'] }),
  );
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return Number(out);
}

test('a decision leaves nothing behind that only a large collection frees', async () => {
  expect(await bytesLeft()).toBeLessThan(NEXT_TO_NOTHING_BYTES);
});

test('without it a decision does, so it is still needed', async () => {
  expect(await bytesLeft('--as-it-comes')).toBeGreaterThan(MUCH_BYTES);
});
