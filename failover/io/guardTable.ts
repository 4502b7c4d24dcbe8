/** What the kernel holds of the guard's table, as nft's JSON tells it; nothing where there is no table. */
import { GUARD_TABLE, GUARDED_SETS, guardedAddress } from '../core/dataplane/guardRuleset.ts';
import { readJson, type ToolRunner } from './runTool.ts';

export interface GuardTable {
  readonly chains: ReadonlySet<string>;
  /** Addresses of both families that nobody answers for but by a session. */
  readonly guarded: ReadonlySet<string>;
  /** Packets that the guard dropped. */
  readonly fenced: number;
}

type NftObject = Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;

export async function readGuardTable(runner: ToolRunner): Promise<GuardTable> {
  const listed = await readJson(runner, ['nft', '-j', 'list', 'table', 'netdev', GUARD_TABLE]);
  const items = (listed as { readonly nftables?: unknown } | undefined)?.nftables; // nft's own JSON.
  const objects = Array.isArray(items) ? (items as readonly NftObject[]) : [];
  return {
    chains: new Set(objects.flatMap(({ chain }) => (chain === undefined ? [] : [String(chain.name)]))),
    guarded: new Set(objects.flatMap(({ set }) => (set === undefined ? [] : guardedIn(set)))),
    fenced: Number(objects.find(({ counter }) => counter?.name === 'fenced')?.counter?.packets ?? 0),
  };
}

function guardedIn({ name, elem }: Readonly<Record<string, unknown>>): readonly string[] {
  const set = String(name);
  if (!GUARDED_SETS.includes(set) || !Array.isArray(elem)) return [];
  return elem.map((element) => guardedAddress(set, String(element)));
}
