/** What the command prints, as text to be reviewed as a diff. `UPDATE_GOLDEN=1` writes it anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readStatus, type StatusObjects } from '../../cli/core/clusterStatus.ts';
import { COMMAND_NAMES } from '../../cli/core/command.ts';
import { renderHelp } from '../../cli/core/renderHelp.ts';
import { renderStatus } from '../../cli/core/renderStatus.ts';
import { runCommand } from '../../cli/io/runCommand.ts';

const FOLDER = path.resolve(import.meta.dirname, '../golden/cli');

function expectGolden(file: string, text: string): void {
  const golden = path.join(FOLDER, file);
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(golden, text);
  expect(text).toBe(readFileSync(golden, 'utf8'));
}

/** From standard input, so that no name of a folder stands in the report. */
async function validate(
  ...options: readonly string[]
): Promise<{ readonly text: string; readonly code: number }> {
  const printed: string[] = [];
  const code = await runCommand(['validate', '-', ...options], {
    terminal: { out: (text) => void printed.push(text), tell: (line) => void printed.push(`${line}\n`) },
    stdin: Readable.from([readFileSync(path.join(FOLDER, 'policies.yaml'), 'utf8')]),
    config: { kubeconfigPaths: [] },
  });
  return { text: printed.join('').replaceAll(FOLDER, ''), code };
}

const FACTS = ['--cluster-facts', path.join(FOLDER, 'facts.json')];
test.each([
  { name: 'for a terminal', file: 'validate.txt', options: [] },
  { name: 'for a terminal, with the facts of a cluster', file: 'validateFacts.txt', options: FACTS },
  { name: 'as JSON', file: 'validate.json', options: ['-o', 'json'] },
  {
    name: 'as JSON, with the facts of a cluster',
    file: 'validateFacts.json',
    options: [...FACTS, '-o', 'json'],
  },
  { name: 'as SARIF', file: 'validate.sarif', options: ['-o', 'sarif'] },
])('the report $name is the reviewed one', async ({ file, options }) => {
  const { text, code } = await validate(...options);
  expectGolden(file, text);
  expect(code).toBe(1);
});

test.each(['text', 'json'] as const)('the status as %s is the reviewed one', (format) => {
  const objects = parse(readFileSync(path.join(FOLDER, 'status.yaml'), 'utf8')) as StatusObjects;
  expectGolden(`status.${format === 'text' ? 'txt' : 'json'}`, renderStatus(readStatus(objects), format));
});

test('the pages are the reviewed ones, and fit into a terminal', () => {
  const pages = [undefined, ...COMMAND_NAMES].map(renderHelp);
  expectGolden('help.txt', pages.join('\n'));
  for (const line of pages.join('\n').split('\n')) expect(line.length).toBeLessThanOrEqual(130);
});
