/** A UDP socket on one of the node's own addresses, bound; what goes wrong before that throws. */
import { createSocket, type Socket } from 'node:dgram';
import { formatAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';

/** @param port 0: any that is free */
export async function openDatagramSocket(address: Address, port: number): Promise<Socket> {
  // Receivers are written as addresses: nothing is to be looked up.
  const socket = createSocket({
    type: address.family === 4 ? 'udp4' : 'udp6',
    lookup: (host, _, done) => done(null, host, address.family),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, formatAddress(address), () => {
      socket.off('error', reject);
      resolve();
    });
  });
  return socket;
}
