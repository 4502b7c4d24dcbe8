/**
 * A probe by TCP: it succeeds when the connection is established; by HTTP, when an answer with a status from 200 to 399
 * came, as for kubelet. From the node's own address, never an egress IP; nothing is read beyond the headers.
 */
import { request } from 'node:http';
import { connect } from 'node:net';
import type { ProbeOutcome } from '../core/agent/health.ts';
import { startDeadline } from './startDeadline.ts';

export type StreamQuestion =
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number }
  | { readonly kind: 'http'; readonly address: string; readonly port: number; readonly path: string };

export interface StreamProbeOptions {
  /** Where it leaves from, of the family of the one that is asked. */
  readonly localAddress: string;
  readonly timeoutMs: number;
}

/** This node could not ask: out of descriptors, of memory, of ports, or its own address is not there. */
const OWN_ERRORS = new Set([
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'EAGAIN',
  'EADDRINUSE',
  'EADDRNOTAVAIL',
]);
const STATUS_MIN = 200;
const STATUS_MAX = 399;

type Settle = (outcome: ProbeOutcome) => void;

export function runStreamProbe(question: StreamQuestion, options: StreamProbeOptions): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    // What comes after the first outcome is of nobody's interest: a promise settles once.
    const settle: Settle = (outcome) => {
      cancel();
      resolve(outcome);
      stream.destroy();
    };
    const stream =
      question.kind === 'tcp' ? openTcp(question, options, settle) : ask(question, options, settle);
    stream.on('error', (error: NodeJS.ErrnoException) => settle(judgeError(error)));
    const { timeoutMs } = options;
    const what = question.kind === 'tcp' ? 'connection' : 'answer';
    const cancel = startDeadline(timeoutMs, () =>
      settle({ kind: 'failed', detail: `no ${what} within ${timeoutMs} ms` }),
    );
  });
}

function openTcp(
  { address, port }: Extract<StreamQuestion, { readonly kind: 'tcp' }>,
  { localAddress }: StreamProbeOptions,
  settle: Settle,
) {
  const socket = connect({ host: address, port, localAddress });
  return socket.on('connect', () => settle({ kind: 'ok' }));
}

function ask(
  { address, port, path }: Extract<StreamQuestion, { readonly kind: 'http' }>,
  { localAddress }: StreamProbeOptions,
  settle: Settle,
) {
  const headers = { 'user-agent': 'sallyport-agent', connection: 'close' };
  // A connection of its own each time: a kept one would not notice that new ones are refused.
  const asked = request({ host: address, port, path, localAddress, agent: false, headers });
  asked.on('response', ({ statusCode = 0 }) => {
    const fine = statusCode >= STATUS_MIN && statusCode <= STATUS_MAX;
    settle(fine ? { kind: 'ok' } : { kind: 'failed', detail: `status ${statusCode}` });
  });
  return asked.end();
}

function judgeError({ code = '', message }: NodeJS.ErrnoException): ProbeOutcome {
  return { kind: OWN_ERRORS.has(code) ? 'unknown' : 'failed', detail: message };
}
