import { expect, test } from 'vitest';
import { createLogger, type LogLevel } from './logger.ts';

function lines(level: LogLevel, use: (logger: ReturnType<typeof createLogger>) => void): readonly unknown[] {
  const written: string[] = [];
  use(createLogger({ program: 'agent', level, write: (line) => written.push(line), now: () => new Date(0) }));
  return written.map((line) => JSON.parse(line));
}

test('a line carries time, level, program, message and every bound field', () => {
  expect(lines('info', (logger) => logger.with({ node: 'gw-1' }).info('armed', { epoch: 3 }))).toEqual([
    {
      time: '1970-01-01T00:00:00.000Z',
      level: 'info',
      program: 'agent',
      message: 'armed',
      node: 'gw-1',
      epoch: 3,
    },
  ]);
});

test('lines below the level are not written', () => {
  expect(
    lines('warn', (logger) => {
      logger.debug('a');
      logger.info('b');
      logger.warn('c');
    }),
  ).toHaveLength(1);
});

test('errors, their codes and causes, bigints and long texts are written so that they can be read', () => {
  const error = Object.assign(new Error('outer', { cause: new Error('inner') }), { code: 'ECONNRESET' });
  const [line] = lines('info', (logger) =>
    logger.error('failed', { error, value: 5n, text: 'x'.repeat(5000) }),
  );
  expect(line).toMatchObject({
    error: { message: 'outer', code: 'ECONNRESET', cause: { message: 'inner' } },
    value: '5',
  });
  expect(JSON.stringify(line).length).toBeLessThan(20_000);
});
