/**
 * Decides which addresses move although they could stay, to gateways that are fit and have room:
 *
 * - *returned*: to the gateway where the address was placed first, once that has been fit for as long as its policies say.
 *   Of policies that share an address all must say `Return`, and the longest `returnAfter` counts: `Stay` promises that
 *   nothing moves without need, while an address that does not return harms nobody.
 * - *rebalanced*: where a policy's annotation asks for it, from the fullest gateway to the emptiest until no move makes
 *   the two more even. One policy's word is enough for an address that is shared: a person asks, once.
 *
 * Only what is settled moves, and only from gateways that are fit: those that are to leave have a turn of their own. At
 * most VOLUNTARY_MOVES_PER_MINUTE are begun in any minute; a failover is none of them and never waits.
 */
import { earliest } from '../ownership/earlier.ts';
import type { AddressFacts } from './addressFacts.ts';
import type { ControllerView } from './controllerView.ts';
import { compareText, fillOf, type Gateway, type Load } from './gatewayRank.ts';
import type { FitSince } from './standing.ts';

export type VoluntaryReason = 'returned' | 'rebalanced';

export interface VoluntaryMove {
  readonly to: string;
  readonly reason: VoluntaryReason;
}

export interface VoluntaryPlan {
  /** Address → where it goes. */
  readonly moves: ReadonlyMap<string, VoluntaryMove>;
  /** Policies, by uid, that asked for an even spread and do not have it yet. */
  readonly uneven: ReadonlySet<string>;
  /** When time alone may change the answer, monotonic. */
  readonly wakeMs: number | undefined;
}

/** When the voluntary moves of the last minute were begun, monotonic. */
export type Pace = readonly number[];

/** A planned move loses no packet, but is a write, a message to every node and an event: enough for a big cluster in minutes. */
export const VOLUNTARY_MOVES_PER_MINUTE = 30;
const MINUTE_MS = 60_000;

/** What the leader before us has begun is not known: as if it were all that a minute may see. */
export function fullPace(nowMs: number): Pace {
  return Array.from({ length: VOLUNTARY_MOVES_PER_MINUTE }, () => nowMs);
}

export function followPace(pace: Pace, begun: number, nowMs: number): Pace {
  const recent = pace.filter((atMs) => nowMs - atMs < MINUTE_MS);
  return [...recent, ...Array.from({ length: begun }, () => nowMs)];
}

/** By uid. Their annotation has a value that was not carried out. */
export function rebalancingPolicies(view: ControllerView): ReadonlySet<string> {
  return new Set(
    view.policies.flatMap(({ uid, parsed, status }) => {
      const wish = parsed.kind === 'ok' ? (parsed.value.rebalance ?? '') : '';
      return wish === '' || wish === status?.rebalanced ? [] : [uid];
    }),
  );
}

interface Known {
  readonly gateways: readonly Gateway[];
  readonly load: Load;
  readonly fitSince: FitSince;
  readonly pace: Pace;
  /** Policies, by uid, that ask for an even spread. */
  readonly rebalancing: ReadonlySet<string>;
  readonly nowMs: number;
}

