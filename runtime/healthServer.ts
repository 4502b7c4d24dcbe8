/** Plain HTTP for the kubelet and for Prometheus: /healthz, /readyz and /metrics, nothing else. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { collectDefaultMetrics, type Registry } from 'prom-client';
import type { Logger } from './logger.ts';

/** Undefined: well. A text: why not. */
export type HealthCheck = () => string | undefined;
export type HealthChecks = Readonly<Record<string, HealthCheck>>;

export interface HealthServerOptions {
  /** 0 takes a free port. */
  readonly port: number;
  readonly host?: string;
  /** Unwell here: the kubelet restarts the container. So only what a restart can cure. */
  readonly liveness: HealthChecks;
  /** Unwell here: no traffic, and a rollout waits. */
  readonly readiness: HealthChecks;
  readonly registry: Registry;
  /** Node's own figures (memory, event loop, garbage collection) in the registry. Default true. */
  readonly defaultMetrics?: boolean;
  readonly logger: Logger;
}

export interface HealthServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** Kubelet and a few scrapers; more is an accident or an attack. */
const CONNECTIONS_MAX = 64;
/** Requests here have no body; who takes longer is not served. */
const REQUEST_TIMEOUT_MS = 5000;

/** Rejects where the port cannot be listened on. */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  if (options.defaultMetrics !== false) collectDefaultMetrics({ register: options.registry });
  const server = createServer(
    { headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'GET only\n');
      const path = (request.url ?? '').split('?')[0];
      if (path === '/healthz') return answerChecks(response, options.liveness);
      if (path === '/readyz') return answerChecks(response, options.readiness);
      if (path === '/metrics') return void answerMetrics(response, options);
      return answer(response, 404, 'not found\n');
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  const port = await listen(server, options);
  return {
    port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, { port, host }: HealthServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(address === null || typeof address === 'string' ? port : address.port);
    });
  });
}

/** All checks by name, one a line, so that `kubectl describe pod` shows the reason. */
function answerChecks(response: ServerResponse, checks: HealthChecks): void {
  const reasons = Object.entries(checks).map(([name, check]) => ({ name, reason: run(check) }));
  const lines = reasons.map(({ name, reason }) => `${name}: ${reason ?? 'ok'}\n`);
  const well = reasons.every(({ reason }) => reason === undefined);
  answer(response, well ? 200 : 503, lines.length === 0 ? 'ok\n' : lines.join(''));
}

function run(check: HealthCheck): string | undefined {
  try {
    return check();
  } catch (error) {
    return `the check itself failed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function answerMetrics(
  response: ServerResponse,
  { registry, logger }: HealthServerOptions,
): Promise<void> {
  try {
    const text = await registry.metrics();
    response.writeHead(200, { 'content-type': registry.contentType }).end(text);
  } catch (error) {
    logger.error('metrics could not be collected', { error });
    answer(response, 500, 'metrics could not be collected\n');
  }
}

function answer(response: ServerResponse, status: number, text: string): void {
  response
    .writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' })
    .end(text);
}
