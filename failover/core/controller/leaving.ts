/**
 * Decides whose turn it is to leave. A gateway that is to leave (standing.ts) hands its addresses over while it still can.
 * At most so many do so at a time: the next keeps its addresses until those before it have none left and whoever got them
 * answers. Who is dead or has no session does not leave: there is nothing to keep, and nothing waits.
 *
 * Nobody is waited for who cannot be emptied (nobody better has room), nor longer than LEAVE_PATIENCE_MS: a turn that went
 * on for longer goes on, beside others.
 */
import { earliest } from '../ownership/earlier.ts';
import type { AddressFacts } from './addressFacts.ts';
import type { Now } from './controllerEvents.ts';
import type { ControllerView } from './controllerView.ts';
import { compareStanding, compareText, fillOf, type Gateway, type Load } from './gatewayRank.ts';
import type { Move } from './moves.ts';
import { isAnnounced, liveSession } from './proofs.ts';
import type { LeaveReason } from './standing.ts';

/** Gateway → since when it is its turn, monotonic. */
export type LeaveTurns = ReadonlyMap<string, number>;

export interface Leaving {
  readonly turns: LeaveTurns;
  /** Those that are to leave and keep what they hold until it is their turn. */
  readonly waiting: ReadonlySet<string>;
  /** When time alone gives the next its turn, monotonic. */
  readonly wakeMs: number | undefined;
}

/** Emptying a full gateway takes a second or two. What takes longer than this is stuck, and not for others to wait for. */
export const LEAVE_PATIENCE_MS = 10_000;

interface Known {
  readonly view: ControllerView;
  readonly gateways: readonly Gateway[];
  readonly load: Load;
  readonly moves: ReadonlyMap<string, Move>;
  readonly turns: LeaveTurns;
  /** Gateways that may leave at a time. */
  readonly max: number;
  readonly now: Now;
}

export function decideLeaving(addresses: readonly AddressFacts[], known: Known): Leaving {
  const { view, gateways, turns, now } = known;
  const leaving = gateways
    .filter(({ name, standing }) => standing !== 'fit' && liveSession(view, name) !== undefined)
    .filter((gateway) => isUnfinished(gateway, addresses, known));
  const begun = leaving.flatMap(({ name }): readonly (readonly [string, number])[] => {
    const sinceMs = turns.get(name);
    return sinceMs === undefined ? [] : [[name, sinceMs]];
  });
  const restarts = restartDeadlines(known);
  const taken =
    restarts.length + begun.filter(([, sinceMs]) => sinceMs + LEAVE_PATIENCE_MS > now.monotonicMs).length;
  const places = Math.max(0, known.max - taken);
  // Unhealthy ones first: others can wait.
  const asking = leaving
    .filter(({ name }) => !turns.has(name))
    .toSorted((a, b) => compareStanding(b, a) || compareText(a.name, b.name))
    .map(({ name }) => name);
  const next = new Map([
    ...begun,
    ...asking.slice(0, places).map((name) => [name, now.monotonicMs] as const),
  ]);
  const waiting = new Set(asking.slice(places));
  const deadlines = [...restarts, ...[...next.values()].map((sinceMs) => sinceMs + LEAVE_PATIENCE_MS)].filter(
    (deadlineMs) => deadlineMs > now.monotonicMs,
  );
  return { turns: next, waiting, wakeMs: waiting.size === 0 ? undefined : earliest(deadlines) };
}

/** Somebody better could have what it holds, or does not answer yet for what it had. */
function isUnfinished(gateway: Gateway, addresses: readonly AddressFacts[], known: Known): boolean {
  return addresses.some((address) =>
    address.holder === gateway.name
      ? canLeave(address, gateway, known)
      : isGivenUp(address, gateway.name, known),
  );
}

function canLeave(
  { eligible }: AddressFacts,
  gateway: Gateway,
  { gateways, load }: Pick<Known, 'gateways' | 'load'>,
): boolean {
  // Who is no gateway any more loses it with or without a successor.
  if (gateway.why === ('not-allowed' satisfies LeaveReason)) return true;
  return gateways.some(
    (other) =>
      eligible.includes(other.name) && compareStanding(other, gateway) < 0 && fillOf(other, load) < 1,
  );
}

/** It is on its way from there: nobody answers by the assignment that stands. */
function isGivenUp(
  { claim: { current, name }, settled }: AddressFacts,
  gateway: string,
  { view, moves }: Pick<Known, 'view' | 'moves'>,
): boolean {
  if (settled || current === undefined || current.order.length === 0 || isAnnounced(current, view))
    return false;
  const move = moves.get(name);
  return (
    current.fence.some((it) => it.gateway === gateway) ||
    (move?.from === gateway && move.announcedAtMs === undefined)
  );
}

/**
 * Until when others wait for gateways whose agents ended, monotonic: nobody answers yet for an address of theirs. They do
 * not ask, for an agent that ends cannot wait.
 */
function restartDeadlines({ moves, now }: Pick<Known, 'moves' | 'now'>): readonly number[] {
  const since = new Map<string, number>();
  for (const { from, reason, announcedAtMs, noticedMs } of moves.values())
    if ((reason === 'closed' || reason === 'restarted') && announcedAtMs === undefined)
      since.set(from, Math.max(since.get(from) ?? noticedMs, noticedMs));
  return [...since.values()]
    .map((noticedMs) => noticedMs + LEAVE_PATIENCE_MS)
    .filter((deadlineMs) => deadlineMs > now.monotonicMs);
}
