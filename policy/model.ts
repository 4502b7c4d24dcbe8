/**
 * The one model behind both policy kinds. facts.ts has what rules know of the cluster.
 * Everything here is parsed: the parsers in this folder are the only makers of these values.
 */
import type { PolicyKind } from './names.ts';
import type { ViolationCode } from './violationCodes.ts';

export type { ClusterFacts, GatewayFacts, NodeFacts, NodeTaint } from './facts.ts';
export type { ViolationCode } from './violationCodes.ts';

export type Family = 4 | 6;

declare const addressBrand: unique symbol;
/** An IP address. `value` is its 32 or 128 bits as an unsigned integer. Made by `parseAddress` only. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
  readonly [addressBrand]: true;
}

declare const cidrBrand: unique symbol;
/** A canonical prefix without host bits. Made by `parseCidr` only. */
export interface Cidr {
  readonly family: Family;
  readonly network: bigint;
  /** 0..32 or 0..128 */
  readonly prefix: number;
  readonly [cidrBrand]: true;
}

/** First and last address of a contiguous block, both inclusive. */
export interface AddressRange {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}
/** All requirements ANDed; `matchLabels` are `In` with one value. No requirement matches everything. */
export interface LabelSelector {
  readonly requirements: readonly LabelRequirement[];
}

/** One entry of `spec.selectors`: its parts are ANDed, absent parts match everything. */
export interface WorkloadSelector {
  readonly pods: LabelSelector;
  readonly namespaces?: LabelSelector;
  readonly nodes?: LabelSelector;
}

export interface PolicyRef {
  readonly kind: PolicyKind;
  readonly name: string;
  /** Empty on a create that the API server has not stored yet. */
  readonly uid: string;
  /** Milliseconds since the epoch; a create under review has `Number.POSITIVE_INFINITY`: it is younger than all. */
  readonly createdAtMs: number;
}

export interface PoolEntry {
  readonly range: AddressRange;
  readonly shared: boolean;
  /** As the user wrote it, for messages: `203.0.113.10/32` or `203.0.113.10-203.0.113.20`. */
  readonly text: string;
  /** Field path, e.g. `spec.egressGateway.ippools[0].cidr`. */
  readonly path: string;
}

export type Strategy = 'Distribute' | 'Failover';
export type Affinity = 'Pod' | 'Connection';
export type FailureMode = 'Closed' | 'Open';
export type ReturnPolicy = 'Stay' | 'Return';

export interface Policy {
  readonly ref: PolicyRef;
  readonly generation: number;
  readonly deleting: boolean;
  readonly selectors: readonly WorkloadSelector[];
  readonly destinations: readonly Cidr[];
  readonly excluded: readonly Cidr[];
  /** In listed order; `Failover` takes the first placeable address of it. */
  readonly pools: readonly PoolEntry[];
  /** Absent: every node with the gateway label. */
  readonly gatewaySelector?: LabelSelector;
  readonly strategy: Strategy;
  readonly affinity: Affinity;
  readonly failureMode: FailureMode;
  readonly returnPolicy: ReturnPolicy;
  readonly returnAfterMs: number;
  /** The value of the annotation that asks for an even spread; absent: nobody asks. */
  readonly rebalance?: string;
  /** By annotation: addresses may be taken out of the pools although they are in use. */
  readonly forceRelease?: true;
}

export interface Violation {
  readonly code: ViolationCode;
  readonly verdict: 'deny' | 'warn';
  /** Field path as kubectl prints it: `spec.egressGateway.ippools[1].cidr`. */
  readonly path: string;
  /** One sentence: the value, the other party and its owner, and what would be accepted. */
  readonly message: string;
}
