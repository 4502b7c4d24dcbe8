import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { runTool, type ToolRunner } from './runTool.ts';
import { createToolStarter } from './toolStarter.ts';

const starter = createToolStarter();
afterAll(() => starter.close());
const DEADLINE_MS = 20_000;

describe.each([
  { by: 'this process', rest: {} },
  { by: 'a small one in its place', rest: { starter } },
])('a tool that $by starts', ({ rest }) => {
  const runner: ToolRunner = { execPrefix: [], deadlineMs: DEADLINE_MS, ...rest };
  const shell = (script: string, input?: string) => runTool(runner, ['sh', '-c', script], input);

  test('says what it printed, what it complained of and how it ended', async () => {
    expect(await shell('echo out; echo err >&2; exit 3')).toEqual({
      kind: 'done',
      code: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  test('gets its words as they are, empty ones and those with spaces and lines among them', async () => {
    const words = ['', 'a b', 'two\nlines', 'ü'];
    const { stdout } = (await runTool(runner, ['printf', '%s|', ...words])) as { readonly stdout: string };
    expect(stdout).toBe('|a b|two\nlines|ü|');
  });

  test('runs where the prefix leads', async () => {
    const there = { ...runner, execPrefix: ['env', 'PLACE=there'] };
    expect(await runTool(there, ['sh', '-c', 'echo $PLACE'])).toMatchObject({ stdout: 'there\n' });
  });

  test('reads megabytes and prints them', async () => {
    const input = 'ümlaut\n'.repeat(400_000);
    expect(await shell('cat', input)).toEqual({ kind: 'done', code: 0, stdout: input, stderr: '' });
  });

  test('that does not read what it is given ends as it likes', async () => {
    expect(await shell('exit 0', 'x'.repeat(1_000_000))).toMatchObject({ kind: 'done', code: 0 });
  });

  test('that is not there never began', async () => {
    const absent = await runTool(runner, ['no-such-tool', 'x']);
    expect(absent).toMatchObject({ kind: 'absent', message: expect.stringContaining('no-such-tool') });
  });

  test('without an end in time is killed, and what became of it is not known', async () => {
    const hasty = { ...runner, deadlineMs: 100 };
    expect(await runTool(hasty, ['sleep', '60'])).toEqual({
      kind: 'unknown',
      message: 'sleep 60: no end within 100 ms',
    });
  });

  test('that says nothing any more and goes on is killed then as well', async () => {
    const hasty = { ...runner, deadlineMs: 100 };
    expect(await runTool(hasty, ['sh', '-c', 'exec >&- 2>&-; exec sleep 60'])).toMatchObject({
      kind: 'unknown',
      message: expect.stringMatching(/no end within 100 ms$/),
    });
    expect(await shell('exec >&- 2>&-; sleep 0.1; exit 3')).toMatchObject({ kind: 'done', code: 3 });
  });

  test('that somebody kills is not known to have ended', async () => {
    expect(await shell('kill -9 $$')).toMatchObject({
      kind: 'unknown',
      message: expect.stringMatching(/killed$/),
    });
  });

  test('that prints without end is killed', async () => {
    const { message } = (await runTool(runner, ['yes'])) as { readonly message: string };
    expect(message).toMatch(/^yes: more than \d+ bytes of output$/);
  });

  test('runs beside others, each with its own answer', async () => {
    const numbers = Array.from({ length: 40 }, (_, index) => index);
    const results = await Promise.all(numbers.map((index) => shell(`sleep 0.0${index % 7}; echo ${index}`)));
    expect(results.map((it) => (it.kind === 'done' ? it.stdout : it.message))).toEqual(
      numbers.map((index) => `${index}\n`),
    );
  });
});

describe('the process that starts tools', () => {
  test('takes what runs with it, and is followed by another one', async () => {
    const own = createToolStarter();
    const limits = { deadlineMs: DEADLINE_MS, outputBytesMax: 100, input: '' };
    const pid = await own.run(['sh', '-c', 'echo $PPID'], limits);
    const waiting = own.run(['sleep', '60'], limits);
    // Its own turn: the one before it is running by then.
    await own.run(['true'], limits);
    process.kill(Number(pid.kind === 'done' ? pid.stdout : ''), 'SIGKILL');
    expect(await waiting).toMatchObject({ kind: 'unknown', message: expect.stringContaining('sleep 60: ') });
    expect(await own.run(['true'], limits)).toMatchObject({ kind: 'done', code: 0 });
    own.close();
  });

  test('is small', async () => {
    const own = createToolStarter();
    const limits = { deadlineMs: DEADLINE_MS, outputBytesMax: 100, input: '' };
    const pid = await own.run(['sh', '-c', 'echo $PPID'], limits);
    const status = readFileSync(`/proc/${pid.kind === 'done' ? pid.stdout.trim() : ''}/status`, 'utf8');
    expect(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])).toBeLessThan(20_000);
    own.close();
  });
});
