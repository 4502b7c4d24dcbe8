/**
 * Tells every agent what this gateway answers for: repeated, ever more seldom, until each has acknowledged the newest word,
 * and refreshed now and then for those that restarted. The API carries the same, later. A thousand agents are told in
 * small parts: the same thread has heartbeats to send.
 *
 * Each word of one address has a serial that grows through the session. A message says all that still holds of a span of
 * serials, and who acknowledges it knows everything up to its end if it knew everything up to its beginning: one number is
 * kept of each peer, and an acknowledgement costs the same whatever is held.
 */
import {
  type Holding,
  holdingBytes,
  MOVED_BYTES_MAX,
  type Outgoing,
  type PeerMessage,
  type Span,
} from './messages.ts';
import { NO_PEER_NUMBERS, numberOf, type PeerNumbers, withNumber } from './peerNumbers.ts';

interface Word {
  readonly serial: number;
  readonly holding: Holding;
  readonly bytes: number;
}

export interface Announcing {
  readonly session: number;
  /** What is held, in the order of the serials. */
  readonly words: readonly Word[];
  readonly lastSerial: number;
  /** Peer → the serial up to which it has acknowledged everything. */
  readonly acknowledged: PeerNumbers;
  /** Rounds that are over. */
  readonly rounds: number;
  /** How many peers the present round has come by, when it began, and whether it has told anybody anything. */
  readonly round: { readonly visited: number; readonly begunMs: number; readonly told: boolean } | undefined;
  /** Whose turn it is. News does not send it back: whoever stands last in the list would wait the longest each time. */
  readonly cursor: number;
  /** Undefined: nothing is held. */
  readonly nextMs: number | undefined;
  /** When something was said last. */
  readonly saidMs: number;
}

export const NOT_ANNOUNCING: Announcing = {
  session: 0,
  words: [],
  lastSerial: 0,
  acknowledged: NO_PEER_NUMBERS,
  rounds: 0,
  round: undefined,
  cursor: 0,
  nextMs: undefined,
  saidMs: Number.NEGATIVE_INFINITY,
};

/** From one round's beginning to the next one's: a lost packet costs the source the first, a peer that is down little. */
const REPEATS_MS: readonly number[] = [20, 20, 20, 20, 40, 80, 160, 320, 640, 1280];
/** A refreshing comes this long after what was said last, and later where it takes many messages. */
const REFRESH_MS = 5000;
const REFRESH_MS_PER_MESSAGE = 10;
/**
 * Messages in one go, and the pause after them. A message and its acknowledgement cost 100 to 150 µs on a busy processor: a
 * heartbeat waits for less than 2 ms, and 3,000 messages a second are less than half of a core.
 */
export const MESSAGES_AT_ONCE = 12;
export const PAUSE_MS = 4;

export function becomeHolding(
  announcing: Announcing,
  news: { readonly session: number; readonly holdings: readonly Holding[]; readonly nowMs: number },
): Announcing {
  const { session, holdings, nowMs } = news;
  const before = session === announcing.session ? announcing : NOT_ANNOUNCING;
  const { saidMs, cursor } = announcing;
  const { words, lastSerial } = renewed(before, holdings);
  // A dead gateway's addresses are armed one after another: each is no round of its own.
  const nextMs = holdings.length === 0 ? undefined : Math.max(nowMs, saidMs + PAUSE_MS);
  const { acknowledged } = before;
  return { session, words, lastSerial, acknowledged, rounds: 0, round: undefined, cursor, nextMs, saidMs };
}

/** What holds as it was said keeps its serial; news comes behind it. */
function renewed(
  { words, lastSerial }: Announcing,
  holdings: readonly Holding[],
): Pick<Announcing, 'words' | 'lastSerial'> {
  const now = new Map(holdings.map((it) => [it.address, it]));
  const kept = words.filter(({ holding }) => isSame(holding, now.get(holding.address)));
  const known = new Set(kept.map(({ holding }) => holding.address));
  const news = holdings
    .filter(({ address }) => !known.has(address))
    .map((holding, index) => ({ serial: lastSerial + 1 + index, holding, bytes: holdingBytes(holding) }));
  return { words: [...kept, ...news], lastSerial: lastSerial + news.length };
}

function isSame(a: Holding, b: Holding | undefined): boolean {
  return (
    a.address === b?.address &&
    a.right.epoch === b.right.epoch &&
    a.right.index === b.right.index &&
    a.blocksVersion === b.blocksVersion
  );
}

/** What is held is what was said last. */
export function isAnnounced({ words }: Announcing, holdings: readonly Holding[]): boolean {
  if (words.length !== holdings.length) return false;
  const said = new Map(words.map(({ holding }) => [holding.address, holding]));
  return holdings.every((it) => isSame(it, said.get(it.address)));
}

