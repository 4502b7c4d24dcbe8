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

/** admissionv1: longer warnings may be cut by the API server. */
export const WARNING_LENGTH_MAX = 120;
/** The API server drops what goes beyond 4,096 characters in total. */
export const WARNINGS_MAX = 34;
/** A person reads this in a terminal; the rest is counted. */
export const VIOLATIONS_SHOWN_MAX = 50;

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
    readonly status?: { readonly code: 403; readonly reason: 'Forbidden'; readonly message: string };
    readonly patchType?: 'JSONPatch';
    readonly patch?: string;
  };
}

/** The error says in one sentence what is not an AdmissionReview v1 about it. */
export function parseReview(raw: unknown): Result<ReviewRequest, string> {
  const review = asRecord(raw);
  if (review === undefined) return refused('the body is not an object');
  if (review.apiVersion !== 'admission.k8s.io/v1' || review.kind !== 'AdmissionReview')
    return refused('the body is not an AdmissionReview of admission.k8s.io/v1');
  const request = asRecord(review.request);
  if (request === undefined) return refused('the review has no request');
  const { uid, name, subResource, dryRun, object, oldObject } = request;
  if (typeof uid !== 'string' || uid === '') return refused('request.uid is not a text');
  const kind = asRecord(request.kind)?.kind;
  if (typeof kind !== 'string' || kind === '') return refused('request.kind is not a kind');
  const operation = OPERATIONS.find((known) => known === request.operation);
  if (operation === undefined) return refused('request.operation is none of CREATE, UPDATE, DELETE, CONNECT');
  const writes = operation === 'CREATE' || operation === 'UPDATE';
  if (writes && asRecord(object) === undefined) return refused('request.object is not an object');
  if (operation === 'UPDATE' && asRecord(oldObject) === undefined)
    return refused('request.oldObject is not an object');
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
  if (kind === undefined || object?.apiVersion?.toString().endsWith(`/${API_VERSION}`) === false) {
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
    .map(({ path, message }) => shortened(`${path}: ${message}`));
  return { allowed: denials.length === 0, violations, message: renderDenials(denials), warnings };
}

function renderDenials(denials: readonly Violation[]): string {
  const lines = denials
    .slice(0, VIOLATIONS_SHOWN_MAX)
    .map(({ path, message, code }) => `${path === '' ? '' : `${path}: `}${message} (${code})`);
  const hidden = denials.length - lines.length;
  if (hidden > 0) lines.push(`and ${hidden} more`);
  return lines.length > 1 ? lines.map((line) => `\n- ${line}`).join('') : lines.join('');
}

function shortened(text: string): string {
  return text.length <= WARNING_LENGTH_MAX ? text : `${text.slice(0, WARNING_LENGTH_MAX - 1)}…`;
}

type Json = Readonly<Record<string, unknown>>;

function asRecord(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

/** Equality of two JSON values; the order of an object's fields means nothing. */
function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, index) => sameJson(item, b[index]));
  const [left, right] = [asRecord(a), asRecord(b)];
  if (left === undefined || right === undefined) return false;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && sameJson(left[key], right[key]))
  );
}
