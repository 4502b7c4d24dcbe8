/**
 * The HTTPS server: /validate and /mutate for API servers, /healthz, /readyz and /metrics for the cluster. Answers 200
 * with the request's uid for every review it decides, denials too. What it cannot decide it does not guess.
 */
import { X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import type { Logger } from '../../runtime/logger.ts';
import { decideMutation, renderMutation } from '../core/mutate.ts';
import {
  type AdmissionReview,
  type Decision,
  parseReview,
  type ReviewRequest,
  renderReview,
} from '../core/review.ts';
import type { FactsState } from './facts.ts';
import { decideOnSight, type LookAtRivals } from './lookAtRivals.ts';
import type { Endpoint, RefusedRequest, WebhookMetrics } from './metrics.ts';

/** Object and old object of 3 MiB each, which is what API servers take, and the envelope. */
export const BODY_BYTES_MAX = 8 * 1024 * 1024;
/** API servers keep idle connections for 90 s; whoever closes first gives the other a random EOF. */
const KEEP_ALIVE_MS = 95_000;
/** Bounds on slow clients; API servers send a review at once and give up after 30 s. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;

/** Where a response keeps when its request's headers came: a body that trickles in uses up the deadline too. */
const ARRIVED_MS = 'arrivedMs';

export interface WebhookServerOptions {
  /** 0 takes a free port. */
  readonly port: number;
  readonly host?: string;
  /** How long every answer says `Connection: close` before the server ends, in milliseconds. */
  readonly drainMs: number;
  readonly facts: () => FactsState;
  /** Absent: a denial rests on what the caches say. */
  readonly lookAtRivals?: LookAtRivals;
  readonly metrics: WebhookMetrics;
  readonly logger: Logger;
}

export interface WebhookServer {
  /** Resolves with the port. */
  listen(): Promise<number>;
  /** Throws on a pair that does not match, and goes on serving the one before. */
  useCertificate(pair: { readonly certPem: string; readonly keyPem: string }): void;
  /** Unready at once, closing connections as they are used, ended when it resolves. */
  drain(): Promise<void>;
}

interface ServerState {
  certificateLoaded: boolean;
  draining: boolean;
}

export function createWebhookServer(options: WebhookServerOptions): WebhookServer {
  const state: ServerState = { certificateLoaded: false, draining: false };
  const server = createServer({ minVersion: 'TLSv1.2' }, createApp(options, state));
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  return {
    listen: () => listen(server, options),
    useCertificate: ({ certPem, keyPem }) => {
      server.setSecureContext({ cert: certPem, key: keyPem, minVersion: 'TLSv1.2' });
      state.certificateLoaded = true;
      options.metrics.certificateLoaded(new X509Certificate(certPem).validToDate.getTime());
    },
    drain: async () => {
      state.draining = true;
      await new Promise((resolve) => setTimeout(resolve, options.drainMs));
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      await closed;
    },
  };
}

async function listen(server: Server, { port, host }: WebhookServerOptions): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port; // a listening TCP server always has one
}

function createApp(options: WebhookServerOptions, state: ServerState): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('env', 'production');
  app.use((_request, response, next) => {
    response.locals[ARRIVED_MS] = performance.now();
    if (state.draining) response.set('Connection', 'close');
    next();
  });
  app.get('/healthz', (_request, response) => void response.type('text').send('ok\n'));
  app.get('/readyz', (_request, response) => {
    const reason = whyNotReady(options.facts(), state);
    response.status(reason === undefined ? 200 : 503).type('text');
    response.send(`${reason ?? 'ok'}\n`);
  });
  app.get('/metrics', async (_request, response) => {
    const { registry } = options.metrics;
    response.type(registry.contentType).send(await registry.metrics());
  });
  const parseBody = express.json({ limit: BODY_BYTES_MAX, type: 'application/json' });
  const refuse = refuser(options);
  const jsonOnly: RequestHandler = (request, response, next) => {
    if (request.is('application/json') === 'application/json') next();
    else refuse(response, 'content-type', 'send application/json');
  };
  app.post('/validate', jsonOnly, parseBody, reviewHandler(options, 'validate', validate));
  app.post('/mutate', jsonOnly, parseBody, reviewHandler(options, 'mutate', mutate));
  app.use(bodyErrors(options));
  return app;
}

