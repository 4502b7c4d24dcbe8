/**
 * `EgressIP` as the programs see it: who may answer for one address (`epoch`, `order`, `fence`) and which node holds
 * which ports of it. Written by the controller alone, by compare-and-swap on what it read.
 */
import type { Address } from '../../policy/model.ts';
import type { PolicyKind } from '../../policy/names.ts';

/** One life of one gateway's agent. Names alone would let a rebooted gateway reclaim its rank. */
export interface SessionRef {
  readonly gateway: string;
  /** Raised by the gateway at each start; never reused. */
  readonly session: number;
}

/** Ports `first`..`last` (inclusive, aligned granules of 64) of the address, held by one node. */
export interface PortBlock {
  readonly node: string;
  readonly first: number;
  readonly last: number;
  /** The `blocksVersion` that brought it in: a node uses it once the holder has confirmed that version. */
  readonly version: number;
}

/** A block that was given back and rests until peers have forgotten its connections. */
export interface RestingBlock {
  readonly first: number;
  readonly last: number;
  /** Wall clock of the controller that retired it, milliseconds since the epoch. */
  readonly untilMs: number;
}

export interface PolicyOwner {
  readonly kind: PolicyKind;
  readonly name: string;
  readonly uid: string;
}

export interface EgressIp {
  /** Object name: `egressIpName(address)`. */
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly address: Address;
  /** The accepted policies that list the address. Agents program a policy through this list and no other. */
  readonly policies: readonly PolicyOwner[];
  /** Never decreases. */
  readonly epoch: number;
  /** The holder first, then standbys. */
  readonly order: readonly SessionRef[];
  /** Sessions that must be dead, or have released at this epoch, before the first in `order` may answer. */
  readonly fence: readonly SessionRef[];
  /**
   * The gateway that the address was placed on first, for policies whose addresses return. Written down, not computed
   * from the gateways that there are: each one that joins would change a computed home, and move addresses to it.
   */
  readonly home?: string;
  readonly blocksVersion: number;
  readonly blocks: readonly PortBlock[];
  readonly resting: readonly RestingBlock[];
}

/** Epochs begin at the milliseconds of the wall clock, of which no one will ever see so many. */
const EPOCH_MAX = 2 ** 52;

/**
 * Whether anybody can have been given a right of this epoch. Who states another one is broken or lies, and would otherwise
 * be believed above all others. Once an EgressIP stands beyond the limit, what is said by its epoch counts all the same.
 */
export function isPossibleEpoch(epoch: number, standing: number): boolean {
  return epoch <= Math.max(EPOCH_MAX, standing);
}
