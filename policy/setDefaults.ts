/**
 * Decides what mutation fills in: fields that are absent and have a default, and the prefix length of a bare address
 * in a pool. It never rewrites what the user wrote into something else, and a second run changes nothing. What cannot
 * be read is left alone: the rules have the last word.
 */
import { addressBits, parseAddress } from './address.ts';
import { diffJson, type JsonPatchOperation } from './jsonPatch.ts';

/** The CRDs carry the same ones: whichever of the two fills in a field, the stored object is the same. */
export const DEFAULTS = {
  strategy: 'Distribute',
  affinity: 'Pod',
  failureMode: 'Closed',
  returnPolicy: 'Stay',
} as const;

/** @param raw a policy object of either kind, unparsed. Returns the fewest operations that complete it. */
export function setDefaults(raw: unknown): readonly JsonPatchOperation[] {
  return diffJson(raw, completeObject(raw));
}

/** What the patch makes of it. What was complete comes back as the very value it was. */
export function completeObject(raw: unknown): unknown {
  return changeField(raw, 'spec', (spec) => changeField(spec, 'egressGateway', completeGateway));
}

function completeGateway(gateway: unknown): unknown {
  const fields = asFields(gateway);
  if (fields === undefined) return gateway;
  const absent = Object.entries(DEFAULTS).filter(([name]) => !Object.hasOwn(fields, name));
  const filled = absent.length === 0 ? fields : { ...fields, ...Object.fromEntries(absent) };
  return changeField(filled, 'ippools', (pools) =>
    Array.isArray(pools) ? pools.map((entry) => changeField(entry, 'cidr', completePrefix)) : pools,
  );
}

/** Only an address in canonical form: what a person meant by anything else is not ours to guess. */
function completePrefix(text: unknown): unknown {
  if (typeof text !== 'string') return text;
  const address = parseAddress(text);
  return address.kind === 'ok' ? `${text}/${addressBits(address.value.family)}` : text;
}

function changeField(value: unknown, name: string, change: (field: unknown) => unknown): unknown {
  const fields = asFields(value);
  if (fields === undefined || !Object.hasOwn(fields, name)) return value;
  const changed = change(fields[name]);
  return changed === fields[name] ? value : { ...fields, [name]: changed };
}

function asFields(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}
