/**
 * The HTTPS server around the routes: certificates that change while it runs, connections that are bounded in number and
 * in slowness, and an end that loses no request.
 */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from '../../runtime/logger.ts';
import type { FactsState } from './facts.ts';
import { limitConnections } from './limitConnections.ts';
import { createLoadBudget, LOAD_LIMITS, type LoadLimits } from './loadBudget.ts';
import type { LookAtRivals } from './lookAtRivals.ts';
import type { WebhookMetrics } from './metrics.ts';
import { createReviewApp } from './reviewApp.ts';
import { trackConnections } from './trackConnections.ts';

/** API servers keep idle connections for 90 s; whoever closes first gives the other a random EOF. */
const KEEP_ALIVE_MS = 95_000;
/** API servers send a review at once. */
const HEADERS_TIMEOUT_MS = 10_000;
/** The longest that an API server waits; the deadline of the request itself comes before. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Of a connection on which neither side gets anything through in the midst of a request. */
const STALL_TIMEOUT_MS = 30_000;
/** Node looks for slow requests this often; its default of 30 s would add that to each limit. */
const CHECK_INTERVAL_MS = 1000;
/** An API server has at most 600 requests in flight by default, of which reviews of policies are the fewest. */
const CONNECTIONS_PER_ADDRESS_MAX = 400;
/** Three API servers at their limit would be too many all the same; each open connection costs about 50 KiB. */
const CONNECTIONS_MAX = 1000;
/** After the drain: what still sends a request then gets so long to finish. */
const FINISH_MS = 5000;

export interface ServerLimits extends LoadLimits {
  readonly handshakeMs: number;
  readonly headersMs: number;
  readonly requestMs: number;
  readonly stallMs: number;
  readonly checkIntervalMs: number;
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  readonly finishMs: number;
}

export const SERVER_LIMITS: ServerLimits = {
  ...LOAD_LIMITS,
  handshakeMs: HEADERS_TIMEOUT_MS,
  headersMs: HEADERS_TIMEOUT_MS,
  requestMs: REQUEST_TIMEOUT_MS,
  stallMs: STALL_TIMEOUT_MS,
  checkIntervalMs: CHECK_INTERVAL_MS,
  connectionsMax: CONNECTIONS_MAX,
  connectionsPerAddressMax: CONNECTIONS_PER_ADDRESS_MAX,
  finishMs: FINISH_MS,
};

export interface WebhookServerOptions {
  /** 0 takes a free port. */
  readonly port: number;
  readonly host?: string;
  /** How long the server at least goes on when it is to end, for those who do not know yet, in milliseconds. */
  readonly drainMs: number;
  /**
   * How long it then at most waits for its clients to close what they keep, in milliseconds. No server can close an idle
   * connection without a risk: a request may be on its way.
   */
  readonly lingerMs: number;
  readonly facts: () => FactsState;
  /** Absent: a denial rests on what the caches say. */
  readonly lookAtRivals?: LookAtRivals;
  readonly metrics: WebhookMetrics;
  readonly logger: Logger;
  /** Names in client certificates that may ask for reviews. Absent: whoever reaches the port may. */
  readonly clientNames?: readonly string[];
  readonly limits?: Partial<ServerLimits>;
  /** Waits so many milliseconds; a test may decide what that means. */
  readonly pause?: (ms: number) => Promise<unknown>;
}

export interface WebhookServer {
  /** Resolves with the port. */
  listen(): Promise<number>;
  /** For new connections. Throws on a pair that does not match, and goes on serving the one before. */
  useCertificate(pair: CertificatePair): void;
  /** Whose client certificates are believed, where names are configured. For new connections. */
  useClientBundle(pem: string): void;
  /** Unready at once, closing connections as they are used, ended when it resolves: soon after the last one is gone. */
  drain(): Promise<void>;
}

interface CertificatePair {
  readonly certPem: string;
  readonly keyPem: string;
}

interface ServerState {
  pair: CertificatePair | undefined;
  clientBundle: string | undefined;
  draining: boolean;
}

export function createWebhookServer(options: WebhookServerOptions): WebhookServer {
  const limits = { ...SERVER_LIMITS, ...options.limits };
  const pause = options.pause ?? ((ms: number) => setTimeout(ms, undefined, { ref: false }));
  const state: ServerState = { pair: undefined, clientBundle: undefined, draining: false };
  const server = createLimitedServer(options, { limits, state });
  const connections = trackConnections(server);
  const apply = (next: Partial<ServerState>): void => {
    const { pair, clientBundle } = { ...state, ...next };
    if (pair !== undefined) server.setSecureContext(secureContext(pair, clientBundle));
    Object.assign(state, next);
  };
  return {
    listen: () => listen(server, options),
    useCertificate: (pair) => apply({ pair }),
    useClientBundle: (clientBundle) => apply({ clientBundle }),
    drain: async () => {
      state.draining = true;
      await pause(options.drainMs);
      await Promise.race([connections.untilNone(), pause(options.lingerMs)]);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setInterval(() => server.closeAllConnections(), limits.finishMs);
      await closed;
      clearInterval(timer);
    },
  };
}

const MIN_VERSION = 'TLSv1.2';

function secureContext({ certPem, keyPem }: CertificatePair, clientBundle: string | undefined) {
  const ca = clientBundle === undefined ? {} : { ca: clientBundle };
  return { cert: certPem, key: keyPem, minVersion: MIN_VERSION, ...ca } as const;
}

function createLimitedServer(
  options: WebhookServerOptions,
  { limits, state }: { readonly limits: ServerLimits; readonly state: ServerState },
): Server {
  const { clientNames, lookAtRivals } = options;
  const app = createReviewApp({
    ...options,
    clientNames,
    lookAtRivals,
    budget: createLoadBudget(limits),
    draining: () => state.draining,
    whyNotReady: () => {
      if (state.draining) return 'draining';
      return state.pair === undefined ? 'no certificate yet' : undefined;
    },
  });
  const server = createServer(
    {
      minVersion: MIN_VERSION,
      handshakeTimeout: limits.handshakeMs,
      connectionsCheckingInterval: limits.checkIntervalMs,
      // Asked for and looked at by the routes: probes and scrapes have none.
      ...(clientNames === undefined ? {} : { requestCert: true, rejectUnauthorized: false }),
    },
    app,
  );
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = limits.headersMs;
  server.requestTimeout = limits.requestMs;
  server.timeout = limits.stallMs;
  server.maxConnections = limits.connectionsMax;
  limitConnections(server, limits.connectionsPerAddressMax);
  return server;
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
