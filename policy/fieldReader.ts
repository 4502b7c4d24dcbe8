/**
 * Reads fields of an unparsed JSON value and collects what is wrong, each with its path as kubectl prints it. A field
 * that fails to parse yields a harmless stand-in: the caller looks at the list of violations before it uses anything.
 */
import type { Violation, ViolationCode } from './model.ts';
import { nearestName } from './nearestName.ts';
import { parseTimestampMs } from './timestamp.ts';

type Json = Readonly<Record<string, unknown>>;

/** An object of megabytes may hold a fault in every field, and each costs time and memory; nobody reads so many. */
export const PROBLEMS_MAX = 1000;

export class FieldReader {
  readonly path: string;
  readonly #value: unknown;
  readonly #problems: Violation[];

  constructor(value: unknown, path: string, problems: Violation[]) {
    this.#value = value;
    this.path = path;
    this.#problems = problems;
  }

  #fields(): Json {
    const value = this.#value;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
  }

  #at(field: string): string {
    return this.path === '' ? field : `${this.path}.${field}`;
  }

  has(field: string): boolean {
    const value = Object.hasOwn(this.#fields(), field) ? this.#fields()[field] : undefined;
    return value !== undefined && value !== null;
  }

  /** How many violations were recorded so far, of this value and of all others. */
  get problemCount(): number {
    return this.#problems.length;
  }

  /** Whether this value is `{}`, written out. */
  isEmptyObject(): boolean {
    const value = this.#value;
    return (
      typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
    );
  }

  /** Whether a field that was read as an empty list is one, or is not there. */
  isEmptyList(field: string): boolean {
    const value = this.#get(field) ?? [];
    return Array.isArray(value) && value.length === 0;
  }

  #get(field: string): unknown {
    return this.has(field) ? this.#fields()[field] : undefined;
  }

  /** Records a violation of this value, or of one field of it. Returns an empty list to stand in for what failed. */
  refuse(code: ViolationCode, message: string, field?: string): never[] {
    if (this.#isFull()) return [];
    this.#problems.push({
      code,
      verdict: 'deny',
      path: field === undefined ? this.path : this.#at(field),
      message,
    });
    return [];
  }

  /** The first fault beyond the limit says that there are more. */
  #isFull(): boolean {
    if (this.#problems.length < PROBLEMS_MAX) return false;
    if (this.#problems.length === PROBLEMS_MAX) {
      const message = `there are more than ${PROBLEMS_MAX} faults; the rest is not listed`;
      this.#problems.push({ code: 'limits', verdict: 'deny', path: '', message });
    }
    return true;
  }

  /** Refuses a value that is there and is no object. */
  expectObject(): void {
    const value = this.#value;
    if (value !== undefined && value !== null && (typeof value !== 'object' || Array.isArray(value))) {
      this.refuse('schema', `${this.path || 'this'} is ${describe(value)}; an object is expected`);
    }
  }

  /** Refuses every field but these. */
  allow(known: readonly string[]): void {
    this.expectObject();
    for (const field of Object.keys(this.#fields())) {
      if (known.includes(field)) continue;
      if (this.#isFull()) return;
      const near = nearestName(field, known);
      const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
      this.refuse('unknown-field', `${field} is not a field here; ${hint}`, field);
    }
  }

  child(field: string): FieldReader {
    return new FieldReader(this.#get(field), this.#at(field), this.#problems);
  }

  list(field: string, limits: { readonly min: number; readonly max: number }): readonly FieldReader[] {
    const value = this.#get(field) ?? [];
    if (!Array.isArray(value))
      return this.refuse('schema', `${field} is ${describe(value)}; a list is expected`, field);
    if (value.length < limits.min)
      this.refuse('schema', `${field} is empty; at least ${limits.min} is needed`, field);
    if (value.length > limits.max) {
      return this.refuse(
        'limits',
        `${field} has ${value.length} entries; at most ${limits.max} are accepted`,
        field,
      );
    }
    return value.map(
      (entry: unknown, index) => new FieldReader(entry, `${this.#at(field)}[${index}]`, this.#problems),
    );
  }

  /** This value itself as a list of strings; what is none is left out. */
  texts(): readonly string[] {
    return Array.isArray(this.#value) ? this.#value.filter((entry) => typeof entry === 'string') : [];
  }

  /** The entries of a map of strings. */
  textMap(field: string): readonly (readonly [string, string])[] {
    const value = this.#get(field) ?? {};
    if (typeof value !== 'object' || Array.isArray(value)) {
      return this.refuse('schema', `${field} is ${describe(value)}; a map of strings is expected`, field);
    }
    return Object.entries(value as Json).flatMap(([key, entry]) =>
      typeof entry === 'string'
        ? [[key, entry] as const]
        : this.refuse(
            'schema',
            `${key} is ${describe(entry)}; a string is expected (quote it)`,
            `${field}.${key}`,
          ),
    );
  }

  /** This value itself as text. */
  text(): string | undefined {
    if (typeof this.#value === 'string') return this.#value;
    this.refuse('schema', `${this.path} is ${describe(this.#value)}; a string is expected`);
    return undefined;
  }

  /** This value itself as a whole number. */
  integer(): number | undefined {
    const value = this.#value;
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    this.refuse('schema', `${this.path} is ${describe(value)}; a whole number is expected`);
    return undefined;
  }

  optionalText(field: string): string | undefined {
    const value = this.#get(field);
    if (value === undefined || typeof value === 'string') return value;
    this.refuse('schema', `${field} is ${describe(value)}; a string is expected`, field);
    return undefined;
  }

  requiredText(field: string): string | undefined {
    if (!this.has(field)) this.refuse('schema', `${field} is missing`, field);
    return this.optionalText(field);
  }

  optionalInteger(field: string): number | undefined {
    const value = this.#get(field);
    if (value === undefined || (typeof value === 'number' && Number.isSafeInteger(value))) return value;
    this.refuse('schema', `${field} is ${describe(value)}; a whole number is expected`, field);
    return undefined;
  }

  /** An RFC 3339 time in UTC as milliseconds since the epoch. */
  timeMs(field: string): number {
    const parsed = parseTimestampMs(this.requiredText(field) ?? '');
    if (parsed === undefined)
      this.refuse('schema', `${field} is no time such as 2024-02-29T23:59:59Z`, field);
    return parsed ?? 0;
  }

  flag(field: string): boolean {
    const value = this.#get(field) ?? false;
    if (typeof value === 'boolean') return value;
    this.refuse('schema', `${field} is ${describe(value)}; true or false is expected`, field);
    return false;
  }

  /** One of a closed set; the first is the default. */
  choice<const T extends string>(field: string, options: readonly [T, ...T[]]): T {
    const value = this.optionalText(field);
    if (value === undefined) return options[0];
    const chosen = options.find((option) => option === value);
    if (chosen === undefined)
      this.refuse('schema', `${field} is ${JSON.stringify(value)}; it may be ${options.join(' or ')}`, field);
    return chosen ?? options[0];
  }
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return 'missing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `the ${typeof value} ${JSON.stringify(value)}`;
}
