/** Which right an assignment gives to a session, and who is in the way of its use. */
import type { SessionRef } from '../egressIp.ts';
import type { Assignment } from './assignment.ts';
import { type Deaths, isProvenDead } from './deaths.ts';
import type { Right } from './messages.ts';

/** What others said of an address. */
export interface OthersWord {
  /** `gateway/session` → the epoch at which it said that it let go. */
  readonly released: ReadonlyMap<string, number>;
  /** Another gateway that said to answer, by the highest right that was heard. */
  readonly heard: { readonly session: SessionRef; readonly right: Right } | undefined;
}

/** What a gateway judges others by. */
export interface Knowledge {
  readonly self: SessionRef;
  readonly deaths: Deaths;
}

export interface Candidacy {
  readonly right: Right;
  /** Sessions that have to be dead or to let go before the right may be used. */
  readonly outstanding: readonly SessionRef[];
}

/** The right that the assignment gives to this session now; undefined: none. */
export function decideCandidacy(
  assignment: Assignment,
  others: OthersWord,
  gateway: Knowledge,
): Candidacy | undefined {
  const { epoch, order } = assignment;
  const index = order.findIndex((it) => isSame(it, gateway.self));
  if (index < 0 || !order.slice(0, index).every((it) => isGone(it, gateway))) return undefined;
  return { right: { epoch, index }, outstanding: outstandingOf(assignment, others, gateway) };
}

/** Who has to be dead or to let go before anybody may use a right of the assignment. */
export function outstandingOf(
  { epoch, fence }: Assignment,
  others: OthersWord,
  gateway: Knowledge,
): readonly SessionRef[] {
  return withHeard(fence, others.heard?.session).filter(
    (it) => !isSame(it, gateway.self) && !isGone(it, gateway) && !hasLetGo(it, epoch, others),
  );
}

/** For good, as seen from `epoch`: what it said to hold by a later right than it gave up it took up since. */
function hasLetGo(it: SessionRef, epoch: number, { released, heard }: OthersWord): boolean {
  const releasedEpoch = released.get(sessionKey(it)) ?? 0;
  if (releasedEpoch < epoch) return false;
  return heard === undefined || !isSame(heard.session, it) || heard.right.epoch < releasedEpoch;
}

function withHeard(fence: readonly SessionRef[], heard: SessionRef | undefined): readonly SessionRef[] {
  return heard === undefined || fence.some((it) => isSame(it, heard)) ? fence : [...fence, heard];
}

/** Of our own former sessions nothing is left: the kernel was flushed before this one was opened. */
export function isGone(it: SessionRef, { self, deaths }: Knowledge): boolean {
  return isProvenDead(deaths, it) || (it.gateway === self.gateway && it.session < self.session);
}

export function sessionKey({ gateway, session }: SessionRef): string {
  return `${gateway}/${session}`;
}

export function isSame(a: SessionRef, b: SessionRef): boolean {
  return a.gateway === b.gateway && a.session === b.session;
}
