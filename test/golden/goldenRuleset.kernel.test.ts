/** What the golden files say, the real nft accepts and gives back in the same spelling. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { diffElements, diffInPieces } from '../../failover/core/dataplane/diffElements.ts';
import {
  flushCommands,
  GUARD_TABLE,
  tokenCommands,
  unguardCommands,
} from '../../failover/core/dataplane/guardRuleset.ts';
import { tokenElement } from '../../failover/core/dataplane/kernelCommands.ts';
import { parseTables } from '../../failover/core/dataplane/parseTables.ts';
import { renderElements } from '../../failover/core/dataplane/renderElements.ts';
import {
  EXAMPLE_DURATIONS,
  EXAMPLE_TOKEN,
  examplePlan,
  exampleRules,
  exampleRuleset,
} from '../lab/dataPlaneExample.ts';

const NAMESPACE = `dp-golden-${process.pid}`;
const inside = (command: readonly string[], input = ''): string =>
  execFileSync('ip', ['netns', 'exec', NAMESPACE, ...command], { input, encoding: 'utf8' });

beforeAll(() => {
  execFileSync('ip', ['netns', 'add', NAMESPACE]);
  inside(
    ['ip', '-batch', '-'],
    'link add eth0 type veth peer name peer\nlink add egress0 type vxlan id 1 dstport 4790\n',
  );
});
afterAll(() => {
  execFileSync('ip', ['netns', 'del', NAMESPACE]);
});

test.each([
  { node: 'gw-1', file: 'gateway.nft' },
  { node: 'worker-1', file: 'worker.nft' },
] as const)('$file loads, and reading it back leaves nothing to change', ({ node, file }) => {
  const text = readFileSync(path.resolve(import.meta.dirname, file), 'utf8');
  inside(['nft', '--check', '-f', '-'], text);
  inside(['nft', '-f', '-'], text);
  const documents = ['inet', 'netdev'].map(
    (family) => JSON.parse(inside(['nft', '-j', 'list', 'table', family, 'sallyport'])) as unknown,
  );
  const { state } = parseTables(documents);
  expect(diffElements(state, renderElements(examplePlan(node), state))).toBe('');
});

test.each(['gw-1', 'worker-1'] as const)(
  'new rules of %s take the place of all old ones, under sets that stay',
  (node) => {
    const rules = exampleRules(node);
    inside(['nft', '-f', '-'], exampleRuleset(node));
    const list = (): string =>
      ['inet', 'netdev'].map((family) => inside(['nft', 'list', 'table', family, 'sallyport'])).join('');
    const before = list();
    inside(['nft', '-f', '-'], 'add rule inet sallyport steer drop\nadd chain inet sallyport left_over\n');
    const documents = ['inet', 'netdev'].map(
      (family) => JSON.parse(inside(['nft', '-j', 'list', 'table', family, 'sallyport'])) as unknown,
    );
    const { state, chains } = parseTables(documents);
    const filled = diffInPieces(state, renderElements(examplePlan(node), state), { emptied: true });
    inside(['nft', '-f', '-'], rules.renewal(chains) + [...filled].join(''));
    expect(sorted(list())).toEqual(sorted(before));
  },
);

/** Chains and objects are listed in the order they were made in. */
function sorted(listing: string): readonly string[] {
  const bodies = listing.replaceAll(/^(?:table .*\{|\})\n/gm, '\n');
  return bodies
    .split('\n\n')
    .map((body) => body.trim())
    .toSorted();
}

test('after gateway.nft the guard holds what it says, and gives up what it is told to', () => {
  const text = readFileSync(path.resolve(import.meta.dirname, 'gateway.nft'), 'utf8');
  inside(['nft', '-f', '-'], text);
  const list = (): string => inside(['nft', 'list', 'table', 'netdev', GUARD_TABLE]);
  expect(list()).toContain('elements = { 203.0.113.100, 203.0.113.101 }');
  expect(list()).toContain('elements = { 203.0.113.100 : 0x80000007 }');
  expect(list()).toContain('elements = { 0x20010db8000000000000000000000100 }');
  expect(list()).toContain('elements = { 0x20010db8000000000000000000000100 : 0x80000007 }');
  expect(list()).toContain(`elements = { ${tokenElement(EXAMPLE_TOKEN)} }`);
  const another = EXAMPLE_TOKEN.map((byte) => byte ^ 0xff);
  inside(
    ['nft', '-f', '-'],
    tokenCommands(another) +
      flushCommands(EXAMPLE_DURATIONS) +
      unguardCommands(['203.0.113.100', '2001:db8::100']),
  );
  expect(list()).toContain(`elements = { ${tokenElement(another)} }`);
  expect(list()).not.toContain('203.0.113.100');
  expect(list()).not.toContain('0x20010db8');
});
