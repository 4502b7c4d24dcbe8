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

export interface HttpsFigures {
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly maxMs: number;
  /** In a closed loop: each connection sends the next review when it has the answer to the one before. */
  readonly saturationPerS: number;
}

type Send = (at: number) => Promise<void>;

/** Throws on any answer but a verdict. */
export async function measureHttps(port: number, bodies: readonly string[]): Promise<HttpsFigures> {
  const pool = new Pool(`https://127.0.0.1:${port}`, {
    connections: CONNECTIONS,
    pipelining: 1,
    allowH2: false,
    // Whose certificate it is is no question of this bench.
    connect: { rejectUnauthorized: false },
  });
  const send: Send = async (at) => {
    const { statusCode, body } = await pool.request({
      path: '/validate?timeout=5s',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: bodies[at % bodies.length] ?? '',
    });
    const text = await body.text();
    if (statusCode !== 200 || !text.includes('"allowed":')) throw new Error(`HTTP ${statusCode}: ${text}`);
  };
  try {
    await runOpenLoop(send, WARM_UP_S * RATE_PER_S);
    const tookMs = await runOpenLoop(send, MEASURED_S * RATE_PER_S);
    const saturationPerS = await runClosedLoop(send);
    return {
      p50Ms: percentile(tookMs, 50),
      p99Ms: percentile(tookMs, 99),
      maxMs: Math.max(...tookMs),
      saturationPerS,
    };
  } finally {
    await pool.close();
  }
}

/** Milliseconds from due to answered, of each. */
async function runOpenLoop(send: Send, count: number): Promise<readonly number[]> {
  const beganMs = performance.now();
  const dueMs = (at: number): number => beganMs + (at * 1000) / RATE_PER_S;
  const answered: Promise<number>[] = [];
  for (let at = 0; at < count; at += 1) {
    const earlyMs = dueMs(at) - performance.now();
    if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, earlyMs));
    answered.push(send(at).then(() => performance.now() - dueMs(at)));
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
