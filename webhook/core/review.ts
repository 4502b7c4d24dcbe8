/**
 * Reads an AdmissionReview and decides it. Denies what the parser or the rules of `policy/` call wrong, lets pass what
 * cannot make anything worse: deletes, status writes, a policy on its way out, an update that leaves `spec` as it is.
 *
 * Relies on facts that are in sync; whoever calls must not ask while they are not. Leaves to others: HTTP, metrics, and
 * the race of two replicas that each admit one of two conflicting policies (the controller programs exactly one).
 */

import type { ConflictIndex } from '../../policy/conflictIndex.ts';
import type { ClusterFacts, Violation } from '../../policy/model.ts';
import { API_VERSION, POLICY_KINDS, type PolicyKind } from '../../policy/names.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { ok, type Result, refused } from '../../policy/result.ts';
import { checkPolicy } from '../../policy/rules.ts';
import { asRecord, type Json, sameJson } from './sameJson.ts';

/** admissionv1: longer warnings may be cut by the API server. */
export const WARNING_LENGTH_MAX = 120;
/** The API server drops what goes beyond 4,096 characters in total. */
export const WARNINGS_MAX = 34;
/** A warning travels in an HTTP header; the API server drops one that holds any of these. */
const CONTROL = /\p{Cc}/gu;
/** A person reads this in a terminal; the rest is counted. */
export const VIOLATIONS_SHOWN_MAX = 50;
/** A violation repeats what the user wrote, which may be megabytes. */
export const LINE_LENGTH_MAX = 1000;

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
  readonly object: unknown;
  readonly oldObject: unknown;
}

/** Facts of one moment, with the index over their policies that many reviews share. */
export interface Snapshot {
  readonly facts: ClusterFacts;
  readonly index: ConflictIndex;
}

/** Why the object was not judged; `undefined` in a decision means it was. */
export type Unjudged = 'delete' | 'subresource' | 'unknown-kind' | 'being-deleted' | 'spec-unchanged';

export interface Decision {
  readonly allowed: boolean;
  /** All of them, warnings too; for metrics. */
  readonly violations: readonly Violation[];
  /** One sentence per violation; empty where allowed. */
  readonly message: string;
  readonly warnings: readonly string[];
  readonly unjudged?: Unjudged;
}

export interface AdmissionReview {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly warnings?: readonly string[];
    readonly status?: {
      readonly code: 400 | 403;
      readonly reason: 'BadRequest' | 'Forbidden';
      readonly message: string;
    };
    readonly patchType?: 'JSONPatch';
    readonly patch?: string;
  };
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

/** A policy is not held against itself: the rules know the stored one by its kind and name. */
export function decideAdmission(request: ReviewRequest, snapshot: Snapshot): Decision {
  const kind = POLICY_KINDS.find((known) => known === request.kind);
  const unjudged = whyUnjudged(request, kind);
  if (kind === undefined || unjudged !== undefined) return letPass(unjudged ?? 'unknown-kind');
  const parsed = parsePolicy(request.object, kind);
  if (parsed.kind === 'refused') return decide(parsed.error);
  return decide(checkPolicy(parsed.value, snapshot.facts, snapshot.index));
}

export function renderReview(uid: string, decision: Decision): AdmissionReview {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: decision.allowed,
      ...(decision.warnings.length === 0 ? {} : { warnings: decision.warnings }),
      ...(decision.allowed
        ? {}
        : { status: { code: 403, reason: 'Forbidden', message: decision.message } as const }),
    },
  };
}

function whyUnjudged(request: ReviewRequest, kind: PolicyKind | undefined): Unjudged | undefined {
  const object = asRecord(request.object);
  const apiVersion = typeof object?.apiVersion === 'string' ? object.apiVersion : `/${API_VERSION}`;
  if (kind === undefined || !apiVersion.endsWith(`/${API_VERSION}`)) {
    return request.operation === 'DELETE' ? 'delete' : 'unknown-kind';
  }
  if (request.operation === 'DELETE' || request.operation === 'CONNECT') return 'delete';
  if (request.subResource !== '') return 'subresource';
  const deletedAt = asRecord(object?.metadata)?.deletionTimestamp;
  if (deletedAt !== undefined && deletedAt !== null) return 'being-deleted';
  if (request.operation === 'UPDATE' && sameJson(object?.spec, asRecord(request.oldObject)?.spec))
    return 'spec-unchanged';
  return undefined;
}

function letPass(unjudged: Unjudged): Decision {
  return { allowed: true, violations: [], message: '', warnings: [], unjudged };
}

function decide(violations: readonly Violation[]): Decision {
  const denials = violations.filter(({ verdict }) => verdict === 'deny');
  const warnings = violations
    .filter(({ verdict }) => verdict === 'warn')
    .slice(0, WARNINGS_MAX)
    .map(({ path, message }) => shortened(`${path}: ${message}`.replace(CONTROL, ' '), WARNING_LENGTH_MAX));
  return { allowed: denials.length === 0, violations, message: renderDenials(denials), warnings };
}

function renderDenials(denials: readonly Violation[]): string {
  const lines = denials.slice(0, VIOLATIONS_SHOWN_MAX).map(({ path, message, code }) => {
    const place = path === '' ? '' : `${path}: `;
    return `${shortened(`${place}${message}`, LINE_LENGTH_MAX)} (${code})`;
  });
  const hidden = denials.length - lines.length;
  if (hidden > 0) lines.push(`and ${hidden} more`);
  return lines.length > 1 ? lines.map((line) => `\n- ${line}`).join('') : lines.join('');
}

/** Never in the midst of a character of two units: half of one is no text. */
function shortened(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text;
  return `${text.slice(0, lengthMax - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
