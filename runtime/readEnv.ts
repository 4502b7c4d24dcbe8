/**
 * Reads settings from environment variables into one value, or into the list of everything that is wrong with them: nobody
 * wants to learn of three mistakes in three restarts. An empty variable counts as not set, as charts leave them.
 */
import { parseCidr } from '../policy/cidr.ts';
import type { Cidr } from '../policy/model.ts';
import { ok, type Result, refused } from '../policy/result.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const MS_OF = { milliseconds: 1, seconds: 1000 } as const;

/** What a program calls while it builds its configuration. A field that fails yields a stand-in that nobody will see. */
export class EnvReader {
  readonly #env: Environment;
  readonly #problems: string[] = [];

  constructor(env: Environment) {
    this.#env = env;
  }

  get problems(): readonly string[] {
    return this.#problems;
  }

  /** For what is wrong between settings: a sentence that names both. */
  refuse(problem: string): void {
    this.#problems.push(problem);
  }

  /** Required where there is no fallback. */
  text(name: string, fallback?: string): string {
    const text = this.#env[name]?.trim() || fallback;
    if (text === undefined) this.refuse(`${name} is not set`);
    return text ?? '';
  }

  /** A whole number from `min` to `max`, both inclusive. */
  integer(
    name: string,
    range: { readonly min: number; readonly max: number; readonly fallback?: number },
  ): number {
    const text = this.text(name, range.fallback?.toString());
    if (text === '') return range.min;
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= range.min && value <= range.max) return value;
    this.refuse(`${name} is ${text}; use a whole number from ${range.min} to ${range.max}`);
    return range.min;
  }

  /** Range and fallback are in `unit`, as the variable is; the result is in milliseconds. */
  durationMs(
    name: string,
    range: {
      readonly unit: keyof typeof MS_OF;
      readonly min: number;
      readonly max: number;
      readonly fallback?: number;
    },
  ): number {
    return this.integer(name, range) * MS_OF[range.unit];
  }

  choice<const T extends string>(name: string, options: readonly T[], fallback: NoInfer<T>): T {
    const text = this.text(name, fallback);
    const chosen = options.find((option) => option === text);
    if (chosen === undefined) this.refuse(`${name} is ${text}; use one of ${options.join(', ')}`);
    return chosen ?? fallback;
  }

  /** Prefixes separated by commas; required where there is no fallback. */
  cidrs(name: string, fallback?: string): readonly Cidr[] {
    const texts = this.#env[name]?.trim() || fallback === undefined ? this.text(name) : fallback;
    return texts
      .split(',')
      .map((text) => text.trim())
      .filter((text) => text !== '')
      .flatMap((text) => {
        const parsed = parseCidr(text);
        if (parsed.kind === 'ok') return [parsed.value];
        this.refuse(`${name}: ${parsed.error.message}`);
        return [];
      });
  }
}

/** @param read builds the configuration; its result counts only if no problem was found on the way. */
export function readEnv<T>(env: Environment, read: (reader: EnvReader) => T): Result<T, readonly string[]> {
  const reader = new EnvReader(env);
  const value = read(reader);
  return reader.problems.length === 0 ? ok(value) : refused(reader.problems);
}
