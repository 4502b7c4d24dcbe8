/** A name made of content: equal text, equal name, so that presence in the kernel tells what is there. */

const OFFSET = 0xcbf2_9ce4_8422_2325n;
const PRIME = 0x0000_0100_0000_01b3n;
const MASK = 0xffff_ffff_ffff_ffffn;

/** FNV-1a, 64 bits (draft-eastlake-fnv), as 16 hex digits. No defence against an adversary is needed or given. */
export function contentHash(text: string): string {
  let hash = OFFSET;
  for (let index = 0; index < text.length; index += 1) {
    hash = ((hash ^ BigInt(text.charCodeAt(index))) * PRIME) & MASK;
  }
  return hash.toString(16).padStart(16, '0');
}
