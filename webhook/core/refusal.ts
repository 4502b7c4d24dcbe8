/**
 * What is answered where no verdict is: a Status as API servers know it, under an HTTP status that makes them fall back
 * on the failure policy. A review that names its uid and cannot be read is denied instead: its author reads why.
 */
import type { AdmissionReview } from './review.ts';

export type Refusal =
  | 'syntax'
  | 'too-deep'
  | 'review'
  | 'version'
  | 'client'
  | 'no-route'
  | 'method'
  | 'too-large'
  | 'content-type'
  | 'busy'
  | 'internal'
  | 'not-ready'
  | 'late';

interface Terms {
  readonly code: number;
  /** From the closed set of Kubernetes' StatusReason. */
  readonly reason: string;
  /** Seconds after which an API server asks again by itself, within its own deadline. */
  readonly retryAfterS?: number;
}

export const REFUSALS: Readonly<Record<Refusal, Terms>> = {
  syntax: { code: 400, reason: 'BadRequest' },
  'too-deep': { code: 400, reason: 'BadRequest' },
  review: { code: 400, reason: 'BadRequest' },
  version: { code: 400, reason: 'BadRequest' },
  client: { code: 403, reason: 'Forbidden' },
  'no-route': { code: 404, reason: 'NotFound' },
  method: { code: 405, reason: 'MethodNotAllowed' },
  'too-large': { code: 413, reason: 'RequestEntityTooLarge' },
  'content-type': { code: 415, reason: 'UnsupportedMediaType' },
  busy: { code: 429, reason: 'TooManyRequests', retryAfterS: 1 },
  internal: { code: 500, reason: 'InternalError' },
  'not-ready': { code: 503, reason: 'ServiceUnavailable', retryAfterS: 1 },
  late: { code: 504, reason: 'Timeout' },
};

export interface Status {
  readonly apiVersion: 'v1';
  readonly kind: 'Status';
  readonly status: 'Failure';
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly details?: { readonly retryAfterSeconds: number };
}

export function renderStatus(refusal: Refusal, message: string): Status {
  const { code, reason, retryAfterS } = REFUSALS[refusal];
  return {
    apiVersion: 'v1',
    kind: 'Status',
    status: 'Failure',
    code,
    reason,
    message,
    ...(retryAfterS === undefined ? {} : { details: { retryAfterSeconds: retryAfterS } }),
  };
}

/** The denial of a review of which little more than the uid could be read. */
export function renderUnreadable(uid: string, message: string): AdmissionReview {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid, allowed: false, status: { code: 400, reason: 'BadRequest', message } },
  };
}
