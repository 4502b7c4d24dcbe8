/** Classifies what the API server or the network answered, once, for everyone above. */
import { errors } from 'undici';
import { FieldReader } from '../policy/fieldReader.ts';
import type { KubeError, KubeErrorCode } from './kubeClient.ts';

const BY_STATUS: Readonly<Record<number, KubeErrorCode>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  409: 'conflict',
  410: 'gone',
  429: 'too-many-requests',
};
const TRANSIENT: ReadonlySet<KubeErrorCode> = new Set([
  'too-many-requests',
  'server-error',
  'timeout',
  'unreachable',
  'protocol',
]);

/** @param retryAfter the header's value in seconds, where there is one. */
export function errorFromStatus(status: number, body: unknown, retryAfter: string | undefined): KubeError {
  const answer = new FieldReader(body, '', []);
  const reason = answer.optionalText('reason');
  const code =
    reason === 'AlreadyExists'
      ? 'already-exists'
      : (BY_STATUS[status] ?? (status >= 500 ? 'server-error' : 'invalid'));
  const retryAfterMs = readRetryAfterMs(answer, retryAfter);
  return {
    code,
    transient: TRANSIENT.has(code),
    status,
    message: answer.optionalText('message') ?? `the API server answered ${status}`,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** In the header, or in the Status itself where that came as an event of a watch. */
function readRetryAfterMs(answer: FieldReader, header: string | undefined): number | undefined {
  const seconds =
    header === undefined
      ? answer.child('details').optionalInteger('retryAfterSeconds')
      : Number.parseInt(header, 10);
  return seconds === undefined || !(seconds >= 0) ? undefined : seconds * 1000;
}

export function errorFromThrown(thrown: unknown): KubeError {
  const code = isTimeout(thrown) ? 'timeout' : isProtocol(thrown) ? 'protocol' : 'unreachable';
  const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return { code, transient: true, message, cause: thrown };
}

function isTimeout(thrown: unknown): boolean {
  return (
    thrown instanceof errors.HeadersTimeoutError ||
    thrown instanceof errors.BodyTimeoutError ||
    thrown instanceof errors.ConnectTimeoutError ||
    (thrown instanceof Error && (thrown.name === 'TimeoutError' || thrown.name === 'AbortError'))
  );
}

/** What is no JSON, no HTTP, or longer than anything we accept. */
function isProtocol(thrown: unknown): boolean {
  return (
    thrown instanceof SyntaxError ||
    thrown instanceof RangeError ||
    thrown instanceof errors.HTTPParserError ||
    thrown instanceof errors.ResponseExceededMaxSizeError
  );
}

/** True where the request cannot have reached the server: nothing was sent, so nothing can have happened. */
export function neverSent(error: KubeError): boolean {
  const { cause } = error;
  if (cause instanceof errors.ConnectTimeoutError) return true;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || code === 'ENOTFOUND';
}
