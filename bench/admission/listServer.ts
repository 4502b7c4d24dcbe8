/**
 * An API server that lists what it is given and holds the certificate Secret: as much as a webhook needs to start. Objects
 * are made while a page is written, so that the cluster of 100,000 costs this process nothing.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface Collection {
  readonly count: number;
  readonly at: (index: number) => unknown;
  /** The object of this name, where single ones are asked for; absent: there is none. */
  readonly named?: (name: string) => unknown;
}

export interface ListServer {
  /** For KUBECONFIG. */
  readonly url: string;
  stop(): Promise<void>;
}

/** Real ones send one about each minute; a webhook believes nothing that it has not heard of for three. */
const BOOKMARK_MS = 20_000;
const PAGE_ITEMS = 500;
const SINGLE_OBJECT = /\/secrets\/|webhookconfigurations\//;

/** By collection path; every other collection is empty. */
export async function startListServer(
  collections: Readonly<Record<string, Collection>>,
): Promise<ListServer> {
  const secrets = new Map<string, unknown>();
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://list');
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (request.method === 'POST' || request.method === 'PUT') {
      const secret = JSON.parse(await readText(request)) as { readonly metadata: { readonly name: string } };
      const stored = { ...secret, metadata: { ...secret.metadata, resourceVersion: '2', uid: 'u' } };
      secrets.set(secret.metadata.name, stored);
      return answer(201, stored);
    }
    if (SINGLE_OBJECT.test(pathname)) {
      const stored = secrets.get(splitLast(pathname)[1]);
      if (stored !== undefined) return answer(200, stored);
      return answer(404, {
        kind: 'Status',
        status: 'Failure',
        code: 404,
        reason: 'NotFound',
        message: 'none',
      });
    }
    if (searchParams.get('watch') === 'true') return keepOpen(response);
    const [folder, name] = splitLast(pathname);
    const single = collections[folder]?.named?.(name);
    if (single !== undefined) return answer(200, single);
    const { count, at } = collections[pathname] ?? { count: 0, at: () => ({}) };
    const from = Number(searchParams.get('continue') ?? 0);
    const to = Math.min(count, from + Number(searchParams.get('limit') ?? PAGE_ITEMS));
    const items = Array.from({ length: to - from }, (_, offset) => at(from + offset));
    const metadata = { resourceVersion: '1', ...(to < count ? { continue: String(to) } : {}) };
    answer(200, { kind: 'List', apiVersion: 'v1', metadata, items });
  };
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('startListServer: no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function splitLast(pathname: string): readonly [string, string] {
  const at = pathname.lastIndexOf('/');
  return [pathname.slice(0, at), pathname.slice(at + 1)];
}

function keepOpen(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  const bookmark = (): void => {
    response.write(
      `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '1' } } })}\n`,
    );
  };
  bookmark();
  const timer = setInterval(bookmark, BOOKMARK_MS);
  response.once('close', () => clearInterval(timer));
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
