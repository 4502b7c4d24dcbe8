/**
 * The JSON text of a message, as `parsePeerMessage` reads it: the message itself, but for holdings. Each is a list of four,
 * so that one packet says fifty and a thousand agents are told of a gateway's addresses three times as fast.
 */
import type { PeerMessage } from './messages.ts';

export function renderPeerMessage(message: PeerMessage): string {
  if (message.kind !== 'moved') return JSON.stringify(message);
  const holdings = message.holdings.map(({ address, right: { epoch, index }, blocksVersion }) => [
    address,
    epoch,
    index,
    blocksVersion,
  ]);
  return JSON.stringify({ ...message, holdings });
}
