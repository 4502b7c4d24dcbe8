/** The rules as text, to be reviewed as a diff. `UPDATE_GOLDEN=1` writes them anew; the kernel's nft checks them. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { exampleRuleset } from '../lab/dataPlaneExample.ts';

test.each([
  { name: 'a gateway', node: 'gw-1', file: 'gateway.nft' },
  { name: 'a worker', node: 'worker-1', file: 'worker.nft' },
] as const)('the ruleset of $name is the reviewed one', ({ node, file }) => {
  const golden = path.resolve(import.meta.dirname, '../golden', file);
  const text = exampleRuleset(node);
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(golden, text);
  expect(text).toBe(readFileSync(golden, 'utf8'));
});
