/** The webhook's real server over TLS on a free port, with a certificate of its own and facts that a test sets. */
import { Agent, request as httpsRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { type IssuedPair, issueCa, issueLeaf } from '../../certs/io/issue.ts';
import { type ClusterFacts, UNKNOWN_FACTS } from '../../policy/facts.ts';
import { parseGatewayNodeFacts, parseNode } from '../../policy/parseFacts.ts';
import { createLogger } from '../../runtime/logger.ts';
import { createSnapshot } from '../../webhook/core/snapshot.ts';
import type { FactsState } from '../../webhook/io/facts.ts';
import { createWebhookMetrics } from '../../webhook/io/metrics.ts';
import { createWebhookServer, type ServerLimits } from '../../webhook/io/server.ts';
import { egressPolicy } from './egressPolicy.ts';

/** The name that certificates carry. */
export const SERVER_NAME = 'sallyport-webhook';

const metadata = { name: 'gw-1', labels: { 'sallyport.dev/gateway': '' } };
const onLink = [{ cidr: '198.51.100.0/24', interfaceName: 'eth0' }];
/** One gateway, which reaches none of the addresses that `createReview` asks for: what it asks is denied. */
export const UNREACHED_FACTS: ClusterFacts = {
  ...UNKNOWN_FACTS,
  policies: [],
  nodes: [parseNode({ metadata })].filter((it) => it !== undefined),
  gateways: [parseGatewayNodeFacts({ metadata, status: { onLink } })].filter((it) => it !== undefined),
};

export interface TestWebhookOptions {
  readonly drainMs?: number;
  readonly lingerMs?: number;
  readonly pause?: (ms: number) => Promise<unknown>;
  readonly facts?: ClusterFacts;
  readonly limits?: Partial<ServerLimits>;
  readonly clientNames?: readonly string[];
  readonly write?: (line: string) => void;
}

export type TestWebhook = Awaited<ReturnType<typeof startTestWebhook>>;

export interface Certificates {
  readonly ca: IssuedPair;
  readonly leaf: IssuedPair;
}

export async function issueCertificates(): Promise<Certificates> {
  const ca = await issueCa(Date.now());
  return { ca, leaf: await issueLeaf(ca, [SERVER_NAME], Date.now()) };
}

export async function startTestWebhook({ ca, leaf }: Certificates, options: TestWebhookOptions = {}) {
  const snapshot = createSnapshot(options.facts ?? UNREACHED_FACTS);
  const world: { facts: FactsState } = { facts: { kind: 'synced', snapshot } };
  const metrics = createWebhookMetrics();
  const { clientNames, limits, pause } = options;
  const server = createWebhookServer({
    port: 0,
    host: '127.0.0.1',
    drainMs: options.drainMs ?? 0,
    lingerMs: options.lingerMs ?? 0,
    facts: () => world.facts,
    metrics,
    logger: createLogger({ program: 'test', level: 'info', write: options.write ?? (() => {}) }),
    ...(clientNames === undefined ? {} : { clientNames }),
    ...(limits === undefined ? {} : { limits }),
    ...(pause === undefined ? {} : { pause }),
  });
  server.useCertificate(leaf);
  const port = await server.listen();
  const agent = new Agent({ ca: ca.certPem, servername: SERVER_NAME, keepAlive: true, maxSockets: 1 });
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ending ??= server.drain().finally(() => agent.destroy());
    return ending;
  };
  return { server, world, metrics, port, agent, end };
}

export interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly reusedSocket: boolean;
  /** Of the certificate that was served. */
  readonly serial: string;
}

export interface Sent {
  /** A list is sent in so many chunks, without a length. */
  readonly body?: string | Uint8Array | readonly string[];
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** GET without a body, POST of JSON with one. Rejects where the connection breaks. */
export function send(
  { port, agent }: Pick<TestWebhook, 'port' | 'agent'>,
  path: string,
  sent: Sent = {},
): Promise<Reply> {
  const { body } = sent;
  const chunks = body === undefined ? [] : Array.isArray(body) ? body : [body as string | Uint8Array];
  const framing = Array.isArray(body)
    ? { 'transfer-encoding': 'chunked' }
    : { 'content-length': String(chunks.reduce((sum, chunk) => sum + Buffer.byteLength(chunk), 0)) };
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest({
      agent,
      port,
      host: '127.0.0.1',
      path,
      method: sent.method ?? (body === undefined ? 'GET' : 'POST'),
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json', ...framing }),
        ...sent.headers,
      },
    });
    let answered = false;
    outgoing.on('error', (error) => {
      if (!answered) reject(error);
    });
    outgoing.on('response', (response) => {
      answered = true;
      const parts: Buffer[] = [];
      // Every socket of an HTTPS agent is one of TLS.
      const serial = (response.socket as TLSSocket).getPeerX509Certificate()?.serialNumber ?? '';
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(parts).toString(),
          headers: response.headers,
          reusedSocket: outgoing.reusedSocket,
          serial,
        }),
      );
    });
    for (const chunk of chunks) outgoing.write(chunk);
    outgoing.end();
  });
}

/** A create of an EgressPolicy. */
export function createReview(uid: string, cidr = '203.0.113.10/32') {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid,
      kind: { group: 'sallyport.dev', version: 'v1alpha1', kind: 'EgressPolicy' },
      operation: 'CREATE',
      object: egressPolicy('a', [{ cidr }]),
    },
  };
}

/** The first line of a metric that begins like this. */
export async function metricLine(
  { metrics }: Pick<TestWebhook, 'metrics'>,
  beginning: string,
): Promise<string> {
  const text = await metrics.registry.metrics();
  return text.split('\n').find((line) => line.startsWith(beginning)) ?? '';
}
