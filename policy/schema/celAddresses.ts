/**
 * Expressions in CEL about the addresses in a policy. CEL in a CRD has no variables and does not order addresses, so
 * these are composed: each function gives the text of an expression and takes the texts of its parts.
 *
 * Texts must be fields, or pieces of fields: what a text costs that CEL made itself is taken for infinite.
 */
import { POLICY_ADDRESSES_MAX } from '../parsePolicy.ts';

/** A prefix with more host bits holds more addresses than any policy may, and is refused for that. */
export const HOST_BITS_MAX = Math.floor(Math.log2(POLICY_ADDRESSES_MAX));
const SIZES = `[${Array.from({ length: HOST_BITS_MAX + 1 }, (_, bits) => 2 ** bits).join(', ')}]`;
/** Which groups of an IPv6 address make up each of its three numbers. */
const WORDS = [
  [0, 1, 2],
  [3, 4, 5],
  [6, 7],
];
const HEX = "'0123456789abcdef'";
/** `body` with `value` known as `name`: a list of one is the only variable there is. */
export function within(name: string, value: string, body: string): string {
  return `[${value}].map(${name}, ${body})[0]`;
}

/** Numbers of the groups of an IPv6 text without `::`. */
function groups(text: string): string {
  const digit = `${HEX}.indexOf(g.charAt(i)) * [1, 16, 256, 4096][size(g) - 1 - i]`;
  const group = `[0, 1, 2, 3].filter(i, i < size(g)).map(i, ${digit}).sum()`;
  return `${text}.split(':', 8).filter(g, g != '').map(g, ${group})`;
}

/**
 * A canonical address as a list of three numbers whose order is that of addresses: of IPv6 the bits 0–47, 48–95 and
 * 96–127; of IPv4 -1, 0 and all its bits. Within JSON's safe integers.
 */
export function numbersOf(text: string): string {
  const octets = within(
    'o',
    `${text}.split('.', 4).map(o, int(o))`,
    `[-1, 0, ${joinBits('o', [0, 1, 2, 3], 8)}]`,
  );
  const gap = `${text}.indexOf('::')`;
  const left = groups(`(${gap} < 0 ? ${text} : ${text}.substring(0, ${gap}))`);
  const right = groups(`(${gap} < 0 ? '' : ${text}.substring(${gap} + 2))`);
  const zeros = '[0, 1, 2, 3, 4, 5, 6, 7].filter(i, i < 8 - size(l) - size(r)).map(i, 0)';
  const bits = WORDS.map((places) => joinBits('w', places, 16)).join(', ');
  const words = within('l', left, within('r', right, within('w', `l + ${zeros} + r`, `[${bits}]`)));
  return `(${text}.contains(':') ? ${words} : ${octets})`;
}

function joinBits(list: string, places: readonly number[], width: number): string {
  return places
    .map((place, index) => `${list}[${place}] * ${2 ** (width * (places.length - 1 - index))}`)
    .join(' + ');
}

/** `a` comes before `b` or is the same; both are lists of three numbers. */
export function notAfter(a: string, b: string): string {
  const lowest = `${a}[2] <= ${b}[2]`;
  return [1, 0].reduce(
    (rest, it) => `(${a}[${it}] < ${b}[${it}] || (${a}[${it}] == ${b}[${it}] && ${rest}))`,
    lowest,
  );
}

export const isPrefix = (text: string): string =>
  `isCIDR(${text}) && string(cidr(${text}).masked()) == ${text}`;
export const isAddress = (text: string): string => `isIP(${text}) && ip.isCanonical(${text})`;
export const hostBits = (text: string): string =>
  `(${text}.contains(':') ? 128 : 32) - cidr(${text}).prefixLength()`;

/** First and last address of a sound entry; an empty list for any other, and for a prefix that is too wide. */
function boundsOf(entry: string): string {
  const [prefix, from, to] = [`${entry}.cidr`, `${entry}.from`, `${entry}.to`];
  const first = numbersOf(`${prefix}.substring(0, ${prefix}.indexOf('/'))`);
  const last = `[f[0], f[1], f[2] + ${SIZES}[${hostBits(prefix)}] - 1]`;
  const narrow = `${isPrefix(prefix)} && ${hostBits(prefix)} <= ${HOST_BITS_MAX}`;
  const range = `has(${from}) && has(${to}) && ${isAddress(from)} && ${isAddress(to)}`;
  return `(has(${prefix}) ? (${narrow} ? ${within('f', first, `[f, ${last}]`)} : []) : (${range} ? [${numbersOf(from)}, ${numbersOf(to)}] : []))`;
}

/** First and last address of every sound entry of a list, `self`. */
export const ALL_BOUNDS = `self.map(e, ${boundsOf('e')}).filter(b, size(b) == 2 && ${notAfter('b[0]', 'b[1]')})`;
