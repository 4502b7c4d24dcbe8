/**
 * An API server in memory over real HTTP, for what a real one does too seldom: it interprets list, watch and
 * compare-and-swap, and breaks on demand. It passes the same contract as the real one (kubeContract.ts).
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ClusterAccess } from '../../kube/inClusterAccess.ts';

interface StoredObject {
  readonly metadata: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
  readonly [field: string]: unknown;
}

interface Change {
  readonly version: number;
  readonly collection: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: StoredObject;
}

/** What `intercept` may do with a request instead of serving it. */
export type Intervention =
  | {
      readonly kind: 'refuse';
      readonly status: number;
      readonly reason: string;
      readonly retryAfter?: number;
    }
  /** Serve it, then cut the connection before a byte of the answer. */
  | { readonly kind: 'lose-answer' }
  /** Take it and never answer. */
  | { readonly kind: 'hang' }
  /** Answer with this instead. */
  | { readonly kind: 'answer'; readonly status: number; readonly contentType: string; readonly text: string }
  /** Open the watch and end it at once. */
  | { readonly kind: 'end-watch' };

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

export interface FakeApiServer {
  readonly access: ClusterAccess;
  /** Every request so far. */
  readonly seen: readonly SeenRequest[];
  readonly connections: { readonly accepted: number; readonly open: number };
  /** Resolves when a request that satisfies `matches` has come, now or later. */
  whenSeen(matches: (request: SeenRequest) => boolean): Promise<void>;
  /** Asked for each request; undefined: serve it. */
  intercept(decide: (request: SeenRequest) => Intervention | undefined): void;
  /** Forgets history: watches from before now, and pages of lists begun before now, are gone. */
  compact(): void;
  /** As when etcd is restored from a snapshot of that version: objects, history and versions are those of then. */
  restore(toVersion: number): void;
  bookmark(): void;
  /** Sends this text, whatever it is, on every open watch. */
  sendOnWatches(text: string): void;
  /** `end`: as after timeoutSeconds; `cut`: as when the network breaks. */
  closeWatches(how: 'end' | 'cut'): void;
  openWatches(): number;
  stop(): Promise<void>;
}

const PAGE_ITEMS_MAX = 10_000;

interface Watch {
  readonly collection: string;
  readonly response: ServerResponse;
  /** Nothing up to this version is sent: from the future it stays silent. */
  readonly from: number;
}

