/** Structured logging: one JSON object a line on standard output, for people who search and machines that parse. */

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  with(fields: LogFields): Logger;
}

/** A stack or a server's answer beyond this is cut: a log line is no dump. */
const TEXT_LENGTH_MAX = 4000;
/** An error's chain of causes is followed this far. */
const CAUSE_DEPTH_MAX = 4;

export function createLogger(options: {
  readonly program: string;
  readonly level: LogLevel;
  readonly write?: (line: string) => void;
  readonly now?: () => Date;
}): Logger {
  const write = options.write ?? ((line: string) => void process.stdout.write(line));
  const now = options.now ?? (() => new Date());
  const threshold = LOG_LEVELS.indexOf(options.level);
  const create = (bound: LogFields): Logger => {
    const log =
      (level: LogLevel) =>
      (message: string, fields: LogFields = {}): void => {
        if (LOG_LEVELS.indexOf(level) < threshold) return;
        const line = {
          time: now().toISOString(),
          level,
          program: options.program,
          message,
          ...bound,
          ...fields,
        };
        write(`${JSON.stringify(line, renderValue)}\n`);
      };
    return {
      debug: log('debug'),
      info: log('info'),
      warn: log('warn'),
      error: log('error'),
      with: (fields) => create({ ...bound, ...fields }),
    };
  };
  return create({});
}

/** JSON.stringify alone makes `{}` of an Error and throws on a bigint. */
function renderValue(_key: string, value: unknown): unknown {
  if (value instanceof Error) return renderError(value, 0);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string' && value.length > TEXT_LENGTH_MAX)
    return `${value.slice(0, TEXT_LENGTH_MAX)}…`;
  return value;
}

function renderError(error: Error, depth: number): LogFields {
  const code = 'code' in error ? { code: error.code } : {};
  const cause =
    error.cause instanceof Error && depth < CAUSE_DEPTH_MAX
      ? { cause: renderError(error.cause, depth + 1) }
      : {};
  return {
    name: error.name,
    message: error.message,
    ...code,
    stack: error.stack?.slice(0, TEXT_LENGTH_MAX),
    ...cause,
  };
}
