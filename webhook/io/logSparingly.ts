/** A log for what others can provoke: so many lines a second, and a later line says how many were left out. */
import type { LogFields, Logger } from '../../runtime/logger.ts';

/** A person reads no more, and a pipe that nobody empties keeps its lines in this process. */
const LINES_PER_S = 10;

export type SparingLog = Pick<Logger, 'info' | 'warn'>;

/** `now`: monotonic milliseconds. */
export function logSparingly(logger: Logger, now: () => number = () => performance.now()): SparingLog {
  let second = { beganMs: Number.NEGATIVE_INFINITY, lines: 0 };
  let unsaid = 0;
  const limited =
    (level: 'info' | 'warn') =>
    (message: string, fields: LogFields = {}): void => {
      const nowMs = now();
      if (nowMs - second.beganMs >= 1000) second = { beganMs: nowMs, lines: 0 };
      if (second.lines >= LINES_PER_S) {
        unsaid += 1;
        return;
      }
      second = { ...second, lines: second.lines + 1 };
      logger[level](message, unsaid === 0 ? fields : { ...fields, unsaidBefore: unsaid });
      unsaid = 0;
    };
  return { info: limited('info'), warn: limited('warn') };
}