export function acknowledge(
  announcing: Announcing,
  peer: string,
  { session, after, upTo }: Extract<PeerMessage, { readonly kind: 'moved-ack' }>,
): Announcing {
  if (session !== announcing.session) return announcing;
  const known = numberOf(announcing.acknowledged, peer);
  // What lies between was lost on the way, or is still under way: it is told again with all that follows.
  if (after > known || upTo <= known || upTo > announcing.lastSerial) return announcing;
  return { ...announcing, acknowledged: withNumber(announcing.acknowledged, peer, upTo) };
}

/** A peer that is new knows nothing of what it acknowledged in a former life: it is told at once. */
export function becomeUnknown(announcing: Announcing, peer: string, nowMs: number): Announcing {
  const { words, acknowledged, saidMs } = announcing;
  if (words.length === 0) return announcing;
  const forgotten = withNumber(acknowledged, peer, 0);
  // Whoever else has not acknowledged is told once more with it.
  const nextMs = Math.max(nowMs, saidMs + PAUSE_MS);
  return { ...announcing, acknowledged: forgotten, rounds: 0, round: undefined, nextMs };
}

/** What has to be said now, and when to come back. */
export function announceAgain(
  announcing: Announcing,
  peers: readonly string[],
  nowMs: number,
): { readonly announcing: Announcing; readonly outgoing: readonly Outgoing[] } {
  const { nextMs } = announcing;
  if (nextMs === undefined || nowMs < nextMs) return { announcing, outgoing: [] };
  const round = announcing.round ?? { visited: 0, begunMs: nowMs, told: false };
  const outgoing: Outgoing[] = [];
  const messagesFor = messagesOf(announcing);
  let { visited } = round;
  let cursor = announcing.cursor % Math.max(1, peers.length);
  for (; visited < peers.length && outgoing.length < MESSAGES_AT_ONCE; visited += 1) {
    const to = peers[cursor] ?? '';
    for (const message of messagesFor(to)) outgoing.push({ to, message });
    cursor = (cursor + 1) % peers.length;
  }
  const now = { ...round, visited, told: round.told || outgoing.length > 0 };
  const said = outgoing.length > 0 ? { ...announcing, cursor, saidMs: nowMs } : { ...announcing, cursor };
  if (visited < peers.length)
    return { announcing: { ...said, round: now, nextMs: nowMs + PAUSE_MS }, outgoing };
  return { announcing: endRound(said, { ...now, nowMs, peers: peers.length }), outgoing };
}

/** Most peers know the same, so they are told the same: its messages are made once. */
function messagesOf(announcing: Announcing): (peer: string) => readonly PeerMessage[] {
  const { session, words, lastSerial, acknowledged } = announcing;
  const made = new Map<number, readonly PeerMessage[]>();
  return (peer) => {
    // What a peer acknowledged in a former life says nothing of this one.
    const after = isRefreshing(announcing) ? 0 : numberOf(acknowledged, peer);
    if (after >= lastSerial) return [];
    const known = made.get(after);
    if (known !== undefined) return known;
    const messages = partsOf(words, { after, upTo: lastSerial }).map(
      (part): PeerMessage => ({ kind: 'moved', session, ...part }),
    );
    made.set(after, messages);
    return messages;
  };
}

type Part = Span & { readonly holdings: readonly Holding[] };

/** Together they are the whole span; each fits a packet. Without a word that still holds there is nothing to say. */
function partsOf(words: readonly Word[], { after, upTo }: Span): readonly Part[] {
  const parts: Part[] = [];
  let part: Word[] = [];
  let bytes = 0;
  let from = after;
  for (const word of words) {
    if (word.serial <= after) continue;
    const last = part.at(-1)?.serial;
    if (last !== undefined && bytes + word.bytes > MOVED_BYTES_MAX) {
      parts.push({ after: from, upTo: last, holdings: part.map(({ holding }) => holding) });
      from = last;
      part = [];
      bytes = 0;
    }
    part.push(word);
    bytes += word.bytes;
  }
  if (part.length > 0) parts.push({ after: from, upTo, holdings: part.map(({ holding }) => holding) });
  return parts;
}

function isRefreshing({ rounds }: Announcing): boolean {
  return rounds > REPEATS_MS.length;
}

function endRound(
  announcing: Announcing,
  {
    begunMs,
    told,
    nowMs,
    peers,
  }: {
    readonly begunMs: number;
    readonly told: boolean;
    readonly nowMs: number;
    readonly peers: number;
  },
): Announcing {
  const rounds = told ? announcing.rounds + 1 : REPEATS_MS.length + 1;
  const messages = peers * partsOf(announcing.words, { after: 0, upTo: announcing.lastSerial }).length;
  const refreshMs = Math.max(REFRESH_MS, messages * REFRESH_MS_PER_MESSAGE);
  return {
    ...announcing,
    rounds,
    round: undefined,
    // A round of a thousand peers takes longer than the first repeats are apart.
    nextMs: Math.max(nowMs + PAUSE_MS, begunMs + (REPEATS_MS[rounds - 1] ?? refreshMs)),
  };
}

export function announceWakeMs({ nextMs }: Announcing): number | undefined {
  return nextMs;
}
