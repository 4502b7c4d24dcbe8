/**
 * What agents say to each other without the API server. Each message comes with the name of the node that sent it,
 * which the transport has proven. Sizes are bounded so that a message fits one packet of an Ethernet underlay.
 */
import type { SessionRef } from '../egressIp.ts';
import type { VoterConfig } from './voterConfig.ts';

/** A right to answer for an address: the epoch of the assignment and the rank in its order. Compared in that order. */
export interface Right {
  readonly epoch: number;
  readonly index: number;
}

export function compareRights(a: Right, b: Right): number {
  return a.epoch - b.epoch || a.index - b.index;
}

/** Which heartbeat an answer belongs to, in the gateway's own counting. */
export interface Echo {
  readonly session: number;
  readonly boot: string;
  readonly seq: number;
}

/** Gateway → the highest session of it that the voter calls dead; all lower ones are with it. */
export type DeadTable = Readonly<Record<string, number>>;

export type Verdict =
  /** The voter will not call the session dead before its promise has run out. `generation` changes when it ever did. */
  | { readonly kind: 'granted'; readonly generation: string }
  /** It did call it dead: its statements have to run out before it grants again. */
  | { readonly kind: 'retracting' }
  /** There is or was a higher session of this gateway, `highest`. */
  | { readonly kind: 'refused'; readonly highest: number }
  /** The heartbeat counts by an older voter configuration than the voter knows. */
  | { readonly kind: 'outdated' };

export interface Statements {
  readonly echo: Echo;
  readonly dead: DeadTable;
  /** The voter configuration under which it is stated. */
  readonly configVersion: number;
}

/** An address that the sender answers for. */
export interface Holding {
  /** Object name of the EgressIP. */
  readonly address: string;
  readonly right: Right;
  /** The `blocksVersion` that the sender's kernel forwards. */
  readonly blocksVersion: number;
}

export type PeerMessage =
  | {
      readonly kind: 'heartbeat';
      readonly session: number;
      readonly boot: string;
      readonly seq: number;
      readonly configVersion: number;
      /** The session is over and nothing of it answers any more. */
      readonly closed: boolean;
      /** Gateways whose death would bring the sender nearer to answering; absent: all of them, for want of room. */
      readonly awaits?: readonly string[];
    }
  | ({
      readonly kind: 'answer';
      readonly verdict: Verdict;
      /** Only where the gateway's was older. */
      readonly config?: VoterConfig;
    } & Statements)
  /** Sent unasked when a voter calls a session dead. */
  | ({ readonly kind: 'statements' } & Statements)
  /** The candidate wants `target` to let go of the address for the assignment `epoch`. */
  | {
      readonly kind: 'ask';
      readonly candidate: SessionRef;
      readonly target: SessionRef;
      readonly address: string;
      readonly epoch: number;
      /** Nobody else is in the way: a holder lets go now. */
      readonly last: boolean;
    }
  /** `released`: the target will never use a right of an epoch below `epoch`. */
  | {
      readonly kind: 'told';
      readonly candidate: SessionRef;
      readonly target: SessionRef;
      readonly address: string;
      readonly epoch: number;
      readonly state: 'released' | 'holding';
    }
  /** What the sender answers for: sources send there from now on. All of the span that still holds. */
  | ({ readonly kind: 'moved'; readonly session: number; readonly holdings: readonly Holding[] } & Span)
  | ({ readonly kind: 'moved-ack'; readonly session: number } & Span)
  /** The sender has just started, or was away: it may know nothing of what the receiver answers for. */
  | { readonly kind: 'hello' };

/** A message on its way to a node. */
export interface Outgoing {
  readonly to: string;
  readonly message: PeerMessage;
}

/** Names in `awaits`, and their characters in all: the rest of a heartbeat is small, and it fits 1,400 bytes. */
export const AWAITED_MAX = 64;
export const AWAITED_CHARACTERS_MAX = 900;

/** Of what a session said of its holdings, in the sender's own counting: behind `after`, up to `upTo` and with it. */
export interface Span {
  readonly after: number;
  readonly upTo: number;
}

/** Bytes of holdings in one message: with two nodes' names of 150 letters each it fits the 1,452 bytes of a packet. */
export const MOVED_BYTES_MAX = 1000;

/** Of one holding as `renderPeerMessage` writes it, with the comma before the next. */
export function holdingBytes({ address, right: { epoch, index }, blocksVersion }: Holding): number {
  return `["${address}",${epoch},${index},${blocksVersion}],`.length;
}
