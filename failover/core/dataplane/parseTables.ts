/**
 * Reads `nft -j list table` back into the shape that renderElements.ts makes, in the same spelling, so that an agent
 * that starts again finds nothing to change. Relies on the JSON schema of libnftables-json(5), version 1.
 */
import { parseAddress } from '../../../policy/address.ts';
import { prefixText } from './addressRanges.ts';
import {
  CONTENT_CHAIN,
  type Elements,
  type KernelState,
  MANAGED_NAMES,
  type ManagedName,
  TABLE,
} from './kernelState.ts';

export interface ParsedTables {
  readonly state: KernelState;
  /** Names of all chains by family: the fingerprint is one of them. */
  readonly chains: ReadonlySet<string>;
  /** Packets by counter name. */
  readonly counters: Readonly<Record<string, number>>;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** @param documents parsed JSON of the answers, one per table; an absent table is an absent document. */
export function parseTables(documents: readonly unknown[]): ParsedTables {
  const elements = new Map<ManagedName, Elements>();
  const chains = new Set<string>();
  const content = new Map<string, readonly string[]>();
  const counters: Record<string, number> = {};
  for (const item of documents.flatMap(itemsOf)) {
    const { kind, body } = item;
    const family = String(body.family);
    const name = String(body.name);
    if (body.table !== TABLE) continue;
    if (kind === 'chain') {
      chains.add(`${family} ${name}`);
      if (family === 'inet' && CONTENT_CHAIN.test(name)) content.set(name, []);
    } else if (kind === 'counter') {
      counters[name] = (counters[name] ?? 0) + Number(body.packets ?? 0);
    } else if (kind === 'set' || kind === 'map') {
      const managed = MANAGED_NAMES.find((it) => it === `${family} ${name}`);
      if (managed !== undefined) elements.set(managed, parseElements(kind, body.elem));
    }
  }
  return { state: { elements, chains: content }, chains, counters };
}

/** The keys of a set that was listed alone. */
export function parseSet(document: unknown): readonly string[] {
  return itemsOf(document).flatMap(({ kind, body }) =>
    kind === 'set' ? [...parseElements(kind, body.elem).keys()] : [],
  );
}

function itemsOf(document: unknown): readonly { readonly kind: string; readonly body: JsonObject }[] {
  const list = isObject(document) ? document.nftables : undefined;
  if (!Array.isArray(list)) return [];
  return list
    .filter(isObject)
    .flatMap((item) =>
      Object.entries(item).flatMap(([kind, body]) => (isObject(body) ? [{ kind, body }] : [])),
    );
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseElements(kind: 'set' | 'map', elements: unknown): Elements {
  if (!Array.isArray(elements)) return new Map();
  return new Map(
    elements.map((element: unknown) =>
      kind === 'map' && Array.isArray(element)
        ? [spell(element[0]), spell(element[1])]
        : [spell(element), ''],
    ),
  );
}

/** One key or value as renderElements.ts spells it. What it never writes comes back as JSON and is thus replaced. */
function spell(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  if (!isObject(value)) return JSON.stringify(value);
  if (isObject(value.elem)) return spell(value.elem.val);
  if (isObject(value.goto)) return `goto ${String(value.goto.target)}`;
  if (isObject(value.jump)) return `jump ${String(value.jump.target)}`;
  if (Array.isArray(value.concat)) return value.concat.map(spell).join(' . ');
  if (Array.isArray(value.range)) return value.range.map(spell).join('-');
  if (isObject(value.prefix)) return spellPrefix(value.prefix);
  return JSON.stringify(value);
}

function spellPrefix(prefix: JsonObject): string {
  const address = parseAddress(String(prefix.addr));
  if (address.kind !== 'ok') return JSON.stringify(prefix);
  return prefixText(address.value, Number(prefix.len));
}
