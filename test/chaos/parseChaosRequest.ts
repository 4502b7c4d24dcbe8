/** What the command line of `npm run chaos` asks for, or what is wrong with it. */
import { parseArgs } from 'node:util';

/** How long one class is run, or how often. */
export type Extent =
  | { readonly kind: 'minutes'; readonly minutes: number }
  | { readonly kind: 'runs'; readonly runs: number };

export interface ChaosRequest {
  /** Undefined: every class once. */
  readonly only: { readonly key: string; readonly extent: Extent } | undefined;
  /** From a clean cluster each time. */
  readonly repeat: number;
  readonly sessionMs: number;
}

const MINUTES_DEFAULT = 5;
/** A day. */
const MINUTES_MAX = 1440;
const RUNS_MAX = 10_000;
const REPEAT_MAX = 100;
/** What the agents take: readDurations.ts. */
const SESSION_MS = { min: 100, max: 60_000 };

/** A text says what is wrong with the arguments. */
export function parseChaosRequest(
  argv: readonly string[],
  known: { readonly classes: readonly string[]; readonly sessionMs: number },
): ChaosRequest | string {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const { class: key, minutes, runs } = values;
  const number = (name: string, text: string | undefined, limits: Limits): number | string => {
    const value = Number(text ?? limits.fallback);
    return value >= limits.min && value <= limits.max && (limits.fraction === true || Number.isInteger(value))
      ? value
      : `--${name}: use ${limits.min} to ${limits.max}`;
  };
  const repeat = number('repeat', values.repeat, { min: 1, max: REPEAT_MAX, fallback: 1 });
  if (typeof repeat === 'string') return repeat;
  const sessionMs = number('session', values.session, { ...SESSION_MS, fallback: known.sessionMs });
  if (typeof sessionMs === 'string') return sessionMs;
  if (key === undefined) {
    if (minutes !== undefined || runs !== undefined) return '--minutes and --runs go with --class';
    return { only: undefined, repeat, sessionMs };
  }
  if (!known.classes.includes(key)) return `there is no class ${key}; there is: ${known.classes.join(', ')}`;
  if (minutes !== undefined && runs !== undefined) return 'give --minutes or --runs, not both';
  if (runs !== undefined) {
    const count = number('runs', runs, { min: 1, max: RUNS_MAX, fallback: 1 });
    if (typeof count === 'string') return count;
    return { only: { key, extent: { kind: 'runs', runs: count } }, repeat, sessionMs };
  }
  const length = number('minutes', minutes, {
    min: 0,
    max: MINUTES_MAX,
    fallback: MINUTES_DEFAULT,
    fraction: true,
  });
  if (typeof length === 'string') return length;
  return { only: { key, extent: { kind: 'minutes', minutes: length } }, repeat, sessionMs };
}

interface Limits {
  readonly min: number;
  readonly max: number;
  readonly fallback: number;
  readonly fraction?: boolean;
}

function parse(argv: readonly string[]) {
  const options = {
    class: { type: 'string' },
    minutes: { type: 'string' },
    runs: { type: 'string' },
    repeat: { type: 'string' },
    session: { type: 'string' },
  } as const;
  return parseArgs({ args: [...argv], options }).values;
}
