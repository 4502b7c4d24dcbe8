/**
 * Reviews over HTTPS, as an API server sends them: on connections that are kept. At a fixed rate the time of each counts
 * from the moment when it was due, whether or not it could be sent then, so a server that stalls pays for all that waited.
 */
import { Pool } from 'undici';
import { percentile } from '../statistics.ts';

export const CONNECTIONS = 50;
export const RATE_PER_S = 500;
/** 50 beyond the 99th percentile at one's rate of 500/s. */
const MEASURED_S = 10;
const WARM_UP_S = 3;
const SATURATED_MS = 5000;

export interface Question {
  /** The AdmissionReview as text. */
  readonly body: string;
  /** What the answer has to be. */
  readonly allowed: boolean;
}

export interface HttpsFigures {
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly maxMs: number;
  /** Of what is in the others: from due to handed over to be sent. That is this client's own doing. */
  readonly lateP99Ms: number | undefined;
  /** In a closed loop: each connection sends the next review when it has the answer to the one before. */
  readonly saturationPerS: number;
}

type Send = (at: number) => Promise<void>;

/** Throws on any answer but the verdict that is expected. */
export async function measureHttps(port: number, questions: readonly Question[]): Promise<HttpsFigures> {
  const pool = new Pool(`https://127.0.0.1:${port}`, {
    connections: CONNECTIONS,
    pipelining: 1,
    allowH2: false,
    // Whose certificate it is is no question of this bench.
    connect: { rejectUnauthorized: false },
  });
  const send: Send = async (at) => {
    const question = questions[at % questions.length];
    const { statusCode, body } = await pool.request({
      path: '/validate?timeout=5s',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: question?.body ?? '',
    });
    const text = await body.text();
    if (statusCode !== 200 || !text.includes(`"allowed":${question?.allowed}`))
      throw new Error(`HTTP ${statusCode}: ${text} where "allowed" is to be ${question?.allowed}`);
  };
  try {
    await runOpenLoop(send, WARM_UP_S * RATE_PER_S);
    const samples = await runOpenLoop(send, MEASURED_S * RATE_PER_S);
    const saturationPerS = await runClosedLoop(send);
    const tookMs = samples.map((sample) => sample.tookMs);
    return {
      p50Ms: percentile(tookMs, 50),
      p99Ms: percentile(tookMs, 99),
      maxMs: Math.max(...tookMs),
      lateP99Ms: percentile(
        samples.map(({ lateMs }) => lateMs),
        99,
      ),
      saturationPerS,
    };
  } finally {
    await pool.close();
  }
}

interface Sample {
  /** Both from the moment when it was due: to its sending, and to its answer. */
  readonly lateMs: number;
  readonly tookMs: number;
}

async function runOpenLoop(send: Send, count: number): Promise<readonly Sample[]> {
  const beganMs = performance.now();
  const dueMs = (at: number): number => beganMs + (at * 1000) / RATE_PER_S;
  const answered: Promise<Sample>[] = [];
  for (let at = 0; at < count; at += 1) {
    const earlyMs = dueMs(at) - performance.now();
    if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, earlyMs));
    const lateMs = performance.now() - dueMs(at);
    answered.push(send(at).then(() => ({ lateMs, tookMs: performance.now() - dueMs(at) })));
  }
  return Promise.all(answered);
}

async function runClosedLoop(send: Send): Promise<number> {
  const beganMs = performance.now();
  let sent = 0;
  const sendOnAndOn = async (): Promise<void> => {
    while (performance.now() - beganMs < SATURATED_MS) await send(sent++);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, sendOnAndOn));
  return (sent / (performance.now() - beganMs)) * 1000;
}
