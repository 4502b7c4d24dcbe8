/**
 * A new agent, and a gateway with a new session, asks everybody what they answer for, so that it does not have to wait until
 * they tell of it again: a source that the API does not reach learns its gateways, and a gateway that was away learns of an
 * answerer that etcd, restored from a snapshot, does not know. Who holds nothing says nothing, so the question is put a few
 * times in case it is lost.
 */
import { MESSAGES_AT_ONCE, PAUSE_MS } from './holdings.ts';
import type { Outgoing } from './messages.ts';

export interface Greeting {
  /** How often everybody was asked. */
  readonly rounds: number;
  /** How many of the peers this round has come by. */
  readonly visited: number;
  /** Who has told what it holds since: not asked again. */
  readonly told: ReadonlySet<string>;
  /** Undefined: it has not begun, or enough was asked. */
  readonly nextMs: number | undefined;
}

export const NOT_GREETED: Greeting = { rounds: 0, visited: 0, told: new Set(), nextMs: undefined };

/** From one round's end to the next one's beginning. */
const REPEATS_MS: readonly number[] = [20, 60, 200, 1000];

/** Somebody is there, and what is heard of an address is kept from now on: the first are asked at once. */
export function becomeGreeting(greeting: Greeting, nowMs: number): Greeting {
  return greeting === NOT_GREETED ? { ...greeting, nextMs: nowMs } : greeting;
}

export function becomeAnswered(greeting: Greeting, peer: string): Greeting {
  if (greeting.nextMs === undefined || greeting.told.has(peer)) return greeting;
  return { ...greeting, told: new Set([...greeting.told, peer]) };
}

/** Whom to ask now, and when to come back. A thousand are asked in small parts, as they are told. */
export function greet(
  greeting: Greeting,
  peers: readonly string[],
  nowMs: number,
): { readonly greeting: Greeting; readonly outgoing: readonly Outgoing[] } {
  const { rounds, visited, told, nextMs } = greeting;
  if (nextMs === undefined || nowMs < nextMs) return { greeting, outgoing: [] };
  const upTo = visited + MESSAGES_AT_ONCE;
  const asked = peers.slice(visited, upTo).filter((peer) => !told.has(peer));
  const outgoing = asked.map((to): Outgoing => ({ to, message: { kind: 'hello' } }));
  if (upTo < peers.length)
    return { greeting: { ...greeting, visited: upTo, nextMs: nowMs + PAUSE_MS }, outgoing };
  const everyMs = REPEATS_MS[rounds];
  const next = everyMs === undefined ? undefined : nowMs + everyMs;
  return { greeting: { ...greeting, rounds: rounds + 1, visited: 0, nextMs: next }, outgoing };
}
