/** Sends cases to a real server in this process, one after the other, and stops at the first whose answer does not hold. */
import { Agent, request as httpsRequest } from 'node:https';
import { connect } from 'node:tls';
import { issueCertificates, SERVER_NAME, startTestWebhook } from '../lab/testWebhook.ts';
import { createDraw } from './draw.ts';
import { drawRequest, type FuzzedRequest, LONG_HEADER } from './drawRequest.ts';
import { type Answered, judgeReply } from './judgeReply.ts';
import { FUZZED_FACTS } from './offline.ts';

/** Far beyond any deadline that a case gives: who has no answer by then hangs. */
const HANG_MS = 20_000;
const CLOSED_ON = /ECONNRESET|EPIPE/;

export interface FuzzFailure {
  readonly at: number;
  readonly problem: string;
  readonly request: FuzzedRequest;
}

export interface FuzzReport {
  readonly cases: number;
  /** How many were answered how; `closed` for bytes that are no HTTP. */
  readonly answers: Readonly<Record<string, number>>;
  readonly slowestMs: number;
  readonly slowestAt: number;
  readonly failure?: FuzzFailure;
}

export interface FuzzPlan {
  readonly seed: number;
  readonly from: number;
  /** Asked before each case. */
  readonly goOn: (cases: number) => boolean;
}

export async function runCases({ seed, from, goOn }: FuzzPlan): Promise<FuzzReport> {
  const certificates = await issueCertificates();
  const webhook = await startTestWebhook(certificates, {
    facts: FUZZED_FACTS,
    limits: { headersMs: 200, checkIntervalMs: 50, finishMs: 100 },
  });
  const target: Target = {
    port: webhook.port,
    ca: certificates.ca.certPem,
    agent: new Agent({
      ca: certificates.ca.certPem,
      servername: SERVER_NAME,
      keepAlive: true,
      maxSockets: 1,
    }),
  };
  const answers: Record<string, number> = {};
  let slowest = { ms: 0, at: from };
  let cases = 0;
  let failure: FuzzFailure | undefined;
  for (; failure === undefined && goOn(cases); cases += 1) {
    const at = from + cases;
    const request = drawRequest(createDraw(seed, at));
    const beganMs = performance.now();
    const { outcome, problem } = await tryCase(request, target);
    const tookMs = performance.now() - beganMs;
    if (tookMs > slowest.ms && request.kind === 'http') slowest = { ms: tookMs, at };
    answers[outcome] = (answers[outcome] ?? 0) + 1;
    if (problem !== undefined) failure = { at, problem, request };
  }
  target.agent.destroy();
  await webhook.end();
  const report = { cases, answers, slowestMs: slowest.ms, slowestAt: slowest.at };
  return failure === undefined ? report : { ...report, failure };
}

interface Target {
  readonly port: number;
  readonly ca: string;
  readonly agent: Agent;
}
interface Tried {
  readonly outcome: string;
  readonly problem?: string | undefined;
}

async function tryCase(request: FuzzedRequest, target: Target): Promise<Tried> {
  try {
    if (request.kind === 'raw') return { outcome: await sendRaw(request.bytes, target) };
    const answered = await sendHttp(request, target);
    const verdict = /"allowed":(true|false)/.exec(answered.body)?.[1];
    const outcome =
      verdict === undefined ? `HTTP ${answered.status}` : verdict === 'true' ? 'allowed' : 'denied';
    return { outcome, problem: judgeReply(request, answered) };
  } catch (error) {
    // Node closes on headers that are too long without reading on; what is still being sent then fails.
    const { code = '' } = error as NodeJS.ErrnoException; // anything thrown here is an Error
    const tooLong = request.kind === 'http' && Object.hasOwn(request.headers, LONG_HEADER);
    if (tooLong && CLOSED_ON.test(code)) return { outcome: 'closed' };
    return { outcome: 'no answer', problem: `no answer: ${error}` };
  }
}

function sendHttp(request: FuzzedRequest & { kind: 'http' }, { port, agent }: Target): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest({
      agent,
      port,
      host: '127.0.0.1',
      path: request.path,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'content-length': String(request.body.length),
        ...request.headers,
      },
    });
    const timer = setTimeout(() => outgoing.destroy(new Error(`hangs for ${HANG_MS} ms`)), HANG_MS);
    outgoing.on('error', reject).on('close', () => clearTimeout(timer));
    outgoing.on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part)).on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          body: Buffer.concat(parts).toString(),
        }),
      );
    });
    outgoing.end(request.body);
  });
}

/** Whatever is answered, the connection has to end by itself: all such bytes break off, or are no HTTP. */
function sendRaw(bytes: Buffer, { port, ca }: Target): Promise<string> {
  return new Promise((resolve, reject) => {
    let first = '';
    const socket = connect({ port, host: '127.0.0.1', ca, servername: SERVER_NAME });
    const timer = setTimeout(() => socket.destroy(new Error(`hangs for ${HANG_MS} ms`)), HANG_MS);
    // A server that closes on what it does not understand may do so while more of it comes.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!CLOSED_ON.test(error.code ?? '')) reject(error);
    });
    socket.on('data', (data: Buffer) => {
      first ||= data.toString('latin1').slice(0, 12);
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(first === '' ? 'closed' : `raw ${first.slice(9)}`);
    });
    socket.once('secureConnect', () => {
      socket.write(bytes);
      // A request that is whole keeps its connection; nothing follows it.
      socket.end();
    });
  });
}
