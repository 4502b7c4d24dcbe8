/** Against real processes: signals and exit codes are what it is about. */
import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';

const IMPORTS = `
import { installShutdown } from '${new URL('./shutdown.ts', import.meta.url)}';
import { createLogger } from '${new URL('./logger.ts', import.meta.url)}';
const logger = createLogger({ program: 'test', level: 'info' });
const start = (deadlineMs) => {
  const shutdown = installShutdown({ logger, deadlineMs });
  setInterval(() => {}, 60_000);
  return shutdown;
};`;
/** Longer than any test lasts. */
const LONG_MS = 60_000;

interface Ended {
  readonly code: number | null;
  readonly messages: readonly string[];
}

/** Runs `source`; `onMessage` sees each log line's message and may send signals. */
function run(
  source: string,
  onMessage: (message: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
) {
  return new Promise<Ended>((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', `${IMPORTS}\n${source}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const messages: string[] = [];
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const { message } = JSON.parse(line) as { readonly message: string };
        messages.push(message);
        onMessage(message, (signal) => child.kill(signal));
      }
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, messages }));
  });
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s runs the hooks, last registered first, and exits with 0',
  async (signal) => {
    const { code, messages } = await run(
      `const shutdown = start(${LONG_MS});
     shutdown.onEnd('first', () => logger.info('first'));
     shutdown.onEnd('second', async () => { await null; logger.info('second'); });
     shutdown.signal.addEventListener('abort', () => logger.info('aborted'));
     logger.info('started');`,
      (message, kill) => {
        if (message === 'started') kill(signal);
      },
    );
    expect(messages).toEqual(['started', 'ending', 'aborted', 'second', 'first', 'ended']);
    expect(code).toBe(0);
  },
);

test('a hook that fails does not keep the others from running, and tells by the exit code', async () => {
  const { code, messages } = await run(
    `const shutdown = start(${LONG_MS});
     shutdown.onEnd('first', () => logger.info('first'));
     shutdown.onEnd('broken', () => { throw new Error('no'); });
     logger.info('started');`,
    (message, kill) => {
      if (message === 'started') kill('SIGTERM');
    },
  );
  expect(messages).toEqual(['started', 'ending', 'a part did not end well', 'first', 'ended']);
  expect(code).toBe(1);
});

test('hooks that hang are left behind at the deadline', async () => {
  const { code, messages } = await run(
    `const shutdown = start(100);
     shutdown.onEnd('hanging', () => new Promise(() => {}));
     shutdown.end('a test');`,
  );
  expect(messages).toEqual(['ending', 'did not end in time']);
  expect(code).toBe(1);
});

test('a second signal ends it at once', async () => {
  const { code, messages } = await run(
    `const shutdown = start(${LONG_MS});
     shutdown.onEnd('hanging', () => new Promise(() => {}));
     logger.info('started');`,
    (message, kill) => {
      if (message === 'started') kill('SIGTERM');
      if (message === 'ending') kill('SIGINT');
    },
  );
  expect(messages).toEqual(['started', 'ending']);
  expect(code).toBe(130);
});

test.each([
  { name: 'an exception', source: "setImmediate(() => { throw new Error('a bug'); });" },
  { name: 'a rejection', source: "void Promise.reject(new Error('a bug'));" },
])('$name that nobody caught is logged and ends the program', async ({ source }) => {
  expect(await run(`start(${LONG_MS}); ${source}`)).toEqual({ code: 1, messages: ['uncaught'] });
});
