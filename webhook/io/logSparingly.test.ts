import { expect, test } from 'vitest';
import { createLogger } from '../../runtime/logger.ts';
import { logSparingly } from './logSparingly.ts';

test('ten lines a second are written, and the first of the next second says how many were not', () => {
  const lines: { readonly message: string; readonly unsaidBefore?: number }[] = [];
  const logger = createLogger({
    program: 'test',
    level: 'info',
    write: (line) => void lines.push(JSON.parse(line)),
  });
  const clock = { nowMs: 0 };
  const log = logSparingly(logger, () => clock.nowMs);
  for (let at = 0; at < 25; at += 1) log[at % 2 === 0 ? 'warn' : 'info'](`line ${at}`);
  expect(lines).toHaveLength(10);
  clock.nowMs = 1000;
  log.warn('later', { reason: 'syntax' });
  log.warn('last');
  expect(lines[10]).toMatchObject({ message: 'later', reason: 'syntax', unsaidBefore: 15 });
  expect(lines[11]?.unsaidBefore).toBeUndefined();
});
