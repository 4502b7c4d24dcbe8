/** What a step of one part means for the whole: of the own session, or of one address. */
import type { SessionRef } from '../egressIp.ts';
import { type AddressState, type AddressStep, type CommandOutcome, SILENT } from './addresses.ts';
import { NOT_ANNOUNCING } from './holdings.ts';
import { type OwnershipState, type OwnershipStep, only, selfOf, sends, withPeer } from './ownershipState.ts';
import { type PeerSessionStep, peerInserted } from './peerSession.ts';

export function absorbPeer(state: OwnershipState, step: PeerSessionStep): OwnershipStep {
  const over = step.effects.some(({ kind }) => kind === 'session-over' || kind === 'session-closed');
  const next = over ? { ...state, peer: undefined, announcing: NOT_ANNOUNCING } : withPeer(state, step.peer);
  return { state: next, effects: [...step.effects, ...sends(step.outgoing)] };
}

export function absorbBeat(
  state: OwnershipState,
  done: { readonly session: number; readonly seq: number; readonly ok: boolean },
  nowMs: number,
): OwnershipStep {
  const { peer, durations, voter } = state;
  if (peer?.session !== done.session || voter.config === undefined) return only(state);
  return absorbPeer(state, peerInserted(peer, done, { durations, config: voter.config, nowMs }));
}

export function absorbAddress(
  state: OwnershipState,
  name: string,
  change: (address: AddressState) => AddressStep,
): OwnershipStep {
  const step = change(state.addresses.get(name) ?? SILENT);
  return {
    state: { ...state, addresses: new Map(state.addresses).set(name, step.state) },
    effects: [...step.effects, ...sends(step.outgoing)],
  };
}

/** Commands of a former session were undone by the flush before this one. */
export function absorbOutcome(
  state: OwnershipState,
  outcome: CommandOutcome,
  change: (address: AddressState, outcome: CommandOutcome, self: SessionRef) => AddressStep,
): OwnershipStep {
  const self = selfOf(state);
  if (self === undefined || self.session !== outcome.session) return only(state);
  return absorbAddress(state, outcome.address, (it) => change(it, outcome, self));
}
