/** Reads an AdmissionReview of admission.k8s.io/v1 into what decisions are made from. */
import { ok, type Result, refused } from '../../policy/result.ts';
import { asRecord, type Json } from './asRecord.ts';

export const OPERATIONS = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'] as const;
export type Operation = (typeof OPERATIONS)[number];

export interface ReviewRequest {
  readonly uid: string;
  readonly kind: string;
  readonly operation: Operation;
  /** Empty for the object itself. */
  readonly subResource: string;
  readonly name: string;
  readonly dryRun: boolean;
  /** Who asks. */
  readonly username: string;
  /** The node that the token of whoever asks is bound to; empty: none. */
  readonly nodeName: string;
  readonly object: unknown;
  readonly oldObject: unknown;
}

/** Whether it claims to be an AdmissionReview of the one version that can be answered here. */
export function isReviewV1(raw: unknown): boolean {
  const review = asRecord(raw);
  return review?.apiVersion === 'admission.k8s.io/v1' && review.kind === 'AdmissionReview';
}

/** The error says in one sentence what is not an AdmissionReview v1 about it. */
export function parseReview(raw: unknown): Result<ReviewRequest, string> {
  const review = asRecord(raw);
  if (review === undefined) return refused('the body is not an object');
  if (!isReviewV1(raw)) return refused('the body is not an AdmissionReview of admission.k8s.io/v1');
  const request = asRecord(review.request);
  if (request === undefined) return refused('the review has no request');
  const { uid, name, subResource, dryRun, object, oldObject } = request;
  if (typeof uid !== 'string' || uid === '') return refused('request.uid is not a text');
  const gvk = asRecord(request.kind);
  const kind = gvk?.kind;
  if (typeof kind !== 'string' || kind === '') return refused('request.kind is not a kind');
  const operation = OPERATIONS.find((known) => known === request.operation);
  if (operation === undefined) return refused('request.operation is none of CREATE, UPDATE, DELETE, CONNECT');
  const writes = operation === 'CREATE' || operation === 'UPDATE';
  if (writes && asRecord(object) === undefined) return refused('request.object is not an object');
  if (operation === 'UPDATE' && asRecord(oldObject) === undefined)
    return refused('request.oldObject is not an object');
  if (writes && !isOfKind(asRecord(object), gvk)) return refused('request.object is not of request.kind');
  return ok({
    uid,
    kind,
    operation,
    subResource: typeof subResource === 'string' ? subResource : '',
    name: typeof name === 'string' ? name : '',
    dryRun: dryRun === true,
    ...parseUser(request.userInfo),
    object,
    oldObject,
  });
}

/** What an object says of itself must not lead past the rules of the kind under which it will be stored. */
function isOfKind(object: Json | undefined, gvk: Json | undefined): boolean {
  const group = gvk?.group === '' ? '' : `${gvk?.group}/`;
  return (
    (object?.apiVersion === undefined || object.apiVersion === `${group}${gvk?.version}`) &&
    (object?.kind === undefined || object.kind === gvk?.kind)
  );
}

/** The API server's extra information about a bound service account token (KEP-4193). */
const NODE_NAME_EXTRA = 'authentication.kubernetes.io/node-name';

function parseUser(raw: unknown): Pick<ReviewRequest, 'username' | 'nodeName'> {
  const user = asRecord(raw);
  const names = asRecord(user?.extra)?.[NODE_NAME_EXTRA];
  const nodeName: unknown = Array.isArray(names) ? names[0] : undefined;
  return {
    username: typeof user?.username === 'string' ? user.username : '',
    nodeName: typeof nodeName === 'string' ? nodeName : '',
  };
}