export function decideVoluntaryMoves(addresses: readonly AddressFacts[], known: Known): VoluntaryPlan {
  const { pace, nowMs } = known;
  const fit = new Map(known.gateways.filter((it) => it.standing === 'fit').map((it) => [it.name, it]));
  const load = new Map(known.load);
  const recent = followPace(pace, 0, nowMs);
  const budget = VOLUNTARY_MOVES_PER_MINUTE - recent.length;
  const moves = new Map<string, VoluntaryMove>();
  const move = (address: AddressFacts, to: string, reason: VoluntaryReason): void => {
    moves.set(address.claim.name, { to, reason });
    load.set(to, (load.get(to) ?? 0) + 1);
    load.set(address.holder ?? '', (load.get(address.holder ?? '') ?? 0) - 1);
  };
  const movable = addresses
    .filter(({ settled, holder }) => settled && fit.has(holder ?? ''))
    .toSorted((a, b) => compareText(a.claim.name, b.claim.name));
  const returns = movable.flatMap((address) => returnOf(address, { ...known, fit }));
  let late = false;
  for (const { address, home, dueMs } of returns) {
    if (dueMs > nowMs || fillOf(home, load) >= 1) continue;
    if (moves.size >= budget) late = true;
    else move(address, home.name, 'returned');
  }
  const asks = (address: AddressFacts): boolean => ownersAsking(address, known).length > 0;
  const unsettled = addresses.filter((it) => asks(it) && !it.settled && it.holder !== undefined);
  const spread = movable.filter(asks);
  const uneven = [...unsettled, ...spread.filter((it) => evenerPlace(it, fit, load) !== undefined)];
  while (moves.size < budget) {
    const best = mostEvening(
      spread.filter(({ claim }) => !moves.has(claim.name)),
      fit,
      load,
    );
    if (best === undefined) break;
    move(best.address, best.to, 'rebalanced');
  }
  const waits = late || (moves.size >= budget && uneven.length > 0);
  const wakes = [
    ...returns.map(({ dueMs }) => dueMs).filter((dueMs) => dueMs > nowMs),
    ...(waits ? [(recent[0] ?? nowMs) + MINUTE_MS] : []),
  ];
  return {
    moves,
    uneven: new Set(uneven.flatMap((address) => ownersAsking(address, known))),
    wakeMs: earliest(wakes),
  };
}

function ownersAsking(
  { claim }: AddressFacts,
  { rebalancing }: Pick<Known, 'rebalancing'>,
): readonly string[] {
  return claim.owners.map(({ ref }) => ref.uid).filter((uid) => rebalancing.has(uid));
}

/** The way home and from when on it may be taken; none where it is at home or is to stay. */
function returnOf(
  address: AddressFacts,
  { fit, fitSince }: { readonly fit: ReadonlyMap<string, Gateway>; readonly fitSince: FitSince },
): readonly { readonly address: AddressFacts; readonly home: Gateway; readonly dueMs: number }[] {
  const { claim, holder, eligible } = address;
  const home = fit.get(claim.current?.home ?? '');
  const since = fitSince.get(home?.name ?? '');
  if (home === undefined || since === undefined || home.name === holder) return [];
  if (!eligible.includes(home.name)) return [];
  if (claim.owners.some(({ returnPolicy }) => returnPolicy === 'Stay')) return [];
  const afterMs = Math.max(...claim.owners.map(({ returnAfterMs }) => returnAfterMs));
  return [{ address, home, dueMs: since.sinceMs + afterMs }];
}

interface Evening {
  readonly to: string;
  /** By how much the fuller gateway is fuller still than the other one would be then. */
  readonly gain: number;
}

/** The emptiest gateway for the address, if going there leaves that less full than its holder is now. */
function evenerPlace(
  { eligible, holder }: AddressFacts,
  fit: ReadonlyMap<string, Gateway>,
  load: Load,
): Evening | undefined {
  const from = fit.get(holder ?? '');
  if (from === undefined) return undefined;
  const others = eligible.flatMap((name) => (name === holder ? [] : (fit.get(name) ?? [])));
  const [best] = others
    .filter(({ capacity }) => capacity > 0)
    .map(({ name, capacity }) => ({
      to: name,
      gain: fillOf(from, load) - ((load.get(name) ?? 0) + 1) / capacity,
    }))
    .toSorted((a, b) => b.gain - a.gain || compareText(a.to, b.to));
  return best !== undefined && best.gain > 0 ? best : undefined;
}

function mostEvening(
  addresses: readonly AddressFacts[],
  fit: ReadonlyMap<string, Gateway>,
  load: Load,
): { readonly address: AddressFacts; readonly to: string } | undefined {
  const found = addresses.flatMap((address) => {
    const place = evenerPlace(address, fit, load);
    return place === undefined ? [] : [{ address, ...place }];
  });
  return found.toSorted(
    (a, b) => b.gain - a.gain || compareText(a.address.claim.name, b.address.claim.name),
  )[0];
}
