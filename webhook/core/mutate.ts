/**
 * Decides what the mutating webhook fills in: absent fields that have a default, nothing else. Idempotent, and never a
 * refusal: what it cannot read it leaves alone, the validating webhook has the last word.
 */

import type { JsonPatchOperation } from '../../policy/jsonPatch.ts';
import { POLICY_KINDS } from '../../policy/names.ts';
import { setDefaults } from '../../policy/setDefaults.ts';
import type { AdmissionReview, ReviewRequest } from './review.ts';

export function decideDefaults(request: ReviewRequest): readonly JsonPatchOperation[] {
  const writes = request.operation === 'CREATE' || request.operation === 'UPDATE';
  if (!writes || request.subResource !== '' || !POLICY_KINDS.some((kind) => kind === request.kind)) return [];
  return setDefaults(request.object);
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
