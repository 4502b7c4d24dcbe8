/** What a voter says of whom it calls dead: what is new, or still waited for, in one packet. */
import type { DeadTable } from './messages.ts';
import type { VoterEntry } from './voterEntry.ts';

/** Long enough for everybody who waits for it to have heard it, from the voters or from the API. */
const NEWS_MS = 10_000;
/** Of a table, so that a message with it fits a packet: the rest of one takes less than 500 bytes. */
const TABLE_BYTES_MAX = 900;

export interface News {
  readonly gateway: string;
  readonly upTo: number;
  readonly changedMs: number;
  /** It was heard, or is dead: more than a name that somebody wrote into an object. */
  readonly isKnown: boolean;
}

/**
 * Gateways that live on say little here, and those that are long gone and named nowhere nothing, so that a table fits a
 * packet. What is left out is not unsaid: a verdict that was reached stays.
 */
export function newsOf(
  {
    entries,
    named,
  }: { readonly entries: ReadonlyMap<string, VoterEntry>; readonly named: ReadonlySet<string> },
  nowMs: number,
): readonly News[] {
  const news: News[] = [];
  for (const [gateway, { session, stage, closed, changedMs, boot }] of entries) {
    const dead = closed || stage.kind === 'declared';
    if (nowMs >= changedMs + NEWS_MS && !(dead && named.has(gateway))) continue;
    const upTo = dead ? session : session - 1;
    if (upTo > 0) news.push({ gateway, upTo, changedMs, isKnown: dead || boot !== '' });
  }
  return news;
}

/** Where it does not fit, first what its reader waits for, names that were never heard last, the newest before the older. */
export function deadTable(news: readonly News[], awaits: readonly string[] | undefined): DeadTable {
  const bytesOf = ({ gateway, upTo }: News): number => `"${gateway}":${upTo},`.length;
  const fits = news.reduce((sum, it) => sum + bytesOf(it), 0) <= TABLE_BYTES_MAX;
  const rankOf = ({ gateway, isKnown }: News): number =>
    awaits?.includes(gateway) === true ? 0 : isKnown ? 1 : 2;
  const ranked = fits ? news : news.toSorted((a, b) => rankOf(a) - rankOf(b) || b.changedMs - a.changedMs);
  const table: Record<string, number> = {};
  let bytes = 0;
  for (const it of ranked) {
    bytes += bytesOf(it);
    if (bytes > TABLE_BYTES_MAX) break;
    table[it.gateway] = it.upTo;
  }
  return table;
}
