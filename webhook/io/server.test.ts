import { Agent, request as httpsRequest } from 'node:https';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { type IssuedPair, issueCa, issueLeaf } from '../../certs/io/issue.ts';
import { UNKNOWN_FACTS } from '../../policy/facts.ts';
import type { ClusterFacts } from '../../policy/model.ts';
import { parseGatewayNodeFacts, parseNode } from '../../policy/parseFacts.ts';
import { createLogger } from '../../runtime/logger.ts';
import { createSnapshot } from '../core/snapshot.ts';
import type { FactsState } from './facts.ts';
import { createWebhookMetrics } from './metrics.ts';
import { BODY_BYTES_MAX, createWebhookServer } from './server.ts';

const metadata = { name: 'gw-1', labels: { 'sallyport.dev/gateway': '' } };
const onLink = [{ cidr: '198.51.100.0/24', interfaceName: 'eth0' }];
/** A gateway that reaches none of the addresses that are asked for here. */
const facts: ClusterFacts = {
  ...UNKNOWN_FACTS,
  policies: [],
  nodes: [parseNode({ metadata })].filter((it) => it !== undefined),
  gateways: [parseGatewayNodeFacts({ metadata, status: { onLink } })].filter((it) => it !== undefined),
};
const SYNCED: FactsState = { kind: 'synced', snapshot: createSnapshot(facts) };
const silent = createLogger({ program: 'test', level: 'error', write: () => {} });

let ca: IssuedPair;
let leaf: IssuedPair;
beforeAll(async () => {
  ca = await issueCa(Date.now());
  leaf = await issueLeaf(ca, ['sallyport-webhook'], Date.now());
});
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startServer(options: { readonly drainMs?: number; readonly certificate?: boolean } = {}) {
  const world: { facts: FactsState } = { facts: SYNCED };
  const metrics = createWebhookMetrics();
  const server = createWebhookServer({
    port: 0,
    host: '127.0.0.1',
    drainMs: options.drainMs ?? 0,
    facts: () => world.facts,
    metrics,
    logger: silent,
  });
  if (options.certificate !== false) server.useCertificate(leaf);
  const port = await server.listen();
  const agent = new Agent({
    ca: ca.certPem,
    servername: 'sallyport-webhook',
    keepAlive: true,
    maxSockets: 1,
  });
  let ended = false;
  const end = async (): Promise<void> => {
    if (!ended) await server.drain();
    ended = true;
  };
  cleanups.push(end, () => agent.destroy());
  return { server, world, metrics, port, agent, end };
}
type Started = Awaited<ReturnType<typeof startServer>>;

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly connection: string | undefined;
  readonly reusedSocket: boolean;
  readonly serial: string;
}
interface Sent {
  readonly body?: string;
  readonly type?: string;
}
function send(
  { port, agent }: Pick<Started, 'port' | 'agent'>,
  path: string,
  sent: Sent = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest({
      agent,
      port,
      host: '127.0.0.1',
      path,
      method: sent.body === undefined ? 'GET' : 'POST',
      headers:
        sent.body === undefined
          ? {}
          : {
              'content-type': sent.type ?? 'application/json',
              'content-length': Buffer.byteLength(sent.body),
            },
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      const socket = response.socket as unknown as {
        getPeerX509Certificate(): { serialNumber: string } | undefined;
      };
      const serial = socket.getPeerX509Certificate()?.serialNumber ?? '';
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString(),
          connection: response.headers.connection,
          reusedSocket: outgoing.reusedSocket,
          serial,
        }),
      );
    });
    outgoing.end(sent.body);
  });
}

function review(uid: string, cidr = '203.0.113.10/32'): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid,
      kind: { group: 'sallyport.dev', version: 'v1alpha1', kind: 'EgressPolicy' },
      operation: 'CREATE',
      object: {
        apiVersion: 'sallyport.dev/v1alpha1',
        kind: 'EgressPolicy',
        metadata: { name: 'a' },
        spec: {
          selectors: [{ matchLabels: { app: 'a' } }],
          destinationCIDRs: ['0.0.0.0/0'],
          egressGateway: { ippools: [{ cidr }] },
        },
      },
    },
  });
}
async function counted(started: Started, metric: string): Promise<string> {
  const text = await started.metrics.registry.metrics();
  return text.split('\n').find((line) => line.startsWith(metric)) ?? '';
}

