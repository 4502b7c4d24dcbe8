/** A flood of large bodies against the server with the limits that it has: what it costs in resident memory, and what is left of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import path from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Certificates,
  createReview,
  issueCertificates,
  SERVER_NAME,
  send,
} from '../../test/lab/testWebhook.ts';
import { LOAD_LIMITS } from './loadBudget.ts';
import { BODY_BYTES_MAX } from './readBody.ts';
import { SERVER_LIMITS } from './server.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../test/lab/floodedWebhook.ts');
/** As many connections as are let in, from as many addresses as that takes. */
const ADDRESSES = ['127.0.0.2', '127.0.0.3', '127.0.0.4'];
const PER_ADDRESS = Math.floor(SERVER_LIMITS.connectionsMax / ADDRESSES.length);
/** More at once, and some would wait in vain for the kernel's queue of what is to be accepted. */
const OPENED_AT_ONCE = 50;
/** Of each body so much is sent, and no more comes: together seven times what is kept. */
const SENT_BYTES = 256 * 1024;
/** So many of these bodies fit into what all of them may have together. */
const KEPT_MAX = Math.ceil(LOAD_LIMITS.commonBytesMax / (SENT_BYTES - LOAD_LIMITS.ownBytes));
/** The chart gives the webhook 1 GiB, of which 600 MiB are for the largest cluster. */
const FLOOD_MIB_MAX = 256;
const PATIENCE_MS = 120_000;

let certificates: Certificates;
let program: ChildProcess;
let port: number;
beforeAll(async () => {
  certificates = await issueCertificates();
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(certificates)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  program = child;
  port = await new Promise((resolve) => child.stdout.once('data', (text) => resolve(Number(text))));
}, PATIENCE_MS);
afterAll(() => program?.kill('SIGKILL'));

function memoryMib(field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${program.pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
}

interface Flooding {
  readonly sockets: TLSSocket[];
  /** Connections that were answered or closed on: none of these was sent a whole review. */
  refused: number;
}

async function flood(flooding: Flooding, localAddress: string): Promise<void> {
  const options = { port, host: '127.0.0.1', localAddress, ca: certificates.ca.certPem };
  const socket = connect({ ...options, servername: SERVER_NAME });
  flooding.sockets.push(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject).once('secureConnect', resolve);
  });
  let refused = false;
  const note = (): void => {
    if (!refused) flooding.refused += 1;
    refused = true;
  };
  // The server may close while more is sent.
  socket.removeAllListeners('error').on('error', () => {});
  socket.once('data', note).once('close', note);
  socket.write(
    `POST /validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${BODY_BYTES_MAX}\r\n\r\n`,
  );
  socket.write(Buffer.alloc(SENT_BYTES, 0x20));
}

test('its memory stays within what is set aside for it, and it decides again when it is over', {
  timeout: PATIENCE_MS,
}, async () => {
  const asker = { port, agent: new Agent({ ca: certificates.ca.certPem, servername: SERVER_NAME }) };
  const review = JSON.stringify(createReview('u'));
  expect((await send(asker, '/validate', { body: review })).status).toBe(200);
  const beforeMib = memoryMib('VmRSS');
  const flooding: Flooding = { sockets: [], refused: 0 };
  for (let turn = 0; turn < PER_ADDRESS; turn += OPENED_AT_ONCE)
    for (const address of ADDRESSES) {
      const count = Math.min(OPENED_AT_ONCE, PER_ADDRESS - turn);
      await Promise.all(Array.from({ length: count }, () => flood(flooding, address)));
    }
  expect(flooding.sockets.length).toBeGreaterThan(2 * KEPT_MAX);
  // All was read then: what is left are those whose bytes are kept, for which there is no more room.
  await expect
    .poll(() => flooding.refused, { timeout: PATIENCE_MS / 4 })
    .toBeGreaterThanOrEqual(flooding.sockets.length - KEPT_MAX);
  const floodMib = memoryMib('VmHWM') - beforeMib;
  console.log(`${flooding.sockets.length} connections: ${floodMib.toFixed(0)} MiB at the highest`);
  expect(floodMib).toBeLessThan(FLOOD_MIB_MAX);
  for (const socket of flooding.sockets) socket.destroy();
  await expect
    .poll(() => send(asker, '/validate', { body: review }), { timeout: PATIENCE_MS })
    .toMatchObject({ status: 200 });
});
