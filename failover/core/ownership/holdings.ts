/**
 * Tells every agent what this gateway answers for: repeated until each has acknowledged the newest word, and refreshed
 * now and then for those that restarted. The API carries the same, later.
 */
import { HOLDINGS_PER_MESSAGE_MAX, type Holding, type PeerMessage } from './messages.ts';
import type { Outgoing } from './voter.ts';

export interface Announcing {
  readonly session: number;
  readonly holdings: readonly Holding[];
  /** Peer → what it has acknowledged, as `address epoch index blocksVersion`. */
  readonly acknowledged: ReadonlyMap<string, ReadonlySet<string>>;
  readonly rounds: number;
  /** Undefined: nothing is held. */
  readonly nextMs: number | undefined;
}

export const NOT_ANNOUNCING: Announcing = {
  session: 0,
  holdings: [],
  acknowledged: new Map(),
  rounds: 0,
  nextMs: undefined,
};

/** A lost packet costs the source this much. */
const REPEAT_MS = 20;
/** A peer that is silent through so many repeats is down, or hears it from the API when it is back. */
const REPEATS_MAX = 25;
const REFRESH_MS = 5000;

export function becomeHolding(
  announcing: Announcing,
  news: { readonly session: number; readonly holdings: readonly Holding[]; readonly nowMs: number },
): Announcing {
  const { session, holdings, nowMs } = news;
  const acknowledged = session === announcing.session ? announcing.acknowledged : new Map();
  return { session, holdings, acknowledged, rounds: 0, nextMs: holdings.length === 0 ? undefined : nowMs };
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
  const { nextMs, rounds, holdings, session } = announcing;
  if (nextMs === undefined || nowMs < nextMs) return { announcing, outgoing: [] };
  const refresh = rounds >= REPEATS_MAX;
  const outgoing = peers.flatMap((to) => {
    const heard = announcing.acknowledged.get(to);
    const missing = refresh ? holdings : holdings.filter((it) => heard?.has(nameOf(it)) !== true);
    return chunks(missing).map(
      (part): Outgoing => ({ to, message: { kind: 'moved', session, holdings: part } }),
    );
  });
  const done = !refresh && outgoing.length === 0;
  const resting = done || (!refresh && rounds + 1 >= REPEATS_MAX);
  return {
    announcing: {
      ...announcing,
      // What a peer acknowledged in a former life says nothing of this one.
      acknowledged: refresh ? new Map() : announcing.acknowledged,
      rounds: refresh ? 1 : done ? REPEATS_MAX : rounds + 1,
      nextMs: nowMs + (resting ? REFRESH_MS : REPEAT_MS),
    },
    outgoing,
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
