import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { buildArguments, readProvenance } from '../image/imageLabels.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-labels-'));
  manifest();
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function manifest(repository?: unknown): void {
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ version: '1.2.3', repository }));
}

function git(...args: readonly string[]): string {
  const who = ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'commit.gpgsign=false'];
  const { status, stdout, stderr } = spawnSync('git', [...who, ...args], { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

test('what is not known is not said', () => {
  expect(buildArguments(readProvenance(folder))).toEqual(['--build-arg', 'VERSION=1.2.3']);
});

test('the revision is the commit, and says where the tree is another, whatever tags there are', () => {
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '--message', 'one');
  git('tag', '--annotate', 'v1', '--message', 'v1');
  const commit = git('rev-parse', 'HEAD');
  expect(readProvenance(folder).revision).toBe(commit);
  manifest('https://git.example.com/sallyport');
  expect(readProvenance(folder).revision).toBe(`${commit}-dirty`);
  expect(buildArguments(readProvenance(folder))).toEqual([
    ...['--build-arg', 'VERSION=1.2.3'],
    ...['--build-arg', `REVISION=${commit}-dirty`],
    ...['--build-arg', 'SOURCE=https://git.example.com/sallyport'],
  ]);
});

test.each([
  { name: 'a URL', repository: 'https://git.example.com/sallyport' },
  {
    name: 'an object with a URL',
    repository: { type: 'git', url: 'git+https://git.example.com/sallyport.git' },
  },
])('the source is what package.json has as $name', ({ repository }) => {
  manifest(repository);
  expect(readProvenance(folder).source).toBe('https://git.example.com/sallyport');
});
