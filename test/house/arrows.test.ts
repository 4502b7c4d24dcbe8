/**
 * The dependency arrows of the project: `policy ← X/core ← X/io ← main`, programs never import one another, nothing
 * imports `test/`. Read from the import lines of every source file.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const PROGRAMS = ['webhook', 'failover', 'certs', 'cli'] as const;
const FOLDERS = ['policy', 'kube', 'runtime', ...PROGRAMS].filter((folder) =>
  existsSync(path.join(ROOT, folder)),
);

/** What a folder may import from, beside itself. certs runs in the webhook's process. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  policy: [],
  kube: ['policy', 'runtime'],
  runtime: ['policy'],
  webhook: ['policy', 'kube', 'runtime', 'certs'],
  failover: ['policy', 'kube', 'runtime'],
  certs: ['policy', 'kube', 'runtime'],
  cli: ['policy', 'kube', 'runtime'],
};
/** What a core may import from outside its own folder: pure things only. */
const PURE = /^(policy\/|[a-z]+\/core\/)/;

/** Packages that are pure themselves, by the core that works with them. */
const PURE_PACKAGES: Readonly<Record<string, RegExp>> = { policy: /^(ipaddr\.js|ajv)/, cli: /^yaml$/ };

function sources(folder: string): readonly string[] {
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.includes('node_modules'))
    .map((file) => path.join(folder, file));
}

function imports(file: string): readonly string[] {
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  const statement =
    /^(?:import|export)\b[^;'`]*?\bfrom '([^']+)';|^import '([^']+)';|\bimport\('([^']+)'\)/gm;
  return [...text.matchAll(statement)].flatMap(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? []);
}

function resolved(file: string, target: string): string {
  return path.relative(ROOT, path.resolve(ROOT, path.dirname(file), target));
}

const isTest = (file: string): boolean => file.endsWith('.test.ts');

function arrowProblems(file: string, targets: readonly string[]): readonly string[] {
  const folder = file.split('/')[0] ?? '';
  const core = folder === 'policy' || file.includes('/core/');
  return targets.flatMap((target) => {
    if (!target.startsWith('.')) {
      const allowedInCore = PURE_PACKAGES[folder]?.test(target) === true;
      return core && !allowedInCore ? [`${file}: a core imports the package ${target}`] : [];
    }
    const to = resolved(file, target);
    const toFolder = to.split('/')[0] ?? '';
    if (toFolder !== folder && !(ALLOWED[folder] ?? []).includes(toFolder))
      return [`${file} → ${to}: no such arrow`];
    if (core && !PURE.test(to)) return [`${file} → ${to}: a core imports what is not pure`];
    if (file.includes('/io/') && /\/(main|agent|controller|ownership|cleanup|uninstall)\.ts$/.test(to))
      return [`${file} → ${to}: io imports a main`];
    return [];
  });
}

test('every import follows an arrow', () => {
  const files = FOLDERS.flatMap(sources).filter((file) => !isTest(file));
  expect(files.length).toBeGreaterThan(5);
  expect(files.flatMap((file) => arrowProblems(file, imports(file)))).toEqual([]);
});

test.each([
  { name: 'a program that imports another', file: 'webhook/io/a.ts', target: '../../failover/core/b.ts' },
  { name: 'a core that imports io', file: 'failover/core/a.ts', target: '../io/b.ts' },
  { name: 'a core that imports a package', file: 'failover/core/a.ts', target: 'node:fs' },
  { name: "a core that imports another's package", file: 'failover/core/a.ts', target: 'yaml' },
  { name: 'the command that imports a program', file: 'cli/io/a.ts', target: '../../webhook/core/b.ts' },
  { name: 'policy that imports a program', file: 'policy/a.ts', target: '../webhook/core/b.ts' },
  { name: 'a product file that imports test', file: 'failover/io/a.ts', target: '../../test/lab/b.ts' },
])('$name is found', ({ file, target }) => {
  expect(arrowProblems(file, [target])).toHaveLength(1);
});