test('a denial is a 200 with the uid, code 403 and the reason', async () => {
  const started = await startServer();
  const answer = await send(started, '/validate?timeout=10s', { body: review('uid-7') });
  expect(answer.status).toBe(200);
  expect(JSON.parse(answer.body)).toMatchObject({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid: 'uid-7',
      allowed: false,
      status: { code: 403, message: expect.stringContaining('(pool-unroutable)') },
    },
  });
  expect(await counted(started, 'sallyport_webhook_decisions_total{')).toContain('operation="CREATE"} 1');
});

test('defaults come as a JSON patch, and mutation needs no facts', async () => {
  const started = await startServer();
  started.world.facts = { kind: 'waiting', reason: 'nodes' };
  const answer = await send(started, '/mutate', { body: review('uid-8', '203.0.113.10') });
  const { response } = JSON.parse(answer.body);
  expect(response).toMatchObject({ uid: 'uid-8', allowed: true, patchType: 'JSONPatch' });
  const patch = JSON.parse(Buffer.from(response.patch, 'base64').toString());
  expect(patch).toContainEqual(
    expect.objectContaining({ path: expect.stringMatching(/strategy$/), value: 'Distribute' }),
  );
});

test.each([
  { name: 'what is not JSON', sent: { body: '{' }, status: 400, reason: 'syntax' },
  { name: 'what is not a review', sent: { body: '{}' }, status: 400, reason: 'review' },
  { name: 'a text body', sent: { body: 'x', type: 'text/plain' }, status: 415, reason: 'content-type' },
  {
    name: 'a body over the limit',
    sent: { body: JSON.stringify('x'.repeat(BODY_BYTES_MAX)) },
    status: 413,
    reason: 'too-large',
  },
])('$name is refused and counted, and the server lives on', async ({ sent, status, reason }) => {
  const started = await startServer();
  expect((await send(started, '/validate', sent)).status).toBe(status);
  expect(await counted(started, `sallyport_webhook_malformed_total{reason="${reason}"}`)).toMatch(/ 1$/);
  expect((await send(started, '/healthz')).status).toBe(200);
});

test('a review far over the default of body parsers is decided', async () => {
  const started = await startServer();
  const large = JSON.parse(review('uid-9'));
  large.request.oldObject = { note: 'x'.repeat(6 * 1024 * 1024) };
  expect((await send(started, '/validate', { body: JSON.stringify(large) })).status).toBe(200);
});

test('an answer past the deadline that the API server gave is an error, not a verdict', async () => {
  const started = await startServer();
  expect((await send(started, '/validate?timeout=0ms', { body: review('uid-10') })).status).toBe(504);
  expect((await send(started, '/validate?timeout=10s', { body: review('uid-11') })).status).toBe(200);
});

test('it is ready only with facts and a certificate, and decides nothing before', async () => {
  const started = await startServer();
  expect((await send(started, '/readyz')).status).toBe(200);
  started.world.facts = { kind: 'waiting', reason: 'nodes are not synced' };
  expect(await send(started, '/readyz')).toMatchObject({ status: 503, body: 'nodes are not synced\n' });
  expect((await send(started, '/validate', { body: review('u') })).status).toBe(503);
});

test('connections are kept, and a new certificate holds for new ones only', async () => {
  const started = await startServer();
  const first = await send(started, '/healthz');
  const renewed = await issueLeaf(ca, ['sallyport-webhook'], Date.now());
  started.server.useCertificate(renewed);
  const kept = await send(started, '/healthz');
  expect(kept).toMatchObject({ reusedSocket: true, status: 200 });
  started.agent.destroy();
  const fresh = await send(started, '/healthz');
  expect(fresh.reusedSocket).toBe(false);
  expect(fresh.serial).not.toBe(first.serial);
});

test('a pair that does not match is thrown back and the old certificate stays', async () => {
  const started = await startServer();
  expect(() => started.server.useCertificate({ certPem: leaf.certPem, keyPem: ca.keyPem })).toThrow();
  expect((await send(started, '/readyz')).status).toBe(200);
});

test('while draining it is unready, still decides, and closes each connection it answers', async () => {
  const started = await startServer({ drainMs: 300 });
  expect((await send(started, '/healthz')).connection).toBe('keep-alive');
  const ended = started.end();
  const ready = await send(started, '/readyz');
  expect(ready).toMatchObject({ status: 503, body: 'draining\n', connection: 'close' });
  const decided = await send(started, '/validate', { body: review('uid-late') });
  expect(decided).toMatchObject({ status: 200, connection: 'close', reusedSocket: false });
  await ended;
  await expect(send(started, '/healthz')).rejects.toThrow();
});
