import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'undici';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { askOnce } from './askOnce.ts';

const LIMITS = { deadlineMs: 10_000, bytesMax: 1000 };

let pool: Agent;
let server: Server;
let base: string;
let seen: string[];
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  pool = new Agent({ connections: 1, pipelining: 1 });
  seen = [];
  server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a listening TCP server always has one
});
afterEach(async () => {
  await pool.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const ask = (path: string, limits: Partial<typeof LIMITS> = {}, at = base) =>
  askOnce(pool, { server: at, path, method: 'GET', headers: {} }, { ...LIMITS, ...limits });

test('the answer is whole, in whatever pieces it comes', async () => {
  answer = (_request, response) => {
    response.writeHead(203, { 'x-a': 'b' }).write(Buffer.from([0xc3]));
    response.end(Buffer.from([0xa4]));
  };
  expect(await ask('/a')).toMatchObject({ statusCode: 203, headers: { 'x-a': 'b' }, text: 'ä' });
});

test('what is asked comes after the path of a server behind a proxy', async () => {
  answer = (_request, response) => response.end();
  await ask('/api?x=1', {}, `${base}/clusters/one/`);
  await ask('/api', {}, `${base}/`);
  expect(seen).toEqual(['GET /clusters/one/api?x=1', 'GET /api']);
});

test('an answer that is too long is not read to its end, and the next is answered', async () => {
  answer = (request, response) => {
    if (request.url === '/short') response.end('x'.repeat(LIMITS.bytesMax));
    else response.writeHead(200).write('x'.repeat(LIMITS.bytesMax + 1));
  };
  await expect(ask('/long')).rejects.toBeInstanceOf(RangeError);
  expect((await ask('/short')).text).toHaveLength(LIMITS.bytesMax);
});

test('what waits for a connection until its time is over is never sent', async () => {
  let release = (): void => {};
  answer = (_request, response) => {
    release = () => void response.end();
  };
  const first = ask('/first');
  await expect.poll(() => seen).toEqual(['GET /first']);
  await expect(ask('/late', { deadlineMs: 20 })).rejects.toMatchObject({ name: 'TimeoutError' });
  release();
  await first;
  answer = (_request, response) => response.end();
  await ask('/third');
  expect(seen).toEqual(['GET /first', 'GET /third']);
});
