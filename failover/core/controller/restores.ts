/**
 * Decides how long an address is left alone whose EgressIP is older than what agents go on by: etcd was restored from a snapshot.
 * Their order goes on working among the agents, takeovers included, so there is time to hear who answers: the new assignment
 * begins with that one, and nothing moves. What the API says of sessions is that of then, too, until their gateways wrote it anew.
 */
import type { EgressIp } from '../egressIp.ts';
import type { StatedAbove } from '../statedAbove.ts';
import type { ControllerView } from './controllerView.ts';
import type { SessionProofs } from './planEgressIp.ts';
import { answererOf, liveSession, proofsFor } from './proofs.ts';

/**
 * Watches look at the newest version within a second or two after an outage, and a Lease is renewed well within that. Longer than this
 * nobody waits for a gateway that does not come to the API.
 */
export const RESTORE_SETTLE_MS = 3_000;

/** EgressIP name → since when agents are known to go on by something later, monotonic. */
export type LaterSince = ReadonlyMap<string, number>;

export function followRestores(before: LaterSince, view: ControllerView, nowMs: number): LaterSince {
  const later = new Map<string, number>();
  for (const [name, { egressIp }] of view.egressIps) {
    const proofs = proofsFor(egressIp.address, view);
    const above = proofs.statedAbove(egressIp);
    if (above === undefined) continue;
    const answeredEpoch = epochAnswered(egressIp, view);
    if (awaitsWord(egressIp, above, { ...proofs, answeredEpoch })) later.set(name, before.get(name) ?? nowMs);
  }
  return later;
}

/**
 * Whom it names is not known, or nobody who can be named anew is known to answer by it, and somebody may who has not said a word since.
 * Whoever states to answer by what stands may have stated that before the snapshot.
 */
export function awaitsWord(
  standing: Pick<EgressIp, 'epoch'>,
  above: StatedAbove,
  known: Pick<SessionProofs, 'isDead' | 'hasReleased'> & {
    /** Of the right that somebody answers by under a session that the API knows. */
    readonly answeredEpoch: number | undefined;
  },
): boolean {
  if (!above.isNamed) return true;
  const leastEpoch = above.epoch > standing.epoch ? standing.epoch + 1 : standing.epoch;
  if (known.answeredEpoch !== undefined && known.answeredEpoch >= leastEpoch) return false;
  return above.sessions.some((it) => !known.isDead(it) && !known.hasReleased(it, above.epoch));
}

function epochAnswered(standing: EgressIp, view: ControllerView): number | undefined {
  const answerer = answererOf(standing, view);
  const isLive = answerer !== undefined && liveSession(view, answerer.gateway) === answerer.session;
  return isLive ? answerer.right.epoch : undefined;
}

/** Its assignment stays as it is. */
export function isLeftAlone({ name }: Pick<EgressIp, 'name'>, since: LaterSince, nowMs: number): boolean {
  const sinceMs = since.get(name);
  return sinceMs !== undefined && nowMs < sinceMs + RESTORE_SETTLE_MS;
}

/** When the next one is not left alone any more. */
export function nextSettledMs(since: LaterSince, nowMs: number): number | undefined {
  const ends = [...since.values()]
    .map((sinceMs) => sinceMs + RESTORE_SETTLE_MS)
    .filter((endMs) => endMs > nowMs);
  return ends.length === 0 ? undefined : Math.min(...ends);
}
