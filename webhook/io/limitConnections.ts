/** Keeps one address from taking all connections of a server; who has too many is closed before a handshake is paid for. */
import type { Server, Socket } from 'node:net';

export function limitConnections(server: Server, perAddressMax: number): void {
  const open = new Map<string, number>();
  // First in line: what is destroyed here no other listener spends anything on.
  server.prependListener('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const count = (open.get(address) ?? 0) + 1;
    if (count > perAddressMax) {
      socket.destroy();
      return;
    }
    open.set(address, count);
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
  });
}
