/**
 * What the parser accepts is exactly what Go's netip, nft with its kernel, and the parser read in the same way: each of them
 * writes it back as it was written. Shown for the corpus, and for texts near valid ones.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatCidr, parseCidr } from '../../policy/cidr.ts';
import corpus from './cidrCorpus.json' with { type: 'json' };

const NAMESPACE = `cidr-text-${process.pid}`;
/** The build of one file of Go, on a cold cache and a busy machine. */
const BUILD_MS = 300_000;
const NEAR_TEXTS = 2000;
/** Each is a process of nft. */
const NEAR_TEXTS_IN_KERNEL = 150;
/** fast-check's, printed when it fails; replays the run. */
const SEED = 20_261_129;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cidr-text-'));
  execFileSync('go', ['build', '-o', path.join(folder, 'netip'), '.'], {
    cwd: path.join(import.meta.dirname, 'netip'),
    env: { ...process.env, GOFLAGS: '', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' },
  });
  execFileSync('ip', ['netns', 'add', NAMESPACE]);
  const sets = ['v4 { type ipv4_addr; flags interval; }', 'v6 { type ipv6_addr; flags interval; }'];
  expect(inKernel(['add table inet t', ...sets.map((set) => `add set inet t ${set}`)].join('\n'))).toBe(true);
}, BUILD_MS);
afterAll(() => {
  execFileSync('ip', ['netns', 'del', NAMESPACE]);
  rmSync(folder, { recursive: true });
});

/** Whether nft and the kernel took it. */
function inKernel(commands: string): boolean {
  const { status } = spawnSync('ip', ['netns', 'exec', NAMESPACE, 'nft', '-f', '-'], {
    input: `${commands}\n`,
    encoding: 'utf8',
  });
  return status === 0;
}

/** As Go writes what it read, by text; empty: it refuses. */
function asGo(texts: readonly string[]): readonly string[] {
  const output = execFileSync(path.join(folder, 'netip'), { input: JSON.stringify(texts), encoding: 'utf8' });
  return JSON.parse(output) as readonly string[];
}

/** As the kernel gives back what nft made of it; empty: nft refuses, or it was no single prefix. */
function asKernel(text: string): string {
  const set = text.includes(':') ? 'v6' : 'v4';
  if (!inKernel(`flush set inet t ${set}\nadd element inet t ${set} { ${text} }`)) return '';
  const listed = spawnSync('ip', ['netns', 'exec', NAMESPACE, 'nft', '-j', 'list', 'set', 'inet', 't', set], {
    encoding: 'utf8',
  });
  const document = JSON.parse(listed.stdout) as {
    readonly nftables: readonly { readonly set?: { readonly elem?: readonly unknown[] } }[];
  };
  const elements = document.nftables.flatMap((entry) => entry.set?.elem ?? []);
  return elements.length === 1 ? prefixOf(elements[0], set) : '';
}

function prefixOf(element: unknown, set: 'v4' | 'v6'): string {
  // A whole host is written without its length.
  if (typeof element === 'string') return `${element}/${set === 'v4' ? 32 : 128}`;
  const { prefix } = element as { readonly prefix?: { readonly addr: string; readonly len: number } };
  return prefix === undefined ? '' : `${prefix.addr}/${prefix.len}`;
}

function asWe(text: string): string {
  const parsed = parseCidr(text);
  return parsed.kind === 'ok' ? formatCidr(parsed.value) : '';
}

/** Read alike by all, and refused on purpose: it means an address of the other family. */
const isMapped = (text: string): boolean => text.includes(':') && text.includes('.');

/** nft's own language would see more than one word in these, or none. */
const isOneWord = (text: string): boolean => /^[^\s{};#,"'$@\\*\0]+$/.test(text);

test('of the corpus, what is accepted is what all three write back as it was written', () => {
  const texts = [...corpus.accepted, ...corpus.refused];
  const go = asGo(texts);
  const agreed = texts.filter(
    (text, at) => go[at] === text && !isMapped(text) && isOneWord(text) && asKernel(text) === text,
  );
  expect(agreed).toEqual(corpus.accepted);
  expect(texts.filter((text) => asWe(text) !== '')).toEqual(corpus.accepted);
  // Each reader alone takes more than that, or it would not be worth asking.
  expect(go.filter((read, at) => read !== '' && read !== texts[at]).length).toBeGreaterThan(20);
}, 240_000);

const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc
    .array(fc.constantFrom('0', '1', 'db8', 'ffff', ''), { minLength: 2, maxLength: 8 })
    .map((it) => it.join(':')),
  fc.array(fc.constantFrom('0', '10', '255', '01'), { minLength: 3, maxLength: 4 }).map((it) => it.join('.')),
);
const near = fc.oneof(
  fc.tuple(address, fc.nat(130)).map(([text, length]) => `${text}/${length}`),
  fc
    .tuple(
      fc.constantFrom(...corpus.accepted),
      fc.nat(40),
      fc.constantFrom('', '0', ':', '.', 'f', 'F', '/', '1'),
    )
    .map(([text, at, piece]) => `${text.slice(0, at)}${piece}${text.slice(at + 1)}`),
  // Without host bits, in whatever spelling.
  fc
    .tuple(fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }), fc.integer({ min: 0, max: 32 }))
    .map(([bits, length]) => {
      const network = (bits >> BigInt(32 - length)) << BigInt(32 - length);
      return `${[24n, 16n, 8n, 0n].map((shift) => (network >> shift) & 255n).join('.')}/${length}`;
    }),
);

test('of texts near valid ones too: Go agrees on each, and the kernel on what both take', () => {
  const texts = [...new Set(fc.sample(near, { numRuns: NEAR_TEXTS, seed: SEED }))];
  const go = asGo(texts);
  const ours = texts.map(asWe);
  const accepted = texts.filter((text, at) => ours[at] === text);
  expect(accepted.length).toBeGreaterThan(100);
  for (const [at, text] of texts.entries()) {
    // We write what we take as it was written, and so does Go.
    expect([text, ours[at]]).toEqual([text, ours[at] === '' ? '' : text]);
    if (ours[at] !== '') expect([text, go[at]]).toEqual([text, text]);
  }
  const onlyGo = texts.filter((text, at) => go[at] === text && ours[at] === '' && !isMapped(text));
  for (const text of accepted.slice(0, NEAR_TEXTS_IN_KERNEL))
    expect([text, asKernel(text)]).toEqual([text, text]);
  for (const text of onlyGo) expect([text, asKernel(text)]).not.toEqual([text, text]);
}, 240_000);
