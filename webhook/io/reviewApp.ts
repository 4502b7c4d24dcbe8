/**
 * The routes: /validate and /mutate for API servers, /healthz, /readyz and /metrics for the cluster. Answers 200 with the
 * request's uid for every review it decides, denials too. What it cannot decide it does not guess.
 */
import { performance } from 'node:perf_hooks';
import express, { type ErrorRequestHandler, type Express, type Request, type Response } from 'express';
import type { Logger } from '../../runtime/logger.ts';
import { decideMutation, renderMutation } from '../core/mutate.ts';
import { parseTimeout } from '../core/parseTimeout.ts';
import type { Refusal } from '../core/refusal.ts';
import {
  type AdmissionReview,
  type Decision,
  isReviewV1,
  parseReview,
  type ReviewRequest,
  renderReview,
} from '../core/review.ts';
import { DEPTH_MAX, findUid, nestsTooDeep } from '../core/scanReview.ts';
import { createRefuse, type RefusalAnswer, type Refuse } from './answerRefusal.ts';
import { whyNotAllowed } from './clientCheck.ts';
import type { FactsState } from './facts.ts';
import type { LoadBudget } from './loadBudget.ts';
import { logSparingly, type SparingLog } from './logSparingly.ts';
import { decideOnSight, type LookAtRivals } from './lookAtRivals.ts';
import type { Endpoint, WebhookMetrics } from './metrics.ts';
import { BODY_BYTES_MAX, readBody } from './readBody.ts';

export interface ReviewAppOptions {
  readonly facts: () => FactsState;
  /** Undefined: a denial rests on what the caches say. */
  readonly lookAtRivals: LookAtRivals | undefined;
  readonly metrics: WebhookMetrics;
  readonly logger: Logger;
  readonly budget: LoadBudget;
  /** Names in client certificates that may ask for reviews; undefined: everybody may. */
  readonly clientNames: readonly string[] | undefined;
  readonly draining: () => boolean;
  /** Why no review can be answered, beside the facts. */
  readonly whyNotReady: () => string | undefined;
}

interface Context extends ReviewAppOptions {
  readonly log: SparingLog;
  readonly refuse: Refuse;
}

/** A review that is answered, or why it is not. */
type Answer = { readonly review: AdmissionReview } | RefusalAnswer;

export function createReviewApp(options: ReviewAppOptions): Express {
  const log = logSparingly(options.logger);
  const context: Context = { ...options, log, refuse: createRefuse({ metrics: options.metrics, log }) };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('env', 'production');
  app.use((_request, response, next) => {
    if (options.draining()) response.set('Connection', 'close');
    next();
  });
  app.get('/healthz', (_request, response) => void response.type('text').send('ok\n'));
  app.get('/readyz', (_request, response) => {
    const reason = whyUnready(options);
    response.status(reason === undefined ? 200 : 503).type('text');
    response.send(`${reason ?? 'ok'}\n`);
  });
  app.get('/metrics', async (_request, response) => {
    const { registry } = options.metrics;
    response.type(registry.contentType).send(await registry.metrics());
  });
  app.post('/validate', (request, response) => serveReview(context, 'validate', { request, response }));
  app.post('/mutate', (request, response) => serveReview(context, 'mutate', { request, response }));
  app.all(['/validate', '/mutate'], (request, response) => {
    response.set('Allow', 'POST');
    context.refuse(request, response, { reason: 'method', message: 'reviews are sent by POST' });
  });
  app.use((request, response) => {
    context.refuse(request, response, { reason: 'no-route', message: 'nothing is served here' });
  });
  app.use(answerErrors(context));
  return app;
}

function whyUnready({ facts, whyNotReady }: ReviewAppOptions): string | undefined {
  const reason = whyNotReady();
  if (reason !== undefined) return reason;
  const state = facts();
  return state.kind === 'waiting' ? state.reason : undefined;
}

interface Exchange {
  readonly request: Request;
  readonly response: Response;
}

