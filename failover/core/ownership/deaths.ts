/**
 * What one gateway knows of dead sessions: the voters' statements as they arrive, each fresh for D from the sending of
 * the own heartbeat that it echoes, and the verdicts that a majority of them gave. A verdict is for ever.
 */
import type { SessionRef } from '../egressIp.ts';
import type { DeadTable } from './messages.ts';
import { majorityValue, type VoterConfig } from './voterConfig.ts';

interface Statement {
  readonly dead: DeadTable;
  readonly freshUntilMs: number;
  readonly configVersion: number;
}

export interface Deaths {
  readonly statements: ReadonlyMap<string, Statement>;
  /** Gateway → its highest session that is dead. */
  readonly verdicts: ReadonlyMap<string, number>;
}

export const NO_DEATHS: Deaths = { statements: new Map(), verdicts: new Map() };

/** The newest word of a voter replaces its older ones, also where it says less. */
export function becomeStated(deaths: Deaths, voter: string, statement: Statement): Deaths {
  const known = deaths.statements.get(voter);
  if (known !== undefined && known.freshUntilMs > statement.freshUntilMs) return deaths;
  return { ...deaths, statements: new Map(deaths.statements).set(voter, statement) };
}

/** All that a majority of every set states at this moment, freshly and under no newer configuration than ours. */
export function concludeDeaths(deaths: Deaths, config: VoterConfig, nowMs: number): Deaths {
  const isFresh = (it: Statement): boolean => nowMs < it.freshUntilMs && it.configVersion <= config.version;
  const found = new Map<string, SessionRef>();
  for (const statement of deaths.statements.values()) {
    if (!isFresh(statement)) continue;
    for (const gateway of Object.keys(statement.dead)) {
      // Nearly every statement repeats what was concluded long ago.
      if ((statement.dead[gateway] ?? 0) <= (deaths.verdicts.get(gateway) ?? 0)) continue;
      if (found.has(gateway)) continue;
      const upTo = majorityValue(config, (voter) => {
        const stated = deaths.statements.get(voter);
        return stated !== undefined && isFresh(stated) ? statedUpTo(stated, gateway) : undefined;
      });
      if (upTo !== undefined) found.set(gateway, { gateway, session: upTo });
    }
  }
  return becomeProven(deaths, [...found.values()]);
}

/** A node may be named like a member of every object. */
function statedUpTo({ dead }: Statement, gateway: string): number | undefined {
  return Object.hasOwn(dead, gateway) ? dead[gateway] : undefined;
}

/** Deaths that others have proven, or that a gateway's later session proves. */
export function becomeProven(deaths: Deaths, proven: readonly SessionRef[]): Deaths {
  const news = proven.filter(({ gateway, session }) => session > (deaths.verdicts.get(gateway) ?? 0));
  if (news.length === 0) return deaths;
  const verdicts = new Map(deaths.verdicts);
  for (const { gateway, session } of news)
    verdicts.set(gateway, Math.max(session, verdicts.get(gateway) ?? 0));
  return { ...deaths, verdicts };
}

export function isProvenDead({ verdicts }: Deaths, { gateway, session }: SessionRef): boolean {
  return (verdicts.get(gateway) ?? 0) >= session;
}
