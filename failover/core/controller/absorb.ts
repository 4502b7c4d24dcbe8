/**
 * Takes what was observed or answered into the controller's state, without deciding anything. An answer to our own
 * request counts as an observation too, unless it is older than what the watch has brought.
 */

import { isOlderVersion } from '../../../kube/core/isOlderVersion.ts';
import type {
  CollectionEvent,
  ControllerEffect,
  ControllerEvent,
  Now,
  RequestEvent,
} from './controllerEvents.ts';
import type { ControllerState } from './controllerState.ts';
import type { CollectionName, Collections } from './controllerView.ts';
import {
  forgetLease,
  type GatewayLease,
  observeLease,
  restartClocks,
  type SessionsState,
  silentGateways,
} from './sessions.ts';
import { fullPace } from './voluntaryMoves.ts';
import {
  becomeReading,
  becomeResting,
  isReading,
  overtake,
  overtakeAll,
  settle,
  wakeRested,
  wasOvertaken,
} from './writeLedger.ts';

export interface Absorbed {
  readonly state: ControllerState;
  readonly effects: readonly ControllerEffect[];
  /** True for a renewal of a Lease that was renewed in time: the most frequent event, and nothing follows from it. */
  readonly quiet: boolean;
}

export function absorb(state: ControllerState, event: ControllerEvent, now: Now): Absorbed {
  const { monotonicMs } = now;
  switch (event.kind) {
    case 'synced':
    case 'upserted':
    case 'removed':
      return {
        ...only(absorbCollection(state, event, monotonicMs)),
        quiet: isRenewal(state, event, monotonicMs),
      };
    case 'answered':
      return absorbAnswer(state, event, monotonicMs);
    case 'tick':
      return absorbTick(state, monotonicMs);
    case 'leadership-began':
      return only({ ...restarted(state, monotonicMs), leading: true, pace: fullPace(monotonicMs) });
    case 'contact-lost':
      return only({ ...state, inContact: false });
    case 'contact-regained':
      return only({ ...restarted(state, monotonicMs), inContact: true });
    default:
      return event satisfies never;
  }
}

function absorbTick(state: ControllerState, nowMs: number): Absorbed {
  const { ledger, unread } = wakeRested(state.ledger, nowMs);
  const effects = unread.map((object): ControllerEffect => {
    const slash = object.indexOf('/');
    // The ledger's names are made of a collection and a key.
    const collection = object.slice(0, slash) as CollectionName;
    return { kind: 'read-object', collection, key: object.slice(slash + 1) };
  });
  return { state: { ...state, ledger }, effects, quiet: false };
}

function only(state: ControllerState): Absorbed {
  return { state, effects: [], quiet: false };
}

function isRenewal({ caches, sessions }: ControllerState, event: CollectionEvent, nowMs: number): boolean {
  if (event.kind !== 'upserted' || event.collection !== 'leases') return false;
  const before = caches.leases?.get(event.key);
  if (before?.session !== event.value.session || !before.holding || !event.value.holding) return false;
  return !silentGateways(sessions, nowMs).has(event.key);
}

function restarted(state: ControllerState, nowMs: number): ControllerState {
  // Agents may have heard as little as we did.
  return { ...state, sessions: restartClocks(state.sessions, nowMs), lingersSince: new Map() };
}

function absorbCollection(state: ControllerState, event: CollectionEvent, nowMs: number): ControllerState {
  const { collection } = event;
  switch (event.kind) {
    case 'synced': {
      const ledger = overtakeAll(state.ledger, collection);
      const sessions =
        event.collection === 'leases' ? syncSessions(state.sessions, event.items, nowMs) : state.sessions;
      return { ...state, caches: { ...state.caches, [collection]: event.items }, ledger, sessions };
    }
    case 'upserted':
      return upsert(state, event, nowMs);
    case 'removed': {
      const ledger = overtake(state.ledger, `${collection}/${event.key}`);
      return remove({ ...state, ledger }, collection, event.key);
    }
    default:
      return event satisfies never;
  }
}

function upsert(
  state: ControllerState,
  event: {
    [C in CollectionName]: { readonly collection: C; readonly key: string; readonly value: Collections[C] };
  }[CollectionName],
  nowMs: number,
): ControllerState {
  const { collection, key, value } = event;
  const items: ReadonlyMap<string, unknown> | undefined = state.caches[collection];
  // Nothing before the first list: a part of a collection is no view of it.
  if (items === undefined || isOlderVersion(versionOf(value), versionOf(items.get(key)))) return state;
  const sessions =
    event.collection === 'leases' ? observeLease(state.sessions, event.value, nowMs) : state.sessions;
  return { ...state, sessions, caches: { ...state.caches, [collection]: new Map(items).set(key, value) } };
}

function remove(state: ControllerState, collection: CollectionName, key: string): ControllerState {
  const items = new Map<string, unknown>(state.caches[collection]);
  items.delete(key);
  const sessions = collection === 'leases' ? forgetLease(state.sessions, key) : state.sessions;
  const moves = collection === 'egressIps' ? without(state.moves, key) : state.moves;
  return { ...state, sessions, moves, caches: { ...state.caches, [collection]: items } };
}

function absorbAnswer(state: ControllerState, event: RequestEvent, nowMs: number): Absorbed {
  const { collection, key, answer } = event;
  const object = `${collection}/${key}`;
  const reread: ControllerEffect = { kind: 'read-object', collection, key };
  if (answer.kind === 'failed') {
    // A write that was refused was not done. After a read that failed it may have been: it rests and is read again.
    const done = collection === 'egressIps' && !isReading(state.ledger, object);
    const asked = done ? without(state.asked, key) : state.asked;
    return only({ ...state, asked, ledger: becomeResting(state.ledger, object, nowMs) });
  }
  if (answer.kind === 'stale' || wasOvertaken(state.ledger, object)) {
    const reading = { ...state, ledger: becomeReading(state.ledger, object) };
    return { state: reading, effects: [reread], quiet: false };
  }
  const asked = collection === 'egressIps' ? without(state.asked, key) : state.asked;
  const settled = { ...state, asked, ledger: settle(state.ledger, object) };
  if (answer.kind === 'absent') return only(remove(settled, collection, key));
  // As if it were not there, but that a write would be answered the same again.
  if (answer.kind === 'unreadable')
    return only({
      ...remove(settled, collection, key),
      ledger: becomeResting(settled.ledger, object, nowMs),
    });
  // The pair of collection and value was typed in the event; taking it apart loses that.
  const observed = { collection, key, value: answer.value } as Parameters<typeof upsert>[1];
  return only(upsert(settled, observed, nowMs));
}

function syncSessions(
  sessions: SessionsState,
  leases: ReadonlyMap<string, GatewayLease>,
  nowMs: number,
): SessionsState {
  const kept = [...sessions.keys()].filter((gateway) => !leases.has(gateway)).reduce(forgetLease, sessions);
  return [...leases.values()].reduce((all, lease) => observeLease(all, lease, nowMs), kept);
}

function without<T>(items: ReadonlyMap<string, T>, key: string): ReadonlyMap<string, T> {
  if (!items.has(key)) return items;
  const next = new Map(items);
  next.delete(key);
  return next;
}

/** Objects of a collection show their version in one of these places; nodes are not written by us and need none. */
function versionOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return '';
  if ('egressIp' in value) return versionOf(value.egressIp);
  if ('resourceVersion' in value && typeof value.resourceVersion === 'string') return value.resourceVersion;
  return 'version' in value && typeof value.version === 'string' ? value.version : '';
}