async function serveReview(
  context: Context,
  endpoint: Endpoint,
  { request, response }: Exchange,
): Promise<void> {
  const arrivedMs = performance.now();
  const budgetMs = parseTimeout(request.query.timeout);
  const refuse = (answer: RefusalAnswer): void => context.refuse(request, response, answer);
  const unwelcome = whyUnwelcome(request, context);
  if (unwelcome !== undefined) return refuse(unwelcome);
  const lease = context.budget.begin();
  if (lease === undefined) return refuse({ reason: 'busy', message: PROBLEMS.busy });
  try {
    const body = await readBody(request, lease, budgetMs);
    if (body.kind === 'gone') return;
    if (body.kind === 'refused') return refuse({ reason: body.reason, message: PROBLEMS[body.reason] });
    const beganMs = performance.now();
    const answer = await answerReview(body.bytes, endpoint, context);
    const endedMs = performance.now();
    if ('reason' in answer) return refuse(answer);
    context.metrics.took(endpoint, (endedMs - beganMs) / 1000);
    if (endedMs - arrivedMs >= budgetMs) return refuse({ reason: 'late', message: PROBLEMS.late });
    // It may have begun while the body was coming.
    if (context.draining()) response.set('Connection', 'close');
    response.json(answer.review);
  } finally {
    lease.release();
  }
}

const PROBLEMS = {
  busy: 'too many requests, or too many bytes of them, are under way; ask again',
  'too-large': `the body exceeds ${BODY_BYTES_MAX} bytes`,
  late: 'the deadline of the request has passed or is too near',
} as const;

/** What can be refused before the body is read. */
function whyUnwelcome(request: Request, { clientNames }: Context): RefusalAnswer | undefined {
  const stranger = clientNames === undefined ? undefined : whyNotAllowed(request.socket, clientNames);
  if (stranger !== undefined) return { reason: 'client', message: stranger };
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers;
  const [mime = '', ...parameters] = type.toLowerCase().split(';');
  const plain = parameters.every((parameter) => /^\s*charset\s*=\s*"?utf-8"?\s*$/.test(parameter));
  if (mime.trim() === 'application/json' && plain && encoding === 'identity') return undefined;
  return { reason: 'content-type', message: 'send application/json in UTF-8, not compressed' };
}

async function answerReview(bytes: Buffer, endpoint: Endpoint, context: Context): Promise<Answer> {
  const unreadable = (reason: Refusal, message: string): RefusalAnswer => ({
    reason,
    message,
    uid: findUid(bytes),
  });
  if (nestsTooDeep(bytes)) return unreadable('too-deep', `the body nests deeper than ${DEPTH_MAX} levels`);
  const raw = parseJson(bytes);
  if (raw === undefined) return unreadable('syntax', 'the body is not JSON in UTF-8');
  const parsed = parseReview(raw);
  if (parsed.kind === 'refused') return unreadable(isReviewV1(raw) ? 'review' : 'version', parsed.error);
  return endpoint === 'validate' ? validate(parsed.value, context) : mutate(parsed.value, context);
}

const UTF_8 = new TextDecoder('utf-8', { fatal: true });

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(UTF_8.decode(bytes));
  } catch {
    return undefined; // JSON itself has no undefined.
  }
}

async function validate(request: ReviewRequest, context: Context): Promise<Answer> {
  const state = context.facts();
  if (state.kind === 'waiting') return { reason: 'not-ready', message: state.reason };
  return answerDecision(request, await decideOnSight(request, state.snapshot, context.lookAtRivals), context);
}

function mutate(request: ReviewRequest, context: Context): Answer {
  const state = context.facts();
  const mutation = decideMutation(request, state.kind === 'synced' ? state.snapshot : undefined);
  if (mutation.kind === 'refused') return answerDecision(request, mutation.decision, context);
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  return { review: renderMutation(request.uid, mutation.patch, encode) };
}

function answerDecision(request: ReviewRequest, decision: Decision, { metrics, log }: Context): Answer {
  metrics.decided(decision, request.operation);
  const { kind, name, operation, dryRun } = request;
  if (decision.unjudged === 'unknown-kind') log.warn('asked about a kind that is not ours', { kind, name });
  if (!decision.allowed) {
    const codes = [...new Set(decision.violations.map(({ code }) => code))];
    log.info('denied', { kind, name, operation, dryRun, codes });
  }
  return { review: renderReview(request.uid, decision) };
}

function answerErrors({ logger, refuse }: Context): ErrorRequestHandler {
  return (error: { readonly status?: unknown }, request, response, _next) => {
    if (typeof error.status === 'number' && error.status < 500)
      return refuse(request, response, { reason: 'no-route', message: 'the address cannot be read' });
    logger.error('a request failed', { error });
    refuse(request, response, { reason: 'internal', message: 'internal error' });
  };
}
