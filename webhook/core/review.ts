/**
 * Decides a review. Denies what the parser or the rules of `policy/` call wrong, lets pass what
 * cannot make anything worse: deletes, status writes, a policy on its way out, an update that leaves `spec` as it is.
 *
 * Relies on facts that are in sync; whoever calls must not ask while they are not. Leaves to others: HTTP, metrics, and
 * the race of two replicas that each admit one of two conflicting policies (the controller programs exactly one).
 */

import { UNKNOWN_FACTS } from '../../policy/facts.ts';
import { createFactIndex } from '../../policy/index/factIndex.ts';
import type { Policy, Violation } from '../../policy/model.ts';
import {
  API_VERSION,
  CILIUM_GROUP,
  CILIUM_POLICY_V2,
  POLICY_KINDS,
  type PolicyKind,
} from '../../policy/names.ts';
import { parseCiliumPolicy } from '../../policy/parseCiliumPolicy.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { judgeCiliumPolicy } from '../../policy/rules/ciliumRules.ts';
import { checkStatusWrite, STATUS_KINDS } from '../../policy/rules/statusRules.ts';
import { judgePolicy, type Occasion } from '../../policy/rules.ts';
import { asRecord } from './asRecord.ts';
import type { ReviewRequest } from './parseReview.ts';
import { sameJson } from './sameJson.ts';
import type { Snapshot } from './snapshot.ts';

const NO_FACTS = createFactIndex(UNKNOWN_FACTS);

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

export { isReviewV1, OPERATIONS, type Operation, parseReview, type ReviewRequest } from './parseReview.ts';
export type { Snapshot } from './snapshot.ts';

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

/** A policy is not held against itself: the rules know the stored one by its kind and name. */
export function decideAdmission(request: ReviewRequest, snapshot: Snapshot): Decision {
  if (isStatusWrite(request)) return decide(checkStatusWrite(request, snapshot.writers));
  const kind = judgedKind(request);
  const unjudged = whyUnjudged(request, kind);
  if (kind === undefined || unjudged !== undefined) return letPass(unjudged ?? 'unknown-kind');
  if (kind === CILIUM_POLICY_V2) {
    const parsed = parseCiliumPolicy(request.object);
    return decide(parsed === undefined ? [] : judgeCiliumPolicy(parsed, snapshot.index));
  }
  const parsed = parsePolicy(request.object, kind);
  if (parsed.kind === 'refused') return decide(parsed.error);
  const { index, settings } = snapshot;
  return decide(judgePolicy(parsed.value, index, { settings, occasion: occasionOf(request, kind) }));
}

/** What the object alone shows. */
export function decideShape(request: ReviewRequest): Decision {
  const kind = policyKindOf(request);
  const unjudged = whyUnjudged(request, kind);
  if (kind === undefined || unjudged !== undefined) return letPass(unjudged ?? 'unknown-kind');
  const parsed = parsePolicy(request.object, kind);
  return decide(parsed.kind === 'refused' ? parsed.error : judgePolicy(parsed.value, NO_FACTS));
}

/** The policy that a verdict is about; undefined where it is none of ours or cannot be read. */
export function policyOf(request: ReviewRequest): Policy | undefined {
  const kind = policyKindOf(request);
  const parsed = kind === undefined ? undefined : parsePolicy(request.object, kind);
  return parsed?.kind === 'ok' ? parsed.value : undefined;
}

/** Undefined for every other kind, Cilium's own of the same name among them. */
export function policyKindOf(request: ReviewRequest): PolicyKind | undefined {
  const kind = judgedKind(request);
  return kind === CILIUM_POLICY_V2 ? undefined : kind;
}

function isStatusWrite({ kind, subResource, operation }: ReviewRequest): boolean {
  return subResource === 'status' && operation === 'UPDATE' && STATUS_KINDS.includes(kind);
}

/** A stored policy that does not parse was served nowhere: nothing of it can be in use. */
function occasionOf({ operation, oldObject }: ReviewRequest, kind: PolicyKind): Occasion {
  if (operation !== 'UPDATE') return { kind: 'create' };
  const before = parsePolicy(oldObject, kind);
  return { kind: 'update', before: before.kind === 'ok' ? before.value : undefined };
}

type JudgedKind = PolicyKind | typeof CILIUM_POLICY_V2;

function judgedKind({ kind, object }: ReviewRequest): JudgedKind | undefined {
  const known = POLICY_KINDS.find((it) => it === kind);
  const claimed = asRecord(object)?.apiVersion;
  const apiVersion = typeof claimed === 'string' ? claimed : `/${API_VERSION}`;
  if (apiVersion.endsWith(`/${API_VERSION}`)) return known;
  return known === 'CiliumEgressGatewayPolicy' && apiVersion === `${CILIUM_GROUP}/v2`
    ? CILIUM_POLICY_V2
    : undefined;
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

function whyUnjudged(request: ReviewRequest, kind: JudgedKind | undefined): Unjudged | undefined {
  const object = asRecord(request.object);
  if (kind === undefined) return request.operation === 'DELETE' ? 'delete' : 'unknown-kind';
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
