/**
 * Whether a session may be extended, and by which heartbeat: by the newest that a majority granted, of which a majority of
 * the voters that lasted did not call the session dead since it was extended last.
 */
import { hasMajority, majorityValue, type VoterConfig } from './voterConfig.ts';

export interface Grant {
  readonly seq: number;
  readonly generation: string;
  /** The configuration that the voter knew. */
  readonly configVersion: number;
}

/** What counted when the session was last extended. */
export interface Baseline {
  readonly grants: ReadonlyMap<string, Grant>;
  /** The newest configuration that the extension proves to have been in use: one that no majority can go back behind. */
  readonly config: VoterConfig;
}

/** What a session has from its voters. */
export interface Granted {
  /** Voter → its newest grant. */
  readonly grants: ReadonlyMap<string, Grant>;
  /** Undefined: it never was extended. */
  readonly baseline: Baseline | undefined;
}

export type Extension =
  /** Not enough was granted yet. */
  | { readonly kind: 'waits' }
  /** It can never be again. */
  | { readonly kind: 'over'; readonly reason: 'called-dead' | 'voters-changed' }
  /** By the heartbeat `seq`; `baseline` counts at the next. */
  | { readonly kind: 'granted'; readonly seq: number; readonly baseline: Baseline };

export function decideExtension(session: Granted, config: VoterConfig): Extension {
  const { grants, baseline } = session;
  const before = baseline?.config ?? precedingConfig(config);
  const lasting = lastingSets(before, config);
  if (lasting === undefined) return { kind: 'over', reason: 'voters-changed' };
  if (!hasMajority(lasting, (voter) => !wasCalledDead(session, voter)))
    return { kind: 'over', reason: 'called-dead' };
  const granted = (voter: string): number | undefined => grants.get(voter)?.seq;
  const unchanged = (voter: string): number | undefined =>
    wasCalledDead(session, voter) ? undefined : granted(voter);
  const [byAll, byLasting] = [majorityValue(config, granted), majorityValue(lasting, unchanged)];
  if (byAll === undefined || byLasting === undefined) return { kind: 'waits' };
  const proven = provenConfig(session, { before, config, lasting });
  return { kind: 'granted', seq: Math.min(byAll, byLasting), baseline: { grants, config: proven } };
}

/**
 * The sets that counted in every configuration from `known` to `next`, as a configuration; undefined: none. A joint one has
 * the set before it and the one after it, so of two that are at most two versions apart a set in both is also in the one
 * between them. Every verdict in that time needed a majority of such a set.
 */
function lastingSets(known: VoterConfig, next: VoterConfig): VoterConfig | undefined {
  if (next.version === known.version) return next;
  if (next.version > known.version + 2) return undefined;
  const sets = next.sets.filter((set) => known.sets.some((it) => isSameSet(it, set)));
  return sets.length === 0 ? undefined : { ...next, sets };
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((voter) => b.includes(voter));
}

/**
 * A configuration counts from when a majority of what lasts has known it: before, a majority might still call the session
 * dead by the one before it.
 */
function provenConfig(
  { grants }: Granted,
  step: { readonly before: VoterConfig; readonly config: VoterConfig; readonly lasting: VoterConfig },
): VoterConfig {
  const { before, config, lasting } = step;
  const knows = (voter: string): boolean => (grants.get(voter)?.configVersion ?? 0) >= config.version;
  return hasMajority(lasting, knows) ? config : before;
}

/** What some voters may still go by while the session is new. */
function precedingConfig({ version, sets }: VoterConfig): VoterConfig {
  return { version: version - 1, sets: sets.slice(0, 1) };
}

/** Or it forgot, or never knew: nothing of before can be concluded from what it grants now. */
function wasCalledDead({ baseline, grants }: Granted, voter: string): boolean {
  const now = grants.get(voter);
  return (
    baseline !== undefined && now !== undefined && baseline.grants.get(voter)?.generation !== now.generation
  );
}
