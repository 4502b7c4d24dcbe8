import { expect, test } from 'vitest';
import { createBatch } from './batch.ts';

/** A tool that is run with several items at once; each run ends when the test says so. */
class Tool {
  readonly runs: { readonly items: readonly string[]; readonly end: PromiseWithResolvers<string> }[] = [];
  running = 0;

  run = async (items: readonly string[]): Promise<string> => {
    this.running += 1;
    expect(this.running).toBe(1);
    const end = Promise.withResolvers<string>();
    this.runs.push({ items, end });
    try {
      return await end.promise;
    } finally {
      this.running -= 1;
    }
  };

  async begun(count: number): Promise<void> {
    // Each begins within a few microtasks of the end of the one before.
    for (let turn = 0; turn < 20 && this.runs.length < count; turn += 1) await Promise.resolve();
    expect(this.runs).toHaveLength(count);
  }
}

test('what is asked for in one go is one run, each item once', async () => {
  const tool = new Tool();
  const ask = createBatch(tool.run);
  const asked = ['a', 'b', 'a'].map(ask);
  await tool.begun(1);
  expect(tool.runs[0]?.items).toEqual(['a', 'b']);
  tool.runs[0]?.end.resolve('done');
  expect(await Promise.all(asked)).toEqual(['done', 'done', 'done']);
});

test('what is asked for while a run is under way waits for the next, also what that run has already', async () => {
  const tool = new Tool();
  const ask = createBatch(tool.run);
  const first = ask('a');
  await tool.begun(1);
  const later = ['b', 'a', 'c'].map(ask);
  await Promise.resolve();
  expect(tool.runs).toHaveLength(1);
  tool.runs[0]?.end.resolve('first');
  expect(await first).toBe('first');
  await tool.begun(2);
  expect(tool.runs[1]?.items).toEqual(['b', 'a', 'c']);
  tool.runs[1]?.end.resolve('second');
  expect(await Promise.all(later)).toEqual(['second', 'second', 'second']);
});

test('a run that throws is the failure of those who asked for it, and the next goes on', async () => {
  const tool = new Tool();
  const ask = createBatch(tool.run);
  const failing = ask('a');
  await tool.begun(1);
  const next = ask('b');
  tool.runs[0]?.end.reject(new Error('no such device'));
  await expect(failing).rejects.toThrow('no such device');
  await tool.begun(2);
  tool.runs[1]?.end.resolve('done');
  expect(await next).toBe('done');
});

test('a batch that ended leaves nothing behind for the next one', async () => {
  const tool = new Tool();
  const ask = createBatch(tool.run);
  for (const [index, item] of ['a', 'b'].entries()) {
    const asked = ask(item);
    await tool.begun(index + 1);
    tool.runs[index]?.end.resolve(item);
    expect(await asked).toBe(item);
  }
  expect(tool.runs.map(({ items }) => items)).toEqual([['a'], ['b']]);
});
