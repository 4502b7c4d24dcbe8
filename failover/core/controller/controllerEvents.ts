/** What reaches the controller's core, and what it asks for: the contract between it and its runner. */
import { type PolicyKind, VOTERS_CONFIG_MAP } from '../../../policy/names.ts';
import type { EgressIp } from '../egressIp.ts';
import type { GatewayNode } from '../gatewayNode.ts';
import type { VoterConfig } from '../ownership/voterConfig.ts';
import type { CollectionName, Collections, EgressIpStatus, PolicyStatus } from './controllerView.ts';
import type { MoveReason } from './moves.ts';

/** Both clocks at the moment of an event: monotonic for durations, wall for what is written down. Milliseconds. */
export interface Now {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export type CollectionEvent = {
  [C in CollectionName]:
    | { readonly kind: 'synced'; readonly collection: C; readonly items: ReadonlyMap<string, Collections[C]> }
    | {
        readonly kind: 'upserted';
        readonly collection: C;
        readonly key: string;
        readonly value: Collections[C];
      }
    | { readonly kind: 'removed'; readonly collection: C; readonly key: string };
}[CollectionName];

/**
 * What a request about one object brought. `stale`: a conflict or a lost answer; it has to be read. `unreadable`: what stands
 * there is nothing that we would have written.
 */
export type RequestEvent = {
  [C in CollectionName]: {
    readonly kind: 'answered';
    readonly collection: C;
    readonly key: string;
    readonly answer:
      | { readonly kind: 'present'; readonly value: Collections[C] }
      | { readonly kind: 'absent' }
      | { readonly kind: 'unreadable' }
      | { readonly kind: 'stale' }
      | { readonly kind: 'failed' };
  };
}[CollectionName];

export type ControllerEvent =
  | CollectionEvent
  | RequestEvent
  | { readonly kind: 'tick' }
  /** We lead; all clocks begin anew. On loss the process ends. */
  | { readonly kind: 'leadership-began' }
  /** The API server cannot be reached: silence says nothing about gateways until contact is back. */
  | { readonly kind: 'contact-lost' }
  | { readonly kind: 'contact-regained' };

export interface ObjectRef {
  readonly kind: PolicyKind | 'EgressIP';
  readonly name: string;
  readonly uid: string;
}

/** Effects that change an object carry the version they were decided on: each is a compare-and-swap. */
export type WriteEffect =
  | { readonly kind: 'create-egress-ip'; readonly egressIp: EgressIp }
  | { readonly kind: 'replace-egress-ip'; readonly egressIp: EgressIp }
  | { readonly kind: 'remove-egress-ip'; readonly egressIp: EgressIp }
  | { readonly kind: 'remove-gateway-node'; readonly gatewayNode: GatewayNode }
  | {
      readonly kind: 'write-egress-ip-status';
      readonly egressIp: EgressIp;
      readonly status: EgressIpStatus;
    }
  | {
      readonly kind: 'write-policy-status';
      readonly policyKind: PolicyKind;
      readonly name: string;
      readonly resourceVersion: string;
      readonly status: PolicyStatus;
    }
  | {
      readonly kind: 'write-finalizers';
      readonly policyKind: PolicyKind;
      readonly name: string;
      readonly resourceVersion: string;
      readonly finalizers: readonly string[];
    }
  /** Without a resourceVersion the object is new. */
  | { readonly kind: 'write-voters'; readonly config: VoterConfig; readonly resourceVersion: string };

export type ControllerEffect =
  | WriteEffect
  | { readonly kind: 'read-object'; readonly collection: CollectionName; readonly key: string }
  | {
      readonly kind: 'record-event';
      readonly regarding: ObjectRef;
      readonly type: 'Normal' | 'Warning';
      readonly reason: string;
      readonly message: string;
    }
  /** Without a duration it was noticed only by its end. */
  | { readonly kind: 'count-move'; readonly reason: MoveReason; readonly durationMs?: number }
  | { readonly kind: 'wake-at'; readonly monotonicMs: number };

/** The object that a write is about, as its collection and key. */
export function targetOf(effect: WriteEffect): {
  readonly collection: CollectionName;
  readonly key: string;
} {
  switch (effect.kind) {
    case 'create-egress-ip':
    case 'replace-egress-ip':
    case 'remove-egress-ip':
    case 'write-egress-ip-status':
      return { collection: 'egressIps', key: effect.egressIp.name };
    case 'remove-gateway-node':
      return { collection: 'gatewayNodes', key: effect.gatewayNode.name };
    case 'write-policy-status':
    case 'write-finalizers':
      return { collection: effect.policyKind, key: effect.name };
    case 'write-voters':
      return { collection: 'voters', key: VOTERS_CONFIG_MAP };
    default:
      return effect satisfies never;
  }
}
