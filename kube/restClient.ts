/**
 * The API server over HTTP/1.1. One small pool for requests, another for watches, a deadline on each request. HTTP/2
 * stays off: after a half-open connection every request on it fails until the kernel gives the connection up, while
 * here each time-out costs one pooled socket. After repeated time-outs the pool itself is replaced.
 */
import { Agent, type Dispatcher, request } from 'undici';
import { type Answer, askOnce } from './askOnce.ts';
import type { ClusterAccess } from './inClusterAccess.ts';
import type { KubeClient, KubeOutcome, Query, WatchFrame } from './kubeClient.ts';
import { KubeFailure } from './kubeClient.ts';
import { errorFromStatus, errorFromThrown, neverSent } from './kubeErrors.ts';

export interface RestClientOptions {
  /** From the call to the last byte of the answer. Default 10 s. */
  readonly deadlineMs?: number;
  /** A watch on which nothing came for this long is given up; bookmarks come about each minute. Default 90 s. */
  readonly watchIdleMs?: number;
  readonly userAgent?: string;
}

const DEADLINE_MS = 10_000;
const WATCH_IDLE_MS = 90_000;
const CONNECT_MS = 3000;
const HEADERS_MS = 10_000;
/** Requests at once; more wait. Leases have clients of their own, so lists never stand before a heartbeat. */
const CONNECTIONS = 4;
/** Watches at once: more than any program here opens. */
const WATCHES_MAX = 32;
/** One page of a list at the most; the API server takes objects of 3 MiB. */
const BODY_BYTES_MAX = 256 * 1024 * 1024;
/** One event of a watch at the most. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024;
/** Of an answer that is no JSON, as much is kept as a message. */
const TEXT_LENGTH_MAX = 200;
/** After this many time-outs in a row the pool is suspected and replaced. */
const TIMEOUTS_BEFORE_NEW_POOL = 3;

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

interface Call {
  readonly method: Method;
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  readonly contentType?: string;
}

