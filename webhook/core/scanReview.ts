/**
 * Looks over the text of a review that nobody has parsed yet, or that nobody can: how deep it nests, and which uid it
 * names. Iterative, so no depth can hurt it, and lenient: a text that breaks off still tells its uid if that came before.
 * Whether it is JSON at all is the parser's to say.
 */

/** A policy with its managed fields nests to a depth of about 15; what recurses over objects later is safe with this. */
export const DEPTH_MAX = 64;
/** API servers send UUIDs of 36 characters. */
export const UID_LENGTH_MAX = 128;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
/** `{` and `[`, `}` and `]` differ in this bit alone, which the comparisons below leave out. */
const BRACE_BIT = 0x20;
const OPENING = 0x5b;
const CLOSING = 0x5d;

/** @param text JSON, or what claims to be, in UTF-8. */
export function nestsTooDeep(text: Uint8Array): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const byte = text[at] ?? 0;
    if (byte === QUOTE) at = endOfString(text, at + 1);
    else if (byte >= OPENING) depth += nesting(byte);
    if (depth > DEPTH_MAX) return true;
  }
  return false;
}

/** `request.uid`, if it is plain ASCII of at most `UID_LENGTH_MAX` characters; the first, where there are several. */
export function findUid(text: Uint8Array): string | undefined {
  let depth = 0;
  let word: string | undefined;
  /** Under which key the place is, by depth. */
  const keys: (string | undefined)[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const byte = text[at] ?? 0;
    const opens = byte >= OPENING ? nesting(byte) : 0;
    depth += opens;
    if (depth > 2) at = byte === QUOTE ? endOfString(text, at + 1) : at;
    else if (byte === QUOTE) {
      const from = at + 1;
      at = endOfString(text, from);
      word = plainText(text, from, at);
      if (depth === 2 && keys[1] === 'request' && keys[2] === 'uid') return word;
    } else if (byte === COLON) keys[depth] = word;
    else if (byte === COMMA || opens > 0) keys[depth] = undefined;
  }
  return undefined;
}

function nesting(byte: number): -1 | 0 | 1 {
  const bracket = byte & ~BRACE_BIT;
  return bracket === OPENING ? 1 : bracket === CLOSING ? -1 : 0;
}

/** Where the closing quote is, or the end of a text that breaks off. */
function endOfString(text: Uint8Array, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== QUOTE) at += text[at] === BACKSLASH ? 2 : 1;
  return Math.min(at, text.length);
}

function plainText(text: Uint8Array, from: number, to: number): string | undefined {
  if (to === text.length || to === from || to - from > UID_LENGTH_MAX) return undefined;
  const bytes = text.subarray(from, to);
  const plain = bytes.every((byte) => byte >= 0x20 && byte < 0x7f && byte !== BACKSLASH);
  return plain ? String.fromCharCode(...bytes) : undefined;
}
