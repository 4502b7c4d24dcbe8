/**
 * Goes over the addresses whenever something changed that bears on what may be armed: who asks whom, and whose death is
 * waited for.
 */
import type { SessionRef } from '../egressIp.ts';
import {
  type AddressState,
  type AddressStep,
  awaitedFor,
  type Gateway,
  reconcileAddress,
  SILENT,
} from './addresses.ts';
import { earlier } from './earlier.ts';
import type { Outgoing } from './messages.ts';
import {
  type OwnershipEffect,
  type OwnershipEvent,
  type OwnershipState,
  type OwnershipStep,
  only,
  selfOf,
  sends,
} from './ownershipState.ts';
import { becomeAwaiting, becomeClosing, isValid } from './peerSession.ts';
import { votersOf } from './voterConfig.ts';

/** Most events are heartbeats and their answers, and change nothing for any address. */
export function needsReconciling(
  before: OwnershipState,
  after: OwnershipState,
  event: OwnershipEvent,
): boolean {
  return (
    before.assignments !== after.assignments ||
    before.addresses !== after.addresses ||
    before.closing !== after.closing ||
    before.deaths.verdicts !== after.deaths.verdicts ||
    before.peer?.session !== after.peer?.session ||
    after.wasValid !== isValid(after.peer, event.nowMs) ||
    event.nowMs >= (askWakeMs(after) ?? Number.POSITIVE_INFINITY)
  );
}

/** When somebody is to be asked again; undefined: nobody is asked. */
export function askWakeMs({ addresses }: OwnershipState): number | undefined {
  let wakeMs: number | undefined;
  for (const { asking } of addresses.values()) wakeMs = earlier(wakeMs, asking?.nextMs);
  return wakeMs;
}

export function reconcileAll(state: OwnershipState, nowMs: number, needed: boolean): OwnershipStep {
  if (!needed) return only(state);
  const { peer, closing, deaths } = state;
  const wasValid = isValid(peer, nowMs);
  const self = selfOf(state);
  if (self === undefined) return only({ ...state, wasValid, addresses: withoutAsking(state.addresses) });
  const gateway: Gateway = { self, valid: wasValid && !closing, closing, deaths, nowMs };
  const addresses = new Map(state.addresses);
  const effects: OwnershipEffect[] = [];
  const awaited = new Set<string>();
  const names = new Set([...state.assignments.keys(), ...state.addresses.keys()]);
  for (const name of names) {
    const known = state.addresses.get(name) ?? SILENT;
    const step = reconcileAddress(known, state.assignments.get(name), { gateway, name });
    if (step.state === SILENT && !state.assignments.has(name)) addresses.delete(name);
    else if (step.state !== known) addresses.set(name, step.state);
    effects.push(...step.effects, ...sends(throughVoters(state, step)));
    for (const { gateway: other } of awaitedBy(state, name, step.state)) awaited.add(other);
  }
  const waiting = peer === undefined ? peer : becomeAwaiting(peer, awaited, nowMs);
  const next = { ...state, addresses, wasValid, peer: waiting };
  return { state: becomeClosed(next, nowMs), effects };
}

function awaitedBy(state: OwnershipState, name: string, address: AddressState): readonly SessionRef[] {
  const [assignment, self] = [state.assignments.get(name), selfOf(state)];
  if (assignment === undefined || self === undefined || state.closing) return [];
  return awaitedFor(assignment, address, { self, deaths: state.deaths });
}

/** Who has no session asks nobody, and need not be woken for it. */
function withoutAsking(addresses: OwnershipState['addresses']): OwnershipState['addresses'] {
  if (![...addresses.values()].some(({ asking }) => asking !== undefined)) return addresses;
  return new Map([...addresses].map(([name, address]) => [name, { ...address, asking: undefined }] as const));
}

/** From the fourth round on an ask goes by way of the voters as well. */
const DIRECT_ROUNDS = 3;

function throughVoters(
  { voter, node }: OwnershipState,
  { state, outgoing }: AddressStep,
): readonly Outgoing[] {
  if (outgoing.length === 0 || (state.asking?.rounds ?? 0) <= DIRECT_ROUNDS) return outgoing;
  const relays = voter.config === undefined ? [] : votersOf(voter.config).filter((relay) => relay !== node);
  return [
    ...outgoing,
    ...outgoing.flatMap(({ to, message }) =>
      relays.filter((relay) => relay !== to).map((relay) => ({ to: relay, message })),
    ),
  ];
}

function becomeClosed(state: OwnershipState, nowMs: number): OwnershipState {
  const { peer, closing } = state;
  if (!closing || peer === undefined) return state;
  const busy = [...state.addresses.values()].some(({ kernel }) => kernel.kind !== 'silent');
  return busy ? state : { ...state, peer: becomeClosing(peer, nowMs) };
}