export function createRestClient(access: ClusterAccess, options: RestClientOptions = {}): KubeClient {
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  let pool = createPool(access, CONNECTIONS);
  const watches = createPool(access, WATCHES_MAX);
  let timeouts = 0;

  const headers = (contentType?: string): Record<string, string> => ({
    accept: 'application/json',
    'user-agent': options.userAgent ?? 'sallyport',
    ...(contentType === undefined ? {} : { 'content-type': contentType }),
    ...(access.readToken === undefined ? {} : { authorization: `Bearer ${access.readToken()}` }),
  });

  const settle = (outcome: KubeOutcome<unknown>): KubeOutcome<unknown> => {
    timeouts = outcome.kind !== 'ok' && outcome.error.code === 'timeout' ? timeouts + 1 : 0;
    if (timeouts < TIMEOUTS_BEFORE_NEW_POOL) return outcome;
    timeouts = 0;
    void pool.destroy();
    pool = createPool(access, CONNECTIONS);
    return outcome;
  };

  const call = async ({
    method,
    path,
    query,
    body,
    contentType = 'application/json',
  }: Call): Promise<KubeOutcome<unknown>> => {
    // Outside the try: a value that JSON cannot carry is a programmer error, not a network that failed.
    const text = body === undefined ? undefined : JSON.stringify(body);
    try {
      const question = {
        server: access.server,
        path: `${path}${renderQuery(query)}`,
        method,
        headers: headers(text === undefined ? undefined : contentType),
        ...(text === undefined ? {} : { body: text }),
      };
      const answer = await askOnce(pool, question, { deadlineMs, bytesMax: BODY_BYTES_MAX });
      return settle(judge(method, answer));
    } catch (thrown) {
      const error = errorFromThrown(thrown);
      return settle({ kind: method === 'GET' || neverSent(error) ? 'refused' : 'unknown', error });
    }
  };

  return {
    get: (path, query) => call({ method: 'GET', path, ...(query === undefined ? {} : { query }) }),
    create: (path, body) => call({ method: 'POST', path, body }),
    replace: (path, body) => call({ method: 'PUT', path, body }),
    mergePatch: (path, body) =>
      call({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' }),
    jsonPatch: (path, body) =>
      call({ method: 'PATCH', path, body, contentType: 'application/json-patch+json' }),
    apply: (path, body, { fieldManager, force }) =>
      call({
        method: 'PATCH',
        path,
        body,
        query: { fieldManager, force },
        contentType: 'application/apply-patch+yaml',
      }),
    remove: (path, preconditions) =>
      call({ method: 'DELETE', path, ...(preconditions === undefined ? {} : { body: { preconditions } }) }),
    watch: (path, query, signal) =>
      readWatch(
        (watchSignal) =>
          request(`${access.server}${path}${renderQuery({ ...query, watch: true })}`, {
            dispatcher: watches,
            signal: watchSignal,
            headers: headers(),
          }),
        { signal, idleMs: options.watchIdleMs ?? WATCH_IDLE_MS },
      ),
    async close() {
      await Promise.all([pool.destroy(), watches.destroy()]);
    },
  };
}

/** A 5xx to a write tells nothing: "etcdserver: request timed out" is a 500, and etcd may have taken it all the same. */
function judge(method: Method, answer: Answer): KubeOutcome<unknown> {
  const value = parseBody(answer.headers, answer.text);
  if (answer.statusCode < 300) return { kind: 'ok', value };
  const error = errorFromStatus(answer.statusCode, value, textHeader(answer.headers['retry-after']));
  return { kind: method !== 'GET' && answer.statusCode >= 500 ? 'unknown' : 'refused', error };
}

function createPool(access: ClusterAccess, connections: number): Agent {
  return new Agent({
    allowH2: false,
    connections,
    pipelining: 1,
    headersTimeout: HEADERS_MS,
    bodyTimeout: 0,
    connect: {
      timeout: CONNECT_MS,
      ...(access.ca === undefined ? {} : { ca: access.ca }),
      ...(access.clientCertificate ?? {}),
      ...(access.serverName === undefined ? {} : { servername: access.serverName }),
      ...(access.unverified === undefined ? {} : { rejectUnauthorized: false }),
    },
  });
}

/**
 * Frames of one watch: JSON values, one a line (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).
 * Aborting ends it quietly; silence beyond the limit and a broken line throw.
 */
async function* readWatch(
  open: (signal: AbortSignal) => Promise<Dispatcher.ResponseData>,
  { signal, idleMs }: { readonly signal: AbortSignal; readonly idleMs: number },
): AsyncGenerator<WatchFrame> {
  const idle = new AbortController();
  const timer = setTimeout(
    () => idle.abort(new DOMException('the watch fell silent', 'TimeoutError')),
    idleMs,
  );
  try {
    const answer = await open(AbortSignal.any([signal, idle.signal]));
    if (answer.statusCode >= 300) {
      const body = parseBody(answer.headers, await readText(answer.body));
      throw new KubeFailure(
        errorFromStatus(answer.statusCode, body, textHeader(answer.headers['retry-after'])),
      );
    }
    for await (const line of readLines(answer.body)) {
      timer.refresh();
      yield parseFrame(line);
    }
  } catch (thrown) {
    if (signal.aborted) return;
    throw thrown instanceof KubeFailure ? thrown : new KubeFailure(errorFromThrown(thrown));
  } finally {
    clearTimeout(timer);
    idle.abort();
  }
}

async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > FRAME_BYTES_MAX)
      throw new RangeError(`a watch event is longer than ${FRAME_BYTES_MAX} characters`);
    for (const line of lines) if (line !== '') yield line;
  }
}

function parseFrame(line: string): WatchFrame {
  const frame: unknown = JSON.parse(line);
  if (typeof frame !== 'object' || frame === null || !('type' in frame) || typeof frame.type !== 'string') {
    throw new SyntaxError('a watch event without a type');
  }
  return { type: frame.type, object: 'object' in frame ? frame.object : undefined };
}

async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new RangeError(`an answer is longer than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Proxies answer in HTML and /readyz in plain text: their status says enough. What calls itself JSON has to be it. */
function parseBody(headers: Answer['headers'], text: string): unknown {
  const isJson = textHeader(headers['content-type'])?.startsWith('application/json') === true;
  return isJson ? JSON.parse(text) : { message: text.slice(0, TEXT_LENGTH_MAX) };
}

function renderQuery(query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(key, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters}`;
}

function textHeader(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
