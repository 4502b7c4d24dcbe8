export type Json = Readonly<Record<string, unknown>>;

/** A JSON object; undefined for lists and everything else. */
export function asRecord(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
