/**
 * One request and its whole answer. By undici's dispatch and not by its request: the stream that the latter makes of a body is
 * half of what a short answer costs, and stays in memory until a large collection.
 */
import type { Dispatcher } from 'undici';

export interface Question {
  /** Where a proxy is in front, with a path. */
  readonly server: string;
  /** Comes after the server's own. */
  readonly path: string;
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Answer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface AnswerLimits {
  /** From the call to the last byte of the answer. */
  readonly deadlineMs: number;
  readonly bytesMax: number;
}

/** Informational answers come before the one that counts. */
const FIRST_FINAL_STATUS = 200;

/** Rejects with what undici throws, with a TimeoutError at the deadline, and with a RangeError where the answer is too long. */
export function askOnce(
  pool: Dispatcher,
  { server, path, method, headers, body = '' }: Question,
  { deadlineMs, bytesMax }: AnswerLimits,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let running: Dispatcher.DispatchController | undefined;
    let failure: Error | undefined;
    let answer: Omit<Answer, 'text'> = { statusCode: 0, headers: {} };
    const chunks: Buffer[] = [];
    let bytes = 0;
    const fail = (error: Error): void => {
      clearTimeout(timer);
      failure ??= error;
      running?.abort(failure);
      reject(failure);
    };
    const timer = setTimeout(
      () => fail(new DOMException(`no answer within ${deadlineMs} ms`, 'TimeoutError')),
      deadlineMs,
    );
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: (controller) => {
        // It may have waited for a connection until its time was over; nothing is sent then.
        if (failure !== undefined) controller.abort(failure);
        else running = controller;
      },
      onResponseStart: (_controller, statusCode, received) => {
        if (statusCode >= FIRST_FINAL_STATUS) answer = { statusCode, headers: received };
      },
      onResponseData: (_controller, chunk) => {
        bytes += chunk.length;
        if (bytes > bytesMax) fail(new RangeError(`an answer is longer than ${bytesMax} bytes`));
        else chunks.push(chunk);
      },
      onResponseEnd: () => {
        clearTimeout(timer);
        resolve({ ...answer, text: Buffer.concat(chunks, bytes).toString('utf8') });
      },
      onResponseError: (_controller, error) => fail(error),
    };
    try {
      const { origin, pathname } = new URL(server);
      const whole = `${pathname.replace(/\/$/, '')}${path}`;
      pool.dispatch({ origin, path: whole, method, headers, body: body === '' ? null : body }, handler);
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
    }
  });
}
