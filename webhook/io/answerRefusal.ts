/** Answers a request that gets no verdict, counts it, and keeps what is left of its body from being taken for the next. */
import type { Request, Response } from 'express';
import { REFUSALS, type Refusal, renderStatus, renderUnreadable } from '../core/refusal.ts';
import type { SparingLog } from './logSparingly.ts';
import type { WebhookMetrics } from './metrics.ts';

/** A client that is still sending reads the answer only if it is not cut off at once; one that never ends is. */
const LINGER_MS = 1000;

export interface RefusalAnswer {
  readonly reason: Refusal;
  readonly message: string;
  /** Of a review that can be denied although it cannot be read. */
  readonly uid?: string | undefined;
}

export type Refuse = (request: Request, response: Response, answer: RefusalAnswer) => void;

export function createRefuse(options: {
  readonly metrics: WebhookMetrics;
  readonly log: SparingLog;
}): Refuse {
  return (request, response, { reason, message, uid }) => {
    options.metrics.refusedRequest(reason);
    options.log.warn('a request was not decided', { reason, problem: message });
    if (response.headersSent || response.destroyed) return;
    const { code, retryAfterS } = REFUSALS[reason];
    if (retryAfterS !== undefined) response.set('Retry-After', String(retryAfterS));
    // Asked again, another replica may know better: a new connection finds it.
    if (retryAfterS !== undefined || !request.complete) response.set('Connection', 'close');
    // A body of another version than was asked for would be misread, so only the HTTP status denies then.
    response.status(uid === undefined || reason === 'version' ? code : 200);
    const body = uid === undefined ? renderStatus(reason, message) : renderUnreadable(uid, message);
    if (request.complete) response.json(body);
    else answerThenLinger(request, response, JSON.stringify(body));
  };
}

/** The whole answer is sent, and the connection ends when the body has ended or after a moment. */
function answerThenLinger(request: Request, response: Response, text: string): void {
  response.type('json').set('Content-Length', String(Buffer.byteLength(text)));
  response.write(text);
  const timer = setTimeout(() => request.destroy(), LINGER_MS);
  const end = (): void => {
    clearTimeout(timer);
    response.end();
  };
  request.once('end', end).once('close', end);
  request.resume();
}
