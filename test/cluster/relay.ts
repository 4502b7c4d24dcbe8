import { connect, type Server, type Socket } from 'node:net';

/** Carries connections made on the machine's 127.0.0.1 to the API server: the listening socket, handed over by the
 * parent, stays in the network namespace it was made in; what this process opens is in the control plane's. */
function carry(client: Socket): void {
  const upstream = connect({ host: '127.0.0.1', port: 6443 });
  const end = (): void => {
    client.destroy();
    upstream.destroy();
  };
  client.on('error', end).on('close', end);
  upstream.on('error', end).on('close', end);
  client.pipe(upstream).pipe(client);
}

process.on('message', (_message, server) => {
  (server as Server).on('connection', carry);
  process.send?.('serving', () => process.disconnect());
});