export async function startFakeApiServer(
  collections: readonly string[],
  options: { readonly pageItemsMax?: number } = {},
): Promise<FakeApiServer> {
  const objects = new Map<string, StoredObject>();
  const history: Change[] = [];
  const pages = new Map<string, { readonly version: number; readonly items: readonly StoredObject[] }>();
  const watches = new Set<Watch>();
  const seen: SeenRequest[] = [];
  const waiting = new Set<() => void>();
  let version = 100;
  let compactedAt = 0;
  const sockets = new Set<Socket>();
  let accepted = 0;
  let decide: (request: SeenRequest) => Intervention | undefined = () => undefined;

  const commit = (collection: string, type: Change['type'], raw: unknown): StoredObject => {
    version += 1;
    const { metadata, ...rest } = raw as StoredObject;
    const object = { ...rest, metadata: { ...metadata, resourceVersion: String(version) } };
    const key = `${collection}/${metadata.name}`;
    if (type === 'DELETED') objects.delete(key);
    else objects.set(key, object);
    const change = { version, collection, type, object };
    history.push(change);
    for (const watch of watches)
      if (watch.collection === collection && version > watch.from) sendFrame(watch.response, type, object);
    return object;
  };

  const list = (collection: string, query: URLSearchParams): Reply => {
    const limit = Math.min(
      Number(query.get('limit') ?? PAGE_ITEMS_MAX),
      options.pageItemsMax ?? PAGE_ITEMS_MAX,
    );
    const token = query.get('continue');
    const page = token === null ? { version, items: itemsOf(objects, collection) } : pages.get(token);
    if (page === undefined) return refuse(410, 'Expired');
    const rest = page.items.slice(limit);
    const next = rest.length === 0 ? '' : randomUUID();
    if (next !== '') pages.set(next, { version: page.version, items: rest });
    const metadata = { resourceVersion: String(page.version), ...(next === '' ? {} : { continue: next }) };
    return { status: 200, body: { kind: 'List', metadata, items: page.items.slice(0, limit) } };
  };

  const serveWatch = (collection: string, query: URLSearchParams, response: ServerResponse): void => {
    const from = Number(query.get('resourceVersion'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (from < compactedAt) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: refuse(410, 'Expired').body })}\n`);
      return;
    }
    for (const change of history)
      if (change.collection === collection && change.version > from)
        sendFrame(response, change.type, change.object);
    const watch = { collection, response, from };
    watches.add(watch);
    response.once('close', () => watches.delete(watch));
  };

  const serve = (request: SeenRequest, body: unknown): Reply => {
    const collection = collections.find((it) => it === request.path || request.path.startsWith(`${it}/`));
    if (collection === undefined) return refuse(404, 'NotFound');
    if (request.path === collection)
      return request.method === 'POST' ? create(collection, body) : list(collection, request.query);
    const stored = objects.get(request.path);
    if (stored === undefined) return refuse(404, 'NotFound');
    if (request.method === 'GET') return { status: 200, body: stored };
    // Of JSON patches it knows the empty one.
    if (request.method === 'PATCH' && !Array.isArray(body))
      return { status: 200, body: commit(collection, 'MODIFIED', mergePatch(stored, body)) };
    if (request.method === 'PATCH') return { status: 200, body: stored };
    if (request.method === 'PUT') {
      const { metadata } = body as StoredObject;
      if ((metadata.resourceVersion ?? stored.metadata.resourceVersion) !== stored.metadata.resourceVersion)
        return refuse(409, 'Conflict');
      const kept = { ...metadata, uid: stored.metadata.uid };
      return { status: 200, body: commit(collection, 'MODIFIED', { ...(body as object), metadata: kept }) };
    }
    const uid = (body as { preconditions?: { uid?: string } } | undefined)?.preconditions?.uid;
    if (uid !== undefined && uid !== stored.metadata.uid) return refuse(409, 'Conflict');
    return { status: 200, body: commit(collection, 'DELETED', stored) };
  };

  const create = (collection: string, body: unknown): Reply => {
    const { metadata, ...rest } = body as StoredObject;
    if (objects.has(`${collection}/${metadata.name}`)) return refuse(409, 'AlreadyExists');
    return {
      status: 201,
      body: commit(collection, 'ADDED', { ...rest, metadata: { ...metadata, uid: randomUUID() } }),
    };
  };

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://fake');
    const { method = '', headers } = incoming;
    const request = { method, path: pathname, query: searchParams, headers };
    const text = await readText(incoming);
    seen.push(request);
    for (const check of waiting) check();
    const intervention = decide(request);
    if (intervention?.kind === 'hang') return;
    if (intervention?.kind === 'end-watch') {
      response.writeHead(200, { 'content-type': 'application/json' }).end();
      return;
    }
    if (intervention?.kind === 'answer') {
      response.writeHead(intervention.status, { 'content-type': intervention.contentType });
      response.end(intervention.text);
      return;
    }
    if (intervention?.kind === 'refuse') {
      if (intervention.retryAfter !== undefined) response.setHeader('retry-after', intervention.retryAfter);
      sendReply(response, refuse(intervention.status, intervention.reason));
      return;
    }
    if (searchParams.get('watch') === 'true' && collections.includes(pathname)) {
      serveWatch(pathname, searchParams, response);
      return;
    }
    const reply = serve(request, text === '' ? undefined : JSON.parse(text));
    if (intervention?.kind === 'lose-answer') incoming.socket.destroy();
    else sendReply(response, reply);
  };

  const server = createServer((incoming, response) => void handle(incoming, response));
  server.on('connection', (socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('startFakeApiServer: no port');

  return {
    access: { server: `http://127.0.0.1:${address.port}` },
    seen,
    get connections() {
      return { accepted, open: sockets.size };
    },
    whenSeen: (matches) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!seen.some(matches)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    intercept(next) {
      decide = next;
    },
    compact() {
      version += 1;
      compactedAt = version;
      pages.clear();
    },
    restore(toVersion) {
      const kept = history.filter((change) => change.version <= toVersion);
      history.splice(0, history.length, ...kept);
      version = toVersion;
      objects.clear();
      for (const { collection, type, object } of kept) {
        const key = `${collection}/${object.metadata.name}`;
        if (type === 'DELETED') objects.delete(key);
        else objects.set(key, object);
      }
    },
    bookmark() {
      for (const { response } of watches)
        sendFrame(response, 'BOOKMARK', { metadata: { resourceVersion: String(version) } });
    },
    sendOnWatches(text) {
      for (const { response } of watches) response.write(text);
    },
    closeWatches(how) {
      for (const { response } of watches) how === 'end' ? response.end() : response.destroy();
    },
    openWatches: () => watches.size,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Reply {
  readonly status: number;
  readonly body: unknown;
}

function refuse(code: number, reason: string): Reply {
  return {
    status: code,
    body: { kind: 'Status', status: 'Failure', code, reason, message: `refused: ${reason}` },
  };
}

function itemsOf(objects: ReadonlyMap<string, StoredObject>, collection: string): readonly StoredObject[] {
  return [...objects].flatMap(([key, object]) => (key.startsWith(`${collection}/`) ? [object] : []));
}

function sendReply(response: ServerResponse, { status, body }: Reply): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function sendFrame(response: ServerResponse, type: string, object: unknown): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

async function readText(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {};
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  }
  return merged;
}
