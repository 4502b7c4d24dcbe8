/**
 * Finds out what agents know of later than an EgressIP that stands: etcd was restored from a snapshot, and took epochs, and
 * standbys of an order, with it.
 */
import { type EgressIp, isPossibleEpoch, type SessionRef } from './egressIp.ts';
import type { AddressStatement } from './gatewayNode.ts';
import { supersedes } from './ownership/assignment.ts';

export interface StatedAbove {
  /** The highest. */
  readonly epoch: number;
  /** Who may answer by what was lost: whoever states an epoch of it, and whoever is named in its assignments. */
  readonly sessions: readonly SessionRef[];
  /** Somebody said whom the highest names. Agents that have not seen the older object yet do not. */
  readonly isNamed: boolean;
}

export interface StatedBy {
  readonly gateway: string;
  readonly statement: AddressStatement;
}

/**
 * @param said of the address
 * @returns undefined where nobody knows of anything later
 */
export function statedAbove(standing: EgressIp, said: Iterable<StatedBy>): StatedAbove | undefined {
  let [highest, named] = [0, 0];
  const sessions: SessionRef[] = [];
  for (const { gateway, statement } of said) {
    const { epoch, session, lost } = statement;
    if (epoch > standing.epoch && isPossibleEpoch(epoch, standing.epoch)) {
      highest = Math.max(highest, epoch);
      if (session > 0) sessions.push({ gateway, session });
    }
    if (lost === undefined || !isPossibleEpoch(lost.epoch, standing.epoch)) continue;
    // It has grown again to what it was, or was begun anew since.
    if (supersedes(standing, { epoch: lost.epoch, order: lost.sessions })) continue;
    named = Math.max(named, lost.epoch);
    sessions.push(...lost.sessions);
  }
  if (highest === 0 && named === 0) return undefined;
  return { epoch: Math.max(highest, named), sessions, isNamed: named >= highest };
}
