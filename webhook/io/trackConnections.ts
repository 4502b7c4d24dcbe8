/** Knows when a server has no connection open. */
import type { Server, Socket } from 'node:net';

export interface Connections {
  /** Resolves at once where none is open, else when the last one is closed. */
  untilNone(): Promise<void>;
}

export function trackConnections(server: Server): Connections {
  let open = 0;
  let waiting: (() => void)[] = [];
  server.on('connection', (socket: Socket) => {
    open += 1;
    socket.once('close', () => {
      open -= 1;
      if (open > 0) return;
      for (const wake of waiting) wake();
      waiting = [];
    });
  });
  return {
    untilNone: () =>
      open === 0 ? Promise.resolve() : new Promise<void>((resolve) => void waiting.push(resolve)),
  };
}
