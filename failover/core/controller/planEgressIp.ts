/**
 * Decides the next `EgressIP.spec` from the one that was read: epoch, order and fence, owners and port blocks. The
 * result is written by compare-and-swap on that very object, so the epoch it builds on is the epoch that stands.
 *
 * Every session of an order may have taken over, so a new order means a new epoch and a fence of the whole old order and
 * whoever was fenced still, less those proven dead. Only standbys that are added at the end need neither: they come after
 * everybody in every version of the order that anyone may have read.
 *
 * Where agents state epochs or orders that the object does not have, its history was taken back: etcd was restored from a
 * snapshot. A new epoch above all that was stated follows, and whoever speaks of what was lost, or is named in it, is fenced with
 * the rest: it may answer by it, or be the next of an order that is lost.
 */
import type { EgressIp, PolicyOwner, SessionRef } from '../egressIp.ts';
import type { StatedAbove } from '../statedAbove.ts';
import type { Allocation } from './portBlocks.ts';
import { sameSession } from './sessions.ts';

export interface EgressIpWish {
  readonly owners: readonly PolicyOwner[];
  /** Live sessions, the holder first; empty: nobody shall answer. */
  readonly order: readonly SessionRef[];
  /** The gateway that it returns to; absent where nobody holds it. */
  readonly home?: string | undefined;
  readonly allocation: Allocation;
}

export interface SessionProofs {
  isDead(session: SessionRef): boolean;
  /** Its gateway stated, under that session or a later one, that it does not answer at `epoch` or a later one. */
  hasReleased(session: SessionRef, epoch: number): boolean;
  /** What agents know of later than this; undefined: nothing. */
  statedAbove(standing: EgressIp): StatedAbove | undefined;
}

/** The same object if nothing is to be written. */
export function planEgressIp(current: EgressIp, wish: EgressIpWish, proofs: SessionProofs): EgressIp {
  const { owners, order, home, allocation } = wish;
  const { home: _former, ...rest } = current;
  const lost = proofs.statedAbove(current);
  const moved = lost !== undefined || !isPrefix(current.order, order);
  const next: EgressIp = {
    ...rest,
    ...(home === undefined ? {} : { home }),
    policies: owners,
    epoch: moved ? Math.max(current.epoch, lost?.epoch ?? 0) + 1 : current.epoch,
    order,
    fence: moved ? fenceOf(current, order[0], { proofs, lost }) : tidyFence(current, proofs),
    blocksVersion: allocation.blocksVersion,
    blocks: allocation.blocks,
    resting: allocation.resting,
  };
  return isSame(current, next) ? current : next;
}

/** The new holder itself is left out: whoever comes after it in the order needs its death anyway. */
function fenceOf(
  { order, fence }: EgressIp,
  holder: SessionRef | undefined,
  { proofs, lost }: { readonly proofs: SessionProofs; readonly lost: StatedAbove | undefined },
): readonly SessionRef[] {
  const entries = [...fence, ...order, ...(lost?.sessions ?? [])];
  return eachOnce(entries).filter((entry) => !proofs.isDead(entry) && !sameSession(entry, holder));
}

/** In the order in which they come first. There may be thousands, and this is asked at each decision about each address. */
function eachOnce(entries: readonly SessionRef[]): readonly SessionRef[] {
  const seen = new Set<string>();
  return entries.filter(({ gateway, session }) => {
    const key = `${gateway}/${session}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** Agents see releases themselves; here they only keep the list short. */
function tidyFence(
  { epoch, fence }: EgressIp,
  { isDead, hasReleased }: SessionProofs,
): readonly SessionRef[] {
  return fence.filter((entry) => !isDead(entry) && !hasReleased(entry, epoch));
}

/** Nobody is in the first order that is not at the same place in the second. An empty order is given up, not added to. */
function isPrefix(before: readonly SessionRef[], after: readonly SessionRef[]): boolean {
  if (before.length === 0) return after.length === 0;
  return before.every((entry, index) => sameSession(entry, after[index]));
}

function isSame(a: EgressIp, b: EgressIp): boolean {
  return (
    a.epoch === b.epoch &&
    a.home === b.home &&
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
