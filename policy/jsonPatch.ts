/**
 * The difference of two JSON values as a patch (RFC 6902) that adds and replaces. What is absent on the way is added with
 * all that is in it, so no operation needs a parent that is not there. Nothing is ever removed: a key that only the first
 * value has stays.
 */

export type JsonPatchOperation =
  | { readonly op: 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'replace'; readonly path: string; readonly value: unknown };

/** RFC 6901: `~` and `/` within a key are escaped. */
export function jsonPointer(keys: readonly string[]): string {
  return keys.map((key) => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/**
 * What is the same value in both, by reference, costs nothing: copy only what changes. A list of another length is
 * replaced as a whole.
 */
export function diffJson(
  before: unknown,
  after: unknown,
  keys: readonly string[] = [],
): readonly JsonPatchOperation[] {
  if (before === after) return [];
  if (!isContainer(before) || !isContainer(after) || !sameShape(before, after))
    return [{ op: 'replace', path: jsonPointer(keys), value: after }];
  return Object.entries(after).flatMap(([key, value]): readonly JsonPatchOperation[] => {
    const path = [...keys, key];
    return Object.hasOwn(before, key)
      ? diffJson(before[key], value, path)
      : [{ op: 'add', path: jsonPointer(path), value }];
  });
}

type Container = Readonly<Record<string, unknown>>;

function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null;
}

function sameShape(before: Container, after: Container): boolean {
  if (Array.isArray(before) !== Array.isArray(after)) return false;
  return !Array.isArray(before) || before.length === after.length;
}
