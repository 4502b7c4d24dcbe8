/** A file is named after its main export, in lowerCamel, and no file is a drawer for whatever had no place. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const FOLDERS = [
  'policy',
  'kube',
  'runtime',
  'webhook',
  'failover',
  'certs',
  'cli',
  'test',
  'bench',
  'scripts',
];
const DRAWERS = new Set(['utils', 'helpers', 'common', 'types', 'misc']);
/** Mains and folders' tables of names have no single main export. */
const LOWER_CAMEL = /^[a-z][a-zA-Z0-9]*(\.kernel)?(\.test)?(\.d)?\.ts$/;

const files = FOLDERS.flatMap((folder) => {
  try {
    return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.includes('node_modules'))
      .map((file) => path.join(folder, file));
  } catch {
    return [];
  }
});

function nameProblems(file: string): readonly string[] {
  const base = path.basename(file);
  const stem = base.split('.')[0] ?? '';
  if (!LOWER_CAMEL.test(base)) return [`${file}: not lowerCamel`];
  if (DRAWERS.has(stem)) return [`${file}: a drawer, not a name`];
  return [];
}

test('file names tell their main export', () => {
  expect(files.length).toBeGreaterThan(10);
  expect(files.flatMap(nameProblems)).toEqual([]);
});

test('a drawer and a wrong case are found', () => {
  expect(nameProblems('policy/utils.ts')).toHaveLength(1);
  expect(nameProblems('policy/FooBar.ts')).toHaveLength(1);
  expect(nameProblems('policy/foo-bar.ts')).toHaveLength(1);
});

test('there are no default exports outside tool configuration', () => {
  const offenders = files.filter((file) =>
    /^export default/m.test(readFileSync(path.join(ROOT, file), 'utf8')),
  );
  expect(offenders).toEqual([]);
});
