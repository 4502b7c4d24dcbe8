/**
 * Tells every agent what this gateway answers for: repeated, ever more seldom, until each has acknowledged the newest word,
 * and refreshed now and then for those that restarted. The API carries the same, later. A thousand agents are told in
 * small parts: the same thread has heartbeats to send.
 */
import { HOLDINGS_PER_MESSAGE_MAX, type Holding, type PeerMessage } from './messages.ts';
import type { Outgoing } from './voter.ts';

export interface Announcing {
  readonly session: number;
  readonly holdings: readonly Holding[];
  /** Peer → what it has acknowledged, as `address epoch index blocksVersion`. */
  readonly acknowledged: ReadonlyMap<string, ReadonlySet<string>>;
  /** Rounds that are over. */
  readonly rounds: number;
  /** How many peers the present round has come by, when it began, and whether it has told anybody anything. */
  readonly round: { readonly cursor: number; readonly begunMs: number; readonly told: boolean } | undefined;
  /** Undefined: nothing is held. */
  readonly nextMs: number | undefined;
  /** When something was said last. */
  readonly saidMs: number;
}

export const NOT_ANNOUNCING: Announcing = {
  session: 0,
  holdings: [],
  acknowledged: new Map(),
  rounds: 0,
  round: undefined,
  nextMs: undefined,
  saidMs: Number.NEGATIVE_INFINITY,
};

/** From one round's beginning to the next one's: a lost packet costs the source the first, a peer that is down little. */
const REPEATS_MS: readonly number[] = [20, 20, 20, 20, 40, 80, 160, 320, 640, 1280];
/** A refreshing comes this long after what was said last, and later where it takes many messages. */
const REFRESH_MS = 5000;
const REFRESH_MS_PER_MESSAGE = 10;
/** Messages in one go, and the pause after them: together a small part of a processor, and no heartbeat is late. */
const MESSAGES_AT_ONCE = 64;
const PAUSE_MS = 2;

export function becomeHolding(
  announcing: Announcing,
  news: { readonly session: number; readonly holdings: readonly Holding[]; readonly nowMs: number },
): Announcing {
  const { session, holdings, nowMs } = news;
  const acknowledged = session === announcing.session ? announcing.acknowledged : new Map();
  const { saidMs } = announcing;
  // A dead gateway's addresses are armed one after another: each is no round of its own.
  const nextMs = holdings.length === 0 ? undefined : Math.max(nowMs, saidMs + PAUSE_MS);
  return { session, holdings, acknowledged, rounds: 0, round: undefined, nextMs, saidMs };
}

/** What is held is what was said last. */
export function isAnnounced(announcing: Announcing, holdings: readonly Holding[]): boolean {
  const said = announcing.holdings.map(nameOf);
  return said.length === holdings.length && holdings.every((it, index) => nameOf(it) === said[index]);
}

function nameOf({ address, right, blocksVersion }: Holding): string {
  return `${address} ${right.epoch} ${right.index} ${blocksVersion}`;
}

export function acknowledge(
  announcing: Announcing,
  peer: string,
  { session, holdings }: Extract<PeerMessage, { readonly kind: 'moved-ack' }>,
): Announcing {
  if (session !== announcing.session) return announcing;
  const current = new Set(announcing.holdings.map(nameOf));
  const names = [...(announcing.acknowledged.get(peer) ?? []), ...holdings.map(nameOf)];
  const kept = new Set(names.filter((name) => current.has(name)));
  return { ...announcing, acknowledged: new Map(announcing.acknowledged).set(peer, kept) };
}

/** What has to be said now, and when to come back. */
export function announceAgain(
  announcing: Announcing,
  peers: readonly string[],
  nowMs: number,
): { readonly announcing: Announcing; readonly outgoing: readonly Outgoing[] } {
  const { nextMs } = announcing;
  if (nextMs === undefined || nowMs < nextMs) return { announcing, outgoing: [] };
  const round = announcing.round ?? { cursor: 0, begunMs: nowMs, told: false };
  const outgoing: Outgoing[] = [];
  let { cursor } = round;
  for (; cursor < peers.length && outgoing.length < MESSAGES_AT_ONCE; cursor += 1)
    outgoing.push(...messagesFor(announcing, peers[cursor] ?? ''));
  const now = { ...round, cursor, told: round.told || outgoing.length > 0 };
  const said = outgoing.length > 0 ? { ...announcing, saidMs: nowMs } : announcing;
  if (cursor < peers.length)
    return { announcing: { ...said, round: now, nextMs: nowMs + PAUSE_MS }, outgoing };
  return { announcing: endRound(said, now, peers.length), outgoing };
}

function messagesFor(announcing: Announcing, to: string): readonly Outgoing[] {
  const { session, holdings, acknowledged } = announcing;
  const heard = acknowledged.get(to);
  // What a peer acknowledged in a former life says nothing of this one.
  const missing = isRefreshing(announcing)
    ? holdings
    : holdings.filter((it) => heard?.has(nameOf(it)) !== true);
  return chunks(missing).map((part) => ({ to, message: { kind: 'moved', session, holdings: part } }));
}

function isRefreshing({ rounds }: Announcing): boolean {
  return rounds > REPEATS_MS.length;
}

function endRound(
  announcing: Announcing,
  { begunMs, told }: { readonly begunMs: number; readonly told: boolean },
  peers: number,
): Announcing {
  const rounds = told ? announcing.rounds + 1 : REPEATS_MS.length + 1;
  const messages = peers * chunks(announcing.holdings).length;
  const refreshMs = Math.max(REFRESH_MS, messages * REFRESH_MS_PER_MESSAGE);
  return {
    ...announcing,
    rounds,
    round: undefined,
    nextMs: begunMs + (REPEATS_MS[rounds - 1] ?? refreshMs),
  };
}

function chunks(holdings: readonly Holding[]): readonly (readonly Holding[])[] {
  return Array.from({ length: Math.ceil(holdings.length / HOLDINGS_PER_MESSAGE_MAX) }, (_, index) =>
    holdings.slice(index * HOLDINGS_PER_MESSAGE_MAX, (index + 1) * HOLDINGS_PER_MESSAGE_MAX),
  );
}

export function announceWakeMs({ nextMs }: Announcing): number | undefined {
  return nextMs;
}
