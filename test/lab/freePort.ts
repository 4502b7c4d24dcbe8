import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below net.ipv4.ip_local_port_range (32768 by default): a port of that range that was free a moment ago may since have
 * become the near end of somebody's connection, and the server it was meant for ends with "address already in use".
 */
const LOWEST = 20_000;
const HIGHEST = 32_767;
const TRIES = 100;

/** A port of 127.0.0.1 that nothing listens on, for a server that wants to be told its port. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const port = randomInt(LOWEST, HIGHEST + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port among ${TRIES} of 127.0.0.1`);
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
