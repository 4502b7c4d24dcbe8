/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): each pair has a weight, the highest wins. A choice stays while it
 * is in the set, and a member that leaves moves only what had chosen it.
 */

/** FNV-1a over both texts, finished by MurmurHash3's avalanche so that neighbouring texts do not correlate; 0..2³²-1. */
export function rendezvousWeight(key: string, member: string): number {
  let hash = 0x811c9dc5;
  for (const character of `${key}|${member}`) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
