/** What the golden files say, the real nft accepts and gives back in the same spelling. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { diffElements } from '../../failover/core/dataplane/diffElements.ts';
import { parseTables } from '../../failover/core/dataplane/parseTables.ts';
import { renderElements } from '../../failover/core/dataplane/renderElements.ts';
import { examplePlan } from '../lab/dataPlaneExample.ts';

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
