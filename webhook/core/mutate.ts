/**
 * Decides what the mutating webhook fills in: absent fields that have a default, nothing else. Idempotent; what it cannot
 * read it leaves alone.
 *
 * It refuses what the API server's own schema would refuse in a moment, because it is asked before that schema and the
 * validating webhook after it: only here can a person be told everything at once, with what would be accepted. Nothing
 * rests on it: where it is not asked, the schema refuses the same objects in fewer words.
 */

import type { JsonPatchOperation } from '../../policy/jsonPatch.ts';
import { completeObject, setDefaults } from '../../policy/setDefaults.ts';
import type { ViolationCode } from '../../policy/violationCodes.ts';
import {
  type AdmissionReview,
  type Decision,
  decideAdmission,
  decideShape,
  policyKindOf,
  type ReviewRequest,
  type Snapshot,
} from './review.ts';

/** What the schema refuses too, at least in part. */
const SCHEMA_CODES: ReadonlySet<ViolationCode> = new Set([
  'cidr-syntax',
  'cidr-host-bits',
  'range-syntax',
  'special-use',
  'pool-overlap-self',
  'selector-syntax',
  'destination-syntax',
  'unknown-field',
  'family-mismatch',
  'pool-too-large',
  'limits',
  'schema',
]);

export type Mutation =
  | { readonly kind: 'completed'; readonly patch: readonly JsonPatchOperation[] }
  | { readonly kind: 'refused'; readonly decision: Decision };

/** @param snapshot absent while facts are not in sync; then a refusal tells what the object alone shows */
export function decideMutation(request: ReviewRequest, snapshot: Snapshot | undefined): Mutation {
  const writes = request.operation === 'CREATE' || request.operation === 'UPDATE';
  if (!writes || request.subResource !== '' || policyKindOf(request) === undefined)
    return { kind: 'completed', patch: [] };
  const patch = setDefaults(request.object);
  const completed = { ...request, object: completeObject(request.object) };
  const decision = snapshot === undefined ? decideShape(completed) : decideAdmission(completed, snapshot);
  const refused = decision.violations.some(
    ({ verdict, code }) => verdict === 'deny' && SCHEMA_CODES.has(code),
  );
  return refused ? { kind: 'refused', decision } : { kind: 'completed', patch };
}

/** `encode` gives the base64 of the UTF-8 of a text, which the protocol asks for. */
export function renderMutation(
  uid: string,
  patch: readonly JsonPatchOperation[],
  encode: (text: string) => string,
): AdmissionReview {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: true,
      ...(patch.length === 0 ? {} : { patchType: 'JSONPatch', patch: encode(JSON.stringify(patch)) }),
    },
  };
}
