/** What the agent's main thread and its ownership thread say to each other. */
import type { Address } from '../../policy/model.ts';
import type { LogLevel } from '../../runtime/logger.ts';
import type { SessionRef } from '../core/egressIp.ts';
import type { Durations } from '../core/ownership/durations.ts';
import type { Holding, Right } from '../core/ownership/messages.ts';
import type { OwnershipEvent } from '../core/ownership/ownershipState.ts';
import type { OwnershipWord } from '../core/ownership/ownershipWord.ts';
import type { OverReason } from '../core/ownership/peerSession.ts';
import type { PeerKeyIds } from '../core/peerKeys.ts';
import type { Uplinks } from '../core/uplinks.ts';
import type { DropReason, PeerKeys } from './peerTransport.ts';

export interface OwnershipSettings {
  readonly node: string;
  readonly address: Address;
  readonly uplinks: Uplinks;
  readonly peerPort: number;
  readonly durations: Durations;
  readonly execPrefix: readonly string[];
  /** Of those who may command the kernel by datagram (core/dataplane/kernelCommands.ts). */
  readonly token: Uint8Array;
}

/** An event of the core whose time is taken where it is stepped. */
export type Timeless<E> = E extends unknown ? Omit<E, 'nowMs'> : never;
export type PassedEvent = Extract<
  Timeless<OwnershipEvent>,
  { readonly kind: 'configured' | 'assigned' | 'stated' | 'opened' | 'lease-lost' | 'close' }
>;

export type ToOwnership =
  | { readonly kind: 'event'; readonly event: PassedEvent }
  /** Every node with an agent. */
  | { readonly kind: 'peers'; readonly peers: ReadonlyMap<string, Address> }
  | { readonly kind: 'keys'; readonly keys: PeerKeys }
  /** EgressIP name → the highest right that is stated through the API: an older datagram is no news. */
  | { readonly kind: 'rights'; readonly rights: ReadonlyMap<string, Right> }
  /** Ends every right to answer in the kernel; answered by `flushed`. */
  | { readonly kind: 'flush' }
  /** The node's uplinks are others than before. */
  | { readonly kind: 'uplinks'; readonly uplinks: Uplinks }
  /** Compare the kernel with what should be armed. */
  | { readonly kind: 'resync' }
  | { readonly kind: 'stop' };

export type FromOwnership =
  | { readonly kind: 'ready' }
  | { readonly kind: 'word'; readonly word: OwnershipWord }
  | { readonly kind: 'flushed'; readonly ok: boolean }
  /** The answer to `keys`: those that are in use now. */
  | { readonly kind: 'keys-taken'; readonly keys: PeerKeyIds }
  | {
      readonly kind: 'session-over';
      readonly session: number;
      readonly reason: OverReason;
      readonly floor: number;
    }
  | { readonly kind: 'session-closed'; readonly session: number }
  | { readonly kind: 'heard-holdings'; readonly session: SessionRef; readonly holdings: readonly Holding[] }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'stats'; readonly stats: OwnershipStats }
  | { readonly kind: 'stopped' };

export interface OwnershipStats {
  readonly dropped: Readonly<Record<DropReason, number>>;
  readonly fenced: number;
  readonly lapses: number;
  /** The longest that a timer of the thread was late since the last report, milliseconds. */
  readonly longestStallMs: number;
}
