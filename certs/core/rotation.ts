/**
 * Decides the next step of the webhook's certificates, so that no API server ever meets a leaf whose CA it does not trust:
 *
 *     settled     one CA, which signs                        until it is about to expire, lost its key, or somebody asks
 *     publishing  a new CA is in every bundle, the old signs  until every replica and every configuration confirm it
 *     retiring    the new CA signs, the old is trusted        until every replica serves a leaf of the new, or every leaf of
 *                                                             the old has expired
 *
 * What stands in the Secret is a state, what is known beside it an event; a step follows from the two. Relies on facts of one
 * version of the Secret, on wall-clock milliseconds for validity alone, and on monotonic ones for every wait. Leaves to
 * others: keys and signatures (io/issue.ts), the compare-and-swap that lets one of several replicas win (io/certSecret.ts).
 */
import { awaitReplicas, type RotationWatch } from './awaitReplicas.ts';
import { phaseOf, readEvent } from './readEvent.ts';
import type { KnownRotation } from './rotationFacts.ts';

export const ROTATION_STATES = ['absent', 'foreign', 'damaged', 'settled', 'publishing', 'retiring'] as const;
export type RotationState = (typeof ROTATION_STATES)[number];

/** In the order in which they count where several are true at once. */
export const ROTATION_EVENTS = [
  /** Nothing in the Secret can be used, and this replica holds a set that can. */
  'remembered',
  'all-unusable',
  'leaf-unusable',
  /** Everybody who matters follows, for long enough. */
  'confirmed',
  /** No leaf of a retired CA can be valid any more. */
  'outlived',
  /** The CA cannot sign any more; what it signed is still good. */
  'ca-unusable',
  'leaf-due',
  'ca-due',
  'ca-asked',
  'leaf-asked',
  /** The annotations do not say where the rotation is. */
  'unnoted',
  'quiet',
] as const;
export type RotationEvent = (typeof ROTATION_EVENTS)[number];

export const ROTATION_STEPS = [
  'keep',
  'note',
  'renew-leaf',
  'publish-ca',
  'sign-by-next',
  'retire',
  /** Write back what this replica remembers. */
  'restore',
  /** A CA and a leaf at once: nothing is there that a replica could start with. */
  'make',
] as const;
export type RotationStep = (typeof ROTATION_STEPS)[number];

export function decideStep(state: RotationState, event: RotationEvent): RotationStep {
  switch (state) {
    case 'absent':
    case 'foreign':
    case 'damaged':
      return event === 'remembered' ? 'restore' : 'make';
    case 'settled':
    case 'retiring':
      return decideSigned(state, event);
    case 'publishing':
      return decidePublishing(event);
    default:
      return state satisfies never;
  }
}

function decideSigned(state: 'settled' | 'retiring', event: RotationEvent): RotationStep {
  switch (event) {
    case 'remembered':
      return 'restore';
    case 'all-unusable':
      return 'make';
    case 'leaf-unusable':
    case 'leaf-due':
    case 'leaf-asked':
      return 'renew-leaf';
    case 'confirmed':
    case 'outlived':
      return state === 'retiring' ? 'retire' : 'keep';
    case 'ca-unusable':
    case 'ca-due':
      return 'publish-ca';
    case 'ca-asked':
      // One after the other: the wish stays until this rotation is through.
      return state === 'settled' ? 'publish-ca' : 'keep';
    case 'unnoted':
      return 'note';
    case 'quiet':
      return 'keep';
    default:
      return event satisfies never;
  }
}

function decidePublishing(event: RotationEvent): RotationStep {
  switch (event) {
    case 'remembered':
      return 'restore';
    case 'confirmed':
      return 'sign-by-next';
    case 'all-unusable':
      // Nobody can start as it is, and the next CA is published as far as it can be.
      return 'sign-by-next';
    case 'leaf-unusable':
    case 'leaf-due':
    case 'leaf-asked':
      return 'renew-leaf';
    case 'unnoted':
      return 'note';
    case 'outlived':
    case 'ca-unusable':
    case 'ca-due':
    case 'ca-asked':
    case 'quiet':
      return 'keep';
    default:
      return event satisfies never;
  }
}

export interface RotationDecision {
  readonly step: RotationStep;
  readonly state: RotationState;
  readonly event: RotationEvent;
  /** For people: what is wrong or due. */
  readonly reason: string;
  readonly watch?: RotationWatch;
  readonly waitingFor: readonly string[];
  readonly leftBehind: readonly string[];
}

export function decideRotation(known: KnownRotation, before: RotationWatch | undefined): RotationDecision {
  const { secret } = known;
  if (secret.kind !== 'present') {
    const event = known.remembered ? 'remembered' : 'all-unusable';
    const reason = secret.kind === 'absent' ? 'there is no certificate yet' : secret.reason;
    const step = decideStep(secret.kind, event);
    return { step, state: secret.kind, event, reason, waitingFor: [], leftBehind: [] };
  }
  const state = phaseOf(secret);
  const agreement = awaitReplicas(known, { facts: secret, phase: state }, before);
  const [event, reason] = readEvent(known, { secret, state, agreement });
  return { ...agreement, step: decideStep(state, event), state, event, reason };
}