function whyNotReady(facts: FactsState, state: ServerState): string | undefined {
  if (state.draining) return 'draining';
  if (!state.certificateLoaded) return 'no certificate yet';
  return facts.kind === 'waiting' ? facts.reason : undefined;
}

/** Gives back a reason instead of a review where it cannot decide now. */
type Reviewer = (
  request: ReviewRequest,
  options: WebhookServerOptions,
) => Promise<AdmissionReview | { readonly notReady: string }>;

async function validate(request: ReviewRequest, options: WebhookServerOptions): ReturnType<Reviewer> {
  const state = options.facts();
  if (state.kind === 'waiting') return { notReady: state.reason };
  return answer(request, await decideOnSight(request, state.snapshot, options.lookAtRivals), options);
}

function answer(
  request: ReviewRequest,
  decision: Decision,
  { metrics, logger }: WebhookServerOptions,
): AdmissionReview {
  metrics.decided(decision, request.operation);
  const { kind, name, operation, dryRun } = request;
  if (decision.unjudged === 'unknown-kind')
    logger.warn('asked about a kind that is not ours', { kind, name });
  if (!decision.allowed) {
    const codes = decision.violations.map(({ code }) => code);
    logger.info('denied', { kind, name, operation, dryRun, codes });
  }
  return renderReview(request.uid, decision);
}

async function mutate(request: ReviewRequest, options: WebhookServerOptions): Promise<AdmissionReview> {
  const state = options.facts();
  const mutation = decideMutation(request, state.kind === 'synced' ? state.snapshot : undefined);
  if (mutation.kind === 'refused') return answer(request, mutation.decision, options);
  return renderMutation(request.uid, mutation.patch, (text) => Buffer.from(text).toString('base64'));
}

function reviewHandler(options: WebhookServerOptions, endpoint: Endpoint, review: Reviewer): RequestHandler {
  const refuse = refuser(options);
  return async (request, response) => {
    const startedMs = performance.now();
    const parsed = parseReview(request.body);
    if (parsed.kind === 'refused') return refuse(response, 'review', parsed.error);
    const answered = await review(parsed.value, options);
    if ('notReady' in answered) return refuse(response, 'not-ready', answered.notReady);
    const tookMs = performance.now() - startedMs;
    options.metrics.took(endpoint, tookMs / 1000);
    const waitedMs = performance.now() - Number(response.locals[ARRIVED_MS]);
    if (waitedMs > deadlineMs(request.query.timeout))
      return refuse(response, 'late', 'the deadline of the request has passed');
    response.json(answered);
  };
}

/** `?timeout=10s` as API servers send it (Go's duration, whole seconds or milliseconds); without one, no deadline. */
function deadlineMs(timeout: unknown): number {
  const [, amount, unit] = typeof timeout === 'string' ? (/^(\d{1,6})(ms|s)$/.exec(timeout) ?? []) : [];
  if (amount === undefined) return Number.POSITIVE_INFINITY;
  return Number(amount) * (unit === 's' ? 1000 : 1);
}

const REFUSAL_STATUS: Readonly<Record<RefusedRequest, number>> = {
  syntax: 400,
  review: 400,
  'too-large': 413,
  'content-type': 415,
  'not-ready': 503,
  late: 504,
};

type Refuse = (response: express.Response, reason: RefusedRequest, message: string) => void;

function refuser({ metrics, logger }: WebhookServerOptions): Refuse {
  return (response, reason, message) => {
    metrics.refusedRequest(reason);
    logger.warn('a review was not decided', { reason, message });
    // What is left of a refused body must not be taken for the next request.
    if (reason === 'too-large' || reason === 'content-type') response.set('Connection', 'close');
    response.status(REFUSAL_STATUS[reason]).json({ error: message });
  };
}

function bodyErrors(options: WebhookServerOptions): ErrorRequestHandler {
  const refuse = refuser(options);
  return (error: { readonly type?: unknown; readonly status?: unknown }, _request, response, _next) => {
    if (error.type === 'entity.too.large')
      return refuse(response, 'too-large', `the body exceeds ${BODY_BYTES_MAX} bytes`);
    if (typeof error.status === 'number' && error.status < 500)
      return refuse(response, 'syntax', 'the body is not JSON');
    options.logger.error('a request failed', { error });
    response.status(500).json({ error: 'internal error' });
  };
}
