/** What one node knows of who answers for which address, what may happen to it, and what it may ask for. */
import type { SessionRef } from '../egressIp.ts';
import type { AddressEffect, AddressState, CommandOutcome } from './addresses.ts';
import type { Assignment } from './assignment.ts';
import { type Deaths, NO_DEATHS } from './deaths.ts';
import type { Durations } from './durations.ts';
import { type Greeting, NOT_GREETED } from './greeting.ts';
import { type Announcing, NOT_ANNOUNCING } from './holdings.ts';
import type { Holding, Outgoing, PeerMessage } from './messages.ts';
import type { PeerSession, PeerSessionEffect } from './peerSession.ts';
import { initialVoter, type VoterState } from './voter.ts';
import type { VoterConfig } from './voterConfig.ts';

export interface OwnershipState {
  readonly node: string;
  readonly durations: Durations;
  readonly voter: VoterState;
  readonly peer: PeerSession | undefined;
  readonly deaths: Deaths;
  readonly assignments: ReadonlyMap<string, Assignment>;
  readonly addresses: ReadonlyMap<string, AddressState>;
  /** All nodes with an agent but this one: who is told what we hold. */
  readonly peers: readonly string[];
  readonly announcing: Announcing;
  readonly greeting: Greeting;
  /** When the hosts on the uplink are told again; undefined: nothing is answered. */
  readonly refreshMs: number | undefined;
  readonly closing: boolean;
  /** Validity as the addresses last saw it. */
  readonly wasValid: boolean;
}

export type OwnershipEvent = { readonly nowMs: number } & (
  | { readonly kind: 'tick' }
  | { readonly kind: 'received'; readonly from: string; readonly message: PeerMessage }
  | { readonly kind: 'configured'; readonly config: VoterConfig }
  | { readonly kind: 'peers'; readonly peers: readonly string[] }
  /** All addresses, as the API last said. */
  | { readonly kind: 'assigned'; readonly assignments: ReadonlyMap<string, Assignment> }
  /** What the API says of sessions: dead ones, and addresses that a session stated not to answer for at an epoch. */
  | { readonly kind: 'stated'; readonly dead: readonly SessionRef[]; readonly released: readonly Release[] }
  /** The kernel was flushed and then the Lease won: a new session. */
  | { readonly kind: 'opened'; readonly session: number; readonly boot: string }
  /** The Lease is somebody else's or closed: the session ends. */
  | { readonly kind: 'lease-lost'; readonly session: number }
  | { readonly kind: 'beat-done'; readonly session: number; readonly seq: number; readonly ok: boolean }
  | ({ readonly kind: 'armed' | 'disarmed' } & CommandOutcome)
  /** Hand everything over and close the session. */
  | { readonly kind: 'close' }
);

export interface Release {
  readonly session: SessionRef;
  readonly address: string;
  readonly epoch: number;
}

export type OwnershipEffect =
  | AddressEffect
  | PeerSessionEffect
  | { readonly kind: 'send'; readonly to: string; readonly message: PeerMessage }
  /** Gratuitous ARP: the kernel answers for it from now on, or, said once, still. */
  | { readonly kind: 'announce' | 'refresh'; readonly address: string }
  /** A gateway said what it answers for. */
  | { readonly kind: 'heard-holdings'; readonly session: SessionRef; readonly holdings: readonly Holding[] };

export interface OwnershipStep {
  readonly state: OwnershipState;
  readonly effects: readonly OwnershipEffect[];
}

export function initialOwnership(options: {
  readonly node: string;
  /** Unlike that of any former process on this node. */
  readonly incarnation: string;
  readonly durations: Durations;
  readonly nowMs: number;
}): OwnershipState {
  const { node, durations } = options;
  return {
    node,
    durations,
    voter: initialVoter(options),
    peer: undefined,
    deaths: NO_DEATHS,
    assignments: new Map(),
    addresses: new Map(),
    peers: [],
    announcing: NOT_ANNOUNCING,
    greeting: NOT_GREETED,
    refreshMs: undefined,
    closing: false,
    wasValid: false,
  };
}

export function only(state: OwnershipState): OwnershipStep {
  return { state, effects: NOTHING };
}

/** A step that changes nothing of a part hands the same state on: most of them are heartbeats and their answers. */
export function withVoter(state: OwnershipState, voter: VoterState): OwnershipState {
  return voter === state.voter ? state : { ...state, voter };
}

export function withDeaths(state: OwnershipState, deaths: Deaths): OwnershipState {
  return deaths === state.deaths ? state : { ...state, deaths };
}

export function withPeer(state: OwnershipState, peer: PeerSession): OwnershipState {
  return peer === state.peer ? state : { ...state, peer };
}

export const NOTHING: readonly never[] = [];

export function sends(outgoing: readonly Outgoing[]): readonly OwnershipEffect[] {
  if (outgoing.length === 0) return NOTHING;
  return outgoing.map(({ to, message }) => ({ kind: 'send', to, message }));
}

export function selfOf({ node, peer }: OwnershipState): SessionRef | undefined {
  return peer === undefined ? undefined : { gateway: node, session: peer.session };
}
