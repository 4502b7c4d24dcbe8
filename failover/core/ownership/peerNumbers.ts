/**
 * Peer → a number, 0 for those without one: a map that is replaced and never edited. A thousand peers change one at a time,
 * so what a change copies is a small part of it.
 */

/** A thousand peers are 16 to a bucket: about as much to copy as the list of the buckets. */
const BUCKETS = 64;

export type PeerNumbers = readonly ReadonlyMap<string, number>[];

const NOBODY: ReadonlyMap<string, number> = new Map();
export const NO_PEER_NUMBERS: PeerNumbers = Array.from({ length: BUCKETS }, () => NOBODY);

export function numberOf(numbers: PeerNumbers, peer: string): number {
  return numbers[bucketOf(peer)]?.get(peer) ?? 0;
}

export function withNumber(numbers: PeerNumbers, peer: string, value: number): PeerNumbers {
  const bucket = bucketOf(peer);
  return numbers.with(bucket, new Map(numbers[bucket]).set(peer, value));
}

/** Nodes are named alike but for their last letters, and so these count the most. */
function bucketOf(peer: string): number {
  let hash = 0;
  for (let index = 0; index < peer.length; index += 1)
    hash = (Math.imul(hash, 31) + peer.charCodeAt(index)) | 0;
  return (hash >>> 0) % BUCKETS;
}
