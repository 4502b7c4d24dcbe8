/**
 * A way to an API server on which what is under way can be held up: connections that are open then hear nothing more, as
 * when a watch lags behind, while new ones go through.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import type { ApiServer } from './apiServer.ts';

export interface LaggingAccess {
  readonly kubeconfigPath: string;
  /** From now on nothing comes back on the connections that there are. */
  holdUp(): void;
  stop(): Promise<void>;
}

export async function createLaggingAccess(api: ApiServer): Promise<LaggingAccess> {
  const target = new URL(api.access.server);
  const open = new Set<Socket>();
  const server = createServer((incoming) => {
    const outgoing = connect({ host: target.hostname, port: Number(target.port) });
    open.add(outgoing);
    for (const [from, to] of [[incoming, outgoing] as const, [outgoing, incoming] as const]) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        open.delete(outgoing);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, target.hostname, resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('createLaggingAccess: no port');
  const kubeconfigPath = `${api.kubeconfigPath}-lagging`;
  const text = readFileSync(api.kubeconfigPath, 'utf8');
  const url = `https://${target.hostname}:${address.port}`;
  writeFileSync(kubeconfigPath, text.replaceAll(api.access.server, url), { mode: 0o600 });
  return {
    kubeconfigPath,
    holdUp: () => {
      for (const socket of open) socket.unpipe();
    },
    stop: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
