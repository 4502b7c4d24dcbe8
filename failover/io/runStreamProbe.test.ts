/** Against servers on the loopback device, on ports that the kernel picks. */
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { runStreamProbe } from './runStreamProbe.ts';

const HERE = '127.0.0.1';
/** Long enough for a busy machine; what must run into it has a short one. */
const PATIENT = { localAddress: HERE, timeoutMs: 10_000 };
const SHORT = { localAddress: HERE, timeoutMs: 100 };

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function portOf(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, HERE, resolve));
  return (server.address() as AddressInfo).port; // Of a server that listens on TCP.
}

const tcp = (port: number) => ({ kind: 'tcp', address: HERE, port }) as const;
const http = (port: number, path = '/') => ({ kind: 'http', address: HERE, port, path }) as const;

test('a connection that is made is a success, and it is closed again', async () => {
  let closed: (() => void) | undefined;
  const ended = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const port = await portOf(createServer((socket) => socket.on('close', () => closed?.()).resume()));
  expect(await runStreamProbe(tcp(port), PATIENT)).toEqual({ kind: 'ok' });
  await ended;
});

test.each([{ question: tcp }, { question: http }])(
  'a port where nobody listens is a failure',
  async ({ question }) => {
    const server = createServer();
    const port = await portOf(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await runStreamProbe(question(port), PATIENT)).toEqual({
      kind: 'failed',
      detail: `connect ECONNREFUSED ${HERE}:${port}`,
    });
  },
);

test.each([
  { status: 200, outcome: { kind: 'ok' } },
  { status: 399, outcome: { kind: 'ok' } },
  { status: 400, outcome: { kind: 'failed', detail: 'status 400' } },
  { status: 503, outcome: { kind: 'failed', detail: 'status 503' } },
])('an answer with status $status is $outcome.kind', async ({ status, outcome }) => {
  const port = await portOf(createHttpServer((_, response) => response.writeHead(status).end()));
  expect(await runStreamProbe(http(port), PATIENT)).toEqual(outcome);
});

test('the path is asked for as it was written', async () => {
  const paths: (string | undefined)[] = [];
  const port = await portOf(
    createHttpServer(({ url }, response) => {
      paths.push(url);
      response.end();
    }),
  );
  await runStreamProbe(http(port, '/live?a=%20'), PATIENT);
  expect(paths).toEqual(['/live?a=%20']);
});

test('a server that accepts and says nothing is a success by TCP and a failure by HTTP', async () => {
  const port = await portOf(createServer((socket) => socket.on('error', () => undefined).resume()));
  expect(await runStreamProbe(tcp(port), PATIENT)).toEqual({ kind: 'ok' });
  expect(await runStreamProbe(http(port), SHORT)).toEqual({
    kind: 'failed',
    detail: 'no answer within 100 ms',
  });
});

test('a server that speaks something else is a failure by HTTP', async () => {
  const port = await portOf(
    createServer((socket) => socket.on('error', () => undefined).end('220 hello\r\n')),
  );
  expect((await runStreamProbe(http(port), PATIENT)).kind).toBe('failed');
});

test('an own address that is not there says nothing about the target', async () => {
  const port = await portOf(createServer());
  const outcome = await runStreamProbe(tcp(port), { ...PATIENT, localAddress: '203.0.113.99' });
  expect(outcome.kind).toBe('unknown');
});

test('an answer that came while this process stood still is heard, deadline or not', async () => {
  const source = `const s = require('node:net').createServer(); s.listen(0, '${HERE}', () => console.log(s.address().port));`;
  const { spawn } = await import('node:child_process');
  const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const port = await new Promise<number>((resolve) => {
      child.stdout.once('data', (data: Buffer) => resolve(Number(data.toString())));
    });
    const outcome = runStreamProbe(tcp(port), { ...SHORT });
    // Standing still is what is tested here.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * SHORT.timeoutMs);
    expect(await outcome).toEqual({ kind: 'ok' });
  } finally {
    child.kill('SIGKILL');
  }
});
