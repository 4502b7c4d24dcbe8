/**
 * Decides the next `EgressIP.spec` from the one that was read: epoch, order and fence, owners and port blocks. The
 * result is written by compare-and-swap on that very object, so the epoch it builds on is the epoch that stands.
 *
 * A new holder always means a new epoch and a fence: the old holder and whoever was still fenced, less those proven
 * dead. Only the first in order may answer (docs/decisions/0002), so standbys change freely and are never fenced.
 */
import type { EgressIp, PolicyOwner, SessionRef } from '../egressIp.ts';
import type { Allocation } from './portBlocks.ts';

export interface EgressIpWish {
  readonly owners: readonly PolicyOwner[];
  /** Live sessions, the holder first; empty: nobody shall answer. */
  readonly order: readonly SessionRef[];
  readonly allocation: Allocation;
}

export interface SessionProofs {
  isDead(session: SessionRef): boolean;
  /** Its gateway stated, under that session or a later one, that it does not answer at `epoch` or a later one. */
  hasReleased(session: SessionRef, epoch: number): boolean;
}

/** The same object if nothing is to be written. */
export function planEgressIp(current: EgressIp, wish: EgressIpWish, proofs: SessionProofs): EgressIp {
  const { owners, order, allocation } = wish;
  const moved = !sameSession(current.order[0], order[0]);
  const next: EgressIp = {
    ...current,
    policies: owners,
    epoch: moved ? current.epoch + 1 : current.epoch,
    order,
    fence: moved ? fenceOf(current, proofs) : tidyFence(current, proofs),
    blocksVersion: allocation.blocksVersion,
    blocks: allocation.blocks,
    resting: allocation.resting,
  };
  return isSame(current, next) ? current : next;
}

function fenceOf({ order, fence }: EgressIp, { isDead }: SessionProofs): readonly SessionRef[] {
  const [holder] = order;
  const entries =
    holder === undefined || fence.some((it) => sameSession(it, holder)) ? fence : [...fence, holder];
  return entries.filter((entry) => !isDead(entry));
}

/** Agents see releases themselves; here they only keep the list short. */
function tidyFence(
  { epoch, fence }: EgressIp,
  { isDead, hasReleased }: SessionProofs,
): readonly SessionRef[] {
  return fence.filter((entry) => !isDead(entry) && !hasReleased(entry, epoch));
}

function sameSession(a: SessionRef | undefined, b: SessionRef | undefined): boolean {
  return a?.gateway === b?.gateway && a?.session === b?.session;
}

function isSame(a: EgressIp, b: EgressIp): boolean {
  return (
    a.epoch === b.epoch &&
    a.blocksVersion === b.blocksVersion &&
    sameSessions(a.order, b.order) &&
    sameSessions(a.fence, b.fence) &&
    a.policies.length === b.policies.length &&
    a.policies.every(({ uid }, index) => uid === b.policies[index]?.uid)
  );
}

function sameSessions(a: readonly SessionRef[], b: readonly SessionRef[]): boolean {
  return a.length === b.length && a.every((entry, index) => sameSession(entry, b[index]));
}
