/** Clients that are slow, many, or large: what they cost is bounded, and others are served meanwhile. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect } from 'node:tls';
import { afterEach, beforeAll, expect, test } from 'vitest';
import {
  type Certificates,
  createReview,
  issueCertificates,
  SERVER_NAME,
  send,
  startTestWebhook,
  type TestWebhook,
} from '../../test/lab/testWebhook.ts';
import { BODY_BYTES_MAX } from './readBody.ts';
import { SERVER_LIMITS, type ServerLimits } from './server.ts';

let certificates: Certificates;
beforeAll(async () => {
  certificates = await issueCertificates();
});
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
async function start(limits: Partial<ServerLimits> = {}): Promise<TestWebhook> {
  const webhook = await startTestWebhook(certificates, { limits: { finishMs: 20, ...limits } });
  cleanups.push(webhook.end);
  return webhook;
}

/** A connection of its own, with all that came on it, and the moment when it was closed. */
function watched(socket: Socket) {
  const seen = { text: '' };
  socket.on('error', () => {});
  socket.setEncoding('utf8').on('data', (text: string) => {
    seen.text += text;
  });
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(seen.text)));
  cleanups.push(() => socket.destroy());
  return { socket, closed, seen };
}
async function open({ port }: TestWebhook) {
  const socket = connect({ port, host: '127.0.0.1', ca: certificates.ca.certPem, servername: SERVER_NAME });
  const connection = watched(socket);
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return connection;
}
const head = (length: number, path = '/validate'): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
const review = JSON.stringify(createReview('u'));

test.each([
  { name: 'says nothing', text: '' },
  { name: 'does not end its headers', text: 'POST /validate HTTP/1.1\r\nHost: a\r\n' },
])('a client that $name is closed after the time for headers', async ({ text }) => {
  const webhook = await start({ headersMs: 30, checkIntervalMs: 10 });
  const { socket, closed } = await open(webhook);
  socket.write(text);
  // Nobody was told anything but that it took too long.
  expect(await closed).toMatch(/^(HTTP\/1\.1 408 .*)?/);
  expect((await send(webhook, '/validate', { body: review })).status).toBe(200);
});

test('a client that makes no handshake is closed', async () => {
  const { port } = await start({ handshakeMs: 30 });
  await watched(connectTcp({ port, host: '127.0.0.1' })).closed;
});

test('a body that trickles in is answered before its deadline, and the connection ends', async () => {
  const { socket, closed } = await open(await start());
  socket.write(`${head(100, '/validate?timeout=50ms')}{`);
  const text = await closed;
  expect(text).toMatch(/^HTTP\/1\.1 504 /);
  expect(text).toContain('"reason":"Timeout"');
  expect(text).toMatch(/connection: close/i);
});

test('a connection on which nothing moves in the midst of a request is closed', async () => {
  const { socket, closed } = await open(await start({ stallMs: 30 }));
  socket.write(`${head(100)}{`);
  expect(await closed).toBe('');
});

test('one address cannot take all connections, and gets more when it gives some back', async () => {
  const webhook = await start({ connectionsPerAddressMax: 2 });
  const [first] = [await open(webhook), await open(webhook)];
  expect(await watched(connectTcp({ port: webhook.port, host: '127.0.0.1' })).closed).toBe('');
  first.socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await first.closed;
  expect((await send(webhook, '/healthz')).status).toBe(200);
});

test('connections in all are limited', async () => {
  const webhook = await start({ connectionsMax: 1 });
  await open(webhook);
  expect(await watched(connectTcp({ port: webhook.port, host: '127.0.0.1' })).closed).toBe('');
});

test('large bodies that stand still keep out large ones, who may ask again, and no small ones', async () => {
  const webhook = await start({ ownBytes: 10_000, commonBytesMax: 300_000 });
  const standing = await open(webhook);
  standing.socket.write(`${head(1_000_000)}${' '.repeat(250_000)}`);
  const large = { body: review + ' '.repeat(250_000) };
  await expect
    .poll(() => send(webhook, '/validate', large))
    .toMatchObject({
      status: 429,
      headers: { 'retry-after': '1', connection: 'close' },
      body: expect.stringContaining('"retryAfterSeconds":1'),
    });
  expect((await send(webhook, '/validate', { body: review })).status).toBe(200);
  standing.socket.destroy();
  await expect.poll(() => send(webhook, '/validate', large)).toMatchObject({ status: 200 });
});

test('a body in pieces of one byte costs what it costs, and not what it weighs', async () => {
  const webhook = await start({ ownBytes: 10_000, commonBytesMax: 1_000_000 });
  const { socket, closed } = await open(webhook);
  socket.write(
    'POST /validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  socket.write('1\r\n \r\n'.repeat(100_000));
  expect(await closed).toMatch(/^HTTP\/1\.1 429 /);
});

test('requests under way are limited, and a place is free again when one of them ends', async () => {
  const webhook = await start({ requestsMax: 1 });
  const standing = await open(webhook);
  standing.socket.write(`${head(100)}{`);
  await expect.poll(() => send(webhook, '/validate', { body: review })).toMatchObject({ status: 429 });
  standing.socket.destroy();
  await expect.poll(() => send(webhook, '/validate', { body: review })).toMatchObject({ status: 200 });
});

test('what is too large is refused with an answer, before it is all sent', async () => {
  const { socket, closed } = await open(await start());
  socket.write(`${head(BODY_BYTES_MAX + 1)}{`);
  expect(await closed).toMatch(/^HTTP\/1\.1 413 /);
});

test('bytes that are no HTTP are closed on, and the server lives on', async () => {
  const webhook = await start();
  for (const bytes of [
    '\0\0\0\0',
    'GET / HTTP/9.9\r\n\r\n',
    `GET /${'x'.repeat(100_000)}`,
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  ]) {
    const { socket, closed } = await open(webhook);
    socket.write(bytes);
    expect(await closed).toMatch(/^(HTTP\/1\.1 4\d\d |$)/);
  }
  expect((await send(webhook, '/healthz')).status).toBe(200);
});

test('by default the flood that is let in fits beside the program in the memory it is given', () => {
  const { requestsMax, ownBytes, commonBytesMax, connectionsMax, connectionsPerAddressMax } = SERVER_LIMITS;
  const perConnection = 64 * 1024;
  const flood = requestsMax * ownBytes + commonBytesMax + connectionsMax * perConnection;
  expect(flood).toBeLessThan(128 * 1024 * 1024);
  expect(connectionsPerAddressMax).toBeLessThan(Math.min(connectionsMax, requestsMax));
});
