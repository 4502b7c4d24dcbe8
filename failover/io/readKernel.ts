/** What our tables hold when an agent starts, or when somebody else may have changed them, and what is to be done about the rules. */
import {
  type Elements,
  type KernelState,
  MANAGED_NAMES,
  type ManagedName,
} from '../core/dataplane/kernelState.ts';
import type { ParsedTables } from '../core/dataplane/parseTables.ts';
import { type RenderedPlan, renderedRanges } from '../core/dataplane/renderedPlan.ts';
import type { StaticRuleset } from '../core/dataplane/staticRuleset.ts';
import type { Nftables } from './nftables.ts';

/** Some 20 ms of nft, in which no change can go to the kernel. */
const RANGES_REREAD_MAX = 2_048;

export interface ReadKernel {
  readonly state: KernelState;
  /** The rules that have to be written before any element; empty: they are there. */
  readonly rules: string;
  /** They take the rules of all chains away. */
  readonly emptied: boolean;
}

/** All of it, but not a large number of ranges that were known: whoever changes one of our sets alone does it on purpose. */
export async function readDoubted(
  nftables: Nftables,
  doubted: RenderedPlan | undefined,
): Promise<ParsedTables | undefined> {
  const ranges = doubted === undefined ? new Map<ManagedName, Elements>() : renderedRanges(doubted);
  const count = [...ranges.values()].reduce((sum, { size }) => sum + size, 0);
  if (count <= RANGES_REREAD_MAX) return nftables.read(MANAGED_NAMES);
  const tables = await nftables.read(MANAGED_NAMES.filter((name) => !ranges.has(name)));
  if (tables === undefined) return undefined;
  const elements = new Map([...tables.state.elements, ...ranges]);
  return { ...tables, state: { ...tables.state, elements } };
}

export function compareRules(
  { state, chains }: ParsedTables,
  rules: StaticRuleset,
  fastPath: boolean,
): ReadKernel {
  const has = (names: readonly string[]): boolean => names.every((name) => chains.has(name));
  // A base chain goes with its device, so the rules count only while those of both devices are there.
  const base = ['netdev into_tunnel', ...(fastPath ? ['inet fast_back'] : [])];
  if (has([`inet ${rules.fingerprint}`, `netdev ${rules.fingerprint}`, ...base]))
    return { state, rules: '', emptied: false };
  if (has([`inet ${rules.layout}`, `netdev ${rules.layout}`]))
    return { state, rules: rules.renewal(chains), emptied: true };
  // Indices that packets on their way carry are kept even where all is written anew.
  return { state, rules: rules.text, emptied: false };
}
