/**
 * Decides what mutation fills in: fields that are absent and have a default, and the prefix length of a bare address
 * in a pool. It never rewrites what the user wrote into something else, and a second run changes nothing. What cannot
 * be read is left alone: the rules have the last word.
 */
import { addressBits, parseAddress } from './address.ts';

/** RFC 6902, the two operations that are needed here. */
export type JsonPatchOperation =
  | { readonly op: 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'replace'; readonly path: string; readonly value: unknown };

/** The CRDs carry the same ones: whichever of the two fills in a field, the stored object is the same. */
export const DEFAULTS = {
  strategy: 'Distribute',
  affinity: 'Pod',
  failureMode: 'Closed',
  returnPolicy: 'Stay',
} as const;
const GATEWAY_PATH = '/spec/egressGateway';

/** @param raw a policy object of either kind, unparsed. */
export function setDefaults(raw: unknown): readonly JsonPatchOperation[] {
  const gateway = field(field(raw, 'spec'), 'egressGateway');
  if (typeof gateway !== 'object' || gateway === null || Array.isArray(gateway)) return [];
  const absent = Object.entries(DEFAULTS)
    .filter(([name]) => !Object.hasOwn(gateway, name))
    .map(([name, value]): JsonPatchOperation => ({ op: 'add', path: `${GATEWAY_PATH}/${name}`, value }));
  const pools = field(gateway, 'ippools');
  return [...absent, ...(Array.isArray(pools) ? pools.flatMap(completePrefix) : [])];
}

/** The object with the operations of `setDefaults` carried out; the one given stays as it is. */
export function applyPatch(raw: unknown, patch: readonly JsonPatchOperation[]): unknown {
  return patch.reduce((object, { path, value }) => setAt(object, path.split('/').slice(1), value), raw);
}

function setAt(container: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value;
  if (Array.isArray(container))
    return container.map((item, index) => (String(index) === key ? setAt(item, rest, value) : item));
  return { ...(container as object), [key]: setAt(field(container, key), rest, value) };
}

function completePrefix(entry: unknown, index: number): readonly JsonPatchOperation[] {
  const text = field(entry, 'cidr');
  if (typeof text !== 'string') return [];
  const address = parseAddress(text);
  if (address.kind === 'refused') return [];
  const value = `${text}/${addressBits(address.value.family)}`;
  return [{ op: 'replace', path: `${GATEWAY_PATH}/ippools/${index}/cidr`, value }];
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}
