/** Reads the body of a review, within its size, the memory that all bodies share, and the time there is for an answer. */
import type { IncomingMessage } from 'node:http';
import type { LoadLease } from './loadBudget.ts';

/** Object and old object of 3 MiB each, which is what API servers take, and the envelope. */
export const BODY_BYTES_MAX = 8 * 1024 * 1024;
/** What a piece of a body costs beside its bytes: a body that comes in pieces of one byte is mostly this. */
const PIECE_COST_BYTES = 256;

export type Body =
  | { readonly kind: 'read'; readonly bytes: Buffer }
  /** The rest of the body is still to come. */
  | { readonly kind: 'refused'; readonly reason: 'too-large' | 'busy' | 'late' }
  /** Nobody waits for an answer any more. */
  | { readonly kind: 'gone' };

/** `withinMs`: from now. What is read counts on the lease, which stays the caller's to release. */
export function readBody(request: IncomingMessage, lease: LoadLease, withinMs: number): Promise<Body> {
  if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES_MAX)
    return Promise.resolve({ kind: 'refused', reason: 'too-large' });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const settle = (body: Body): void => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('close', onClose);
      resolve(body);
    };
    const timer = setTimeout(() => settle({ kind: 'refused', reason: 'late' }), withinMs);
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > BODY_BYTES_MAX) return settle({ kind: 'refused', reason: 'too-large' });
      if (!lease.take(chunk.length + PIECE_COST_BYTES)) return settle({ kind: 'refused', reason: 'busy' });
      chunks.push(chunk);
    };
    const onEnd = (): void => settle({ kind: 'read', bytes: Buffer.concat(chunks, length) });
    const onClose = (): void => settle({ kind: 'gone' });
    request.on('data', onData).once('end', onEnd).once('close', onClose);
  });
}
