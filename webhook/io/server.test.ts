/** Certificates, readiness, and an end that loses nothing. */
import { Agent } from 'node:https';
import { connect } from 'node:tls';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { issueLeaf } from '../../certs/io/issue.ts';
import {
  type Certificates,
  createReview,
  issueCertificates,
  SERVER_NAME,
  send,
  startTestWebhook,
  type TestWebhook,
  type TestWebhookOptions,
} from '../../test/lab/testWebhook.ts';

let certificates: Certificates;
beforeAll(async () => {
  certificates = await issueCertificates();
});
const running: TestWebhook[] = [];
afterEach(async () => {
  for (const webhook of running.splice(0)) await webhook.end();
});
async function start(options: TestWebhookOptions = {}): Promise<TestWebhook> {
  const webhook = await startTestWebhook(certificates, options);
  running.push(webhook);
  return webhook;
}
const text = (uid: string): string => JSON.stringify(createReview(uid));

test('it is ready only with facts and a certificate, and decides nothing before', async () => {
  const webhook = await start();
  expect((await send(webhook, '/readyz')).status).toBe(200);
  webhook.world.facts = { kind: 'waiting', reason: 'nodes are not synced' };
  expect(await send(webhook, '/readyz')).toMatchObject({ status: 503, body: 'nodes are not synced\n' });
  const asked = await send(webhook, '/validate', { body: text('u') });
  // An API server that is told to ask again does so on a new connection, which may reach a replica that is ready.
  expect(asked).toMatchObject({ status: 503, headers: { 'retry-after': '1', connection: 'close' } });
});

test('idle connections are kept for longer than API servers keep theirs', async () => {
  const { headers } = await send(await start(), '/healthz');
  expect(Number(/timeout=(\d+)/.exec(String(headers['keep-alive']))?.[1])).toBeGreaterThanOrEqual(95);
});

test('a new certificate holds for new connections, and the old ones go on', async () => {
  const webhook = await start();
  const first = await send(webhook, '/healthz');
  webhook.server.useCertificate(await issueLeaf(certificates.ca, [SERVER_NAME], Date.now()));
  expect(await send(webhook, '/healthz')).toMatchObject({ reusedSocket: true, status: 200 });
  webhook.agent.destroy();
  const fresh = await send(webhook, '/healthz');
  expect(fresh.reusedSocket).toBe(false);
  expect(fresh.serial).not.toBe(first.serial);
});

test('a pair that does not match is thrown back and the old certificate stays', async () => {
  const webhook = await start();
  const { ca, leaf } = certificates;
  expect(() => webhook.server.useCertificate({ certPem: leaf.certPem, keyPem: ca.keyPem })).toThrow();
  webhook.agent.destroy();
  expect((await send(webhook, '/readyz')).status).toBe(200);
});

test.each([
  { version: 'TLSv1.1', taken: false },
  { version: 'TLSv1.2', taken: true },
  { version: 'TLSv1.3', taken: true },
] as const)('$version is taken: $taken', async ({ version, taken }) => {
  const { port } = await start();
  const outcome = await new Promise<string>((resolve) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      ca: certificates.ca.certPem,
      servername: SERVER_NAME,
      minVersion: version,
      maxVersion: version,
      // Without this the client itself would not offer anything as old as 1.1.
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    socket.once('secureConnect', () => resolve(`connected with ${socket.getProtocol()}`));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.once('secureConnect', () => socket.destroy());
  });
  expect(outcome).toBe(taken ? `connected with ${version}` : 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
});

test('while draining it is unready, still decides, and closes each connection it answers', async () => {
  const webhook = await start({ drainMs: 300 });
  expect((await send(webhook, '/healthz')).headers.connection).toBe('keep-alive');
  const ended = webhook.end();
  const ready = await send(webhook, '/readyz');
  expect(ready).toMatchObject({ status: 503, body: 'draining\n', headers: { connection: 'close' } });
  const decided = await send(webhook, '/validate', { body: text('uid-late') });
  expect(decided).toMatchObject({ status: 200, headers: { connection: 'close' }, reusedSocket: false });
  await ended;
  await expect(send(webhook, '/healthz')).rejects.toThrow();
});

test('an idle connection is left to its client, and the end comes with its last use', async () => {
  const webhook = await start({ drainMs: 1, lingerMs: 60_000 });
  expect((await send(webhook, '/healthz')).headers.connection).toBe('keep-alive');
  const ended = webhook.end();
  // A connection of its own: the one kept stays idle, well past the time that those get who do not know yet.
  const other = new Agent({ ca: certificates.ca.certPem, servername: SERVER_NAME });
  for (const _ of Array(20)) await send({ port: webhook.port, agent: other }, '/healthz');
  other.destroy();
  const decided = await send(webhook, '/validate', { body: text('uid-last') });
  expect(decided).toMatchObject({ status: 200, headers: { connection: 'close' }, reusedSocket: true });
  await ended;
});

test('a request that never ends does not keep the program from ending', async () => {
  const webhook = await start({ limits: { finishMs: 50 } });
  const socket = connect({
    port: webhook.port,
    host: '127.0.0.1',
    ca: certificates.ca.certPem,
    servername: SERVER_NAME,
  });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => {});
  socket.write(
    'POST /validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{',
  );
  await webhook.end();
  await closed;
});
