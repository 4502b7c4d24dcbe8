/** RFC 6902 as far as the webhook writes it (add, replace), strict where API servers are: a parent has to be there. */
import type { JsonPatchOperation } from '../../policy/jsonPatch.ts';

/** Throws where an API server would refuse the patch. Changes a copy. */
export function applyPatch(raw: unknown, patch: readonly JsonPatchOperation[]): unknown {
  const holder = { root: structuredClone(raw) };
  for (const { op, path, value } of patch) {
    if (path !== '' && !path.startsWith('/')) throw new Error(`${path} is no pointer`);
    const keys = ['root', ...path.split('/').slice(1).map(unescapeKey)];
    const last = keys.pop() ?? '';
    const parent = keys.reduce<unknown>((at, key) => getOwn(at, key, path), holder);
    if (typeof parent !== 'object' || parent === null) throw new Error(`${path} has no parent`);
    const there = Object.hasOwn(parent, last);
    if (op === 'replace' && !there) throw new Error(`${path} is not there to be replaced`);
    if (Array.isArray(parent) && !(there && op === 'replace')) throw new Error(`${path}: no such entry`);
    Object.defineProperty(parent, last, { value, enumerable: true, writable: true, configurable: true });
  }
  return holder.root;
}

function unescapeKey(key: string): string {
  return key.replaceAll('~1', '/').replaceAll('~0', '~');
}

function getOwn(at: unknown, key: string, path: string): unknown {
  if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key))
    throw new Error(`${path} has no parent`);
  return (at as Readonly<Record<string, unknown>>)[key];
}
