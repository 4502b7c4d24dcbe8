/** What must hold of an answer, whatever was sent: its form, and that nothing wrong is allowed and nothing right denied. */
import { isDeepStrictEqual } from 'node:util';
import { POLICY_KINDS } from '../../policy/names.ts';
import { STATUS_KINDS } from '../../policy/rules/statusRules.ts';
import { completeObject, setDefaults } from '../../policy/setDefaults.ts';
import { applyPatch } from '../lab/applyPatch.ts';
import { isForeignStatus, isWrong, isWrongForCilium } from './offline.ts';

export interface Asked {
  readonly path: string;
  readonly body: Buffer;
}

export interface Answered {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

type Json = Readonly<Record<string, unknown>>;

/** 500 is a defect; 429 and 503 are what this server, alone with one client, has no reason for. */
const STATUSES: ReadonlySet<number> = new Set([200, 400, 413, 415, 431, 504]);
const WARNING_MAX = 120;
const WARNINGS_MAX = 4096;

/** The first thing that does not hold, as a sentence. */
export function judgeReply(asked: Asked, answered: Answered): string | undefined {
  const { status, body, type } = answered;
  if (!STATUSES.has(status)) return `HTTP ${status}: ${body.slice(0, 500)}`;
  if (status === 431) return undefined; // Node's own answer, before there is a request
  if (!type.startsWith('application/json')) return `content type ${type}`;
  const reply = record(parse(Buffer.from(body)));
  if (reply === undefined) return `no JSON object: ${body.slice(0, 500)}`;
  if (reply.kind === 'Status') return judgeStatus(reply, status);
  const { response } = reply;
  if (reply.apiVersion !== 'admission.k8s.io/v1' || reply.kind !== 'AdmissionReview')
    return 'no AdmissionReview v1';
  const verdict = record(response);
  if (verdict === undefined) return 'no response';
  return judgeForm(verdict) ?? judgeUid(verdict, asked) ?? judgeVerdict(verdict, asked);
}

function judgeStatus(reply: Json, status: number): string | undefined {
  const formed =
    reply.code === status && typeof reply.message === 'string' && typeof reply.reason === 'string';
  if (!formed || status === 200) return `a Status that is none: ${JSON.stringify(reply)}`;
  return undefined;
}

function judgeForm(verdict: Json): string | undefined {
  const { uid, allowed, status, warnings = [], patch, patchType } = verdict;
  if (typeof uid !== 'string' || uid === '') return 'no uid';
  if (typeof allowed !== 'boolean') return 'allowed is no boolean';
  const { code, message } = record(status) ?? {};
  if (!allowed && (typeof message !== 'string' || message === '' || (code !== 400 && code !== 403)))
    return `a denial without reason: ${JSON.stringify(status)}`;
  if (!Array.isArray(warnings) || !warnings.every(isWarning)) return `warnings ${JSON.stringify(warnings)}`;
  if (warnings.join('').length > WARNINGS_MAX) return 'too many warnings';
  if ((patch === undefined) !== (patchType === undefined))
    return 'a patch without type, or a type without patch';
  return undefined;
}

function isWarning(text: unknown): boolean {
  return typeof text === 'string' && text.length <= WARNING_MAX && !/\p{Cc}|^warning/iu.test(text);
}

function judgeUid({ uid, allowed }: Json, { body }: Asked): string | undefined {
  const asked = record(record(parse(body))?.request)?.uid;
  // Of a text that is no JSON, or that names two, only the denial counts.
  if (asked === undefined || uid === asked || (allowed === false && body.toString().includes(`"${uid}"`)))
    return undefined;
  return `uid ${uid} for ${JSON.stringify(asked)}`;
}

function judgeVerdict(verdict: Json, { path, body }: Asked): string | undefined {
  const request = record(record(parse(body))?.request);
  if (request === undefined) return verdict.allowed ? 'allowed what is no review' : undefined;
  if (path.startsWith('/mutate')) return judgeMutation(verdict, request);
  const wrong = wrongness(request);
  if (wrong === 'wrong' && verdict.allowed) return 'allowed what parser or rules call wrong';
  if (wrong === 'right' && !verdict.allowed && !isUnreadable(verdict))
    return `denied what parser and rules call right: ${JSON.stringify(verdict.status)}`;
  return undefined;
}

/** `unjudged`: whatever the object is, it cannot make anything worse, or is of no kind of ours. */
type Wrongness = 'wrong' | 'right' | 'unjudged';

function wrongness(request: Json): Wrongness {
  const { operation, subResource, kind, object, oldObject } = request;
  const known = POLICY_KINDS.find((it) => it === record(kind)?.kind);
  const judged = record(object);
  const writes = operation === 'CREATE' || operation === 'UPDATE';
  const sub = typeof subResource === 'string' && subResource !== '';
  if (subResource === 'status' && operation === 'UPDATE') return statusWrongness(request);
  if (!writes || sub || known === undefined || judged === undefined) return 'unjudged';
  const gone = record(judged.metadata)?.deletionTimestamp;
  if (gone !== undefined && gone !== null) return 'unjudged';
  if (operation === 'UPDATE' && isDeepStrictEqual(judged.spec, record(oldObject)?.spec)) return 'unjudged';
  const { group, version } = record(kind) ?? {};
  // A list of one version would read like it.
  if (typeof version === 'string' && version !== 'v1alpha1' && `${group}/${version}` === judged.apiVersion) {
    if (known !== 'CiliumEgressGatewayPolicy' || judged.apiVersion !== 'cilium.io/v2') return 'unjudged';
    return isWrongForCilium(judged) ? 'wrong' : 'right';
  }
  return isWrong(judged, known, operation === 'UPDATE' ? oldObject : undefined) ? 'wrong' : 'right';
}

function statusWrongness({ kind, name, userInfo }: Json): Wrongness {
  const written = record(kind)?.kind;
  if (typeof written !== 'string' || !STATUS_KINDS.includes(written)) return 'unjudged';
  const { username, extra } = record(userInfo) ?? {};
  const nodes = record(extra)?.['authentication.kubernetes.io/node-name'];
  const write = {
    kind: written,
    name: text(name),
    username: text(username),
    nodeName: text(Array.isArray(nodes) ? nodes[0] : undefined),
  };
  return isForeignStatus(write) ? 'wrong' : 'right';
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isUnreadable({ status }: Json): boolean {
  return record(status)?.code === 400;
}

/** Mutation denies some of what is wrong before the schema does, and nothing that is right once it is completed. */
function judgeMutation(verdict: Json, request: Json): string | undefined {
  const completed = { ...request, object: completeObject(request.object) };
  if (!verdict.allowed && !isUnreadable(verdict) && wrongness(completed) !== 'wrong')
    return `mutation denied what is not wrong: ${JSON.stringify(verdict.status)}`;
  return judgePatch(verdict, request);
}

function judgePatch({ patch, allowed }: Json, { object }: Json): string | undefined {
  if (patch === undefined || !allowed) return undefined;
  const operations = parse(Buffer.from(String(patch), 'base64'));
  if (!Array.isArray(operations) || operations.length === 0) return 'an empty patch';
  const once = applyPatch(object, operations);
  const twice = setDefaults(once);
  return twice.length === 0 ? undefined : `a second time it still changes ${JSON.stringify(twice)}`;
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

function record(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
