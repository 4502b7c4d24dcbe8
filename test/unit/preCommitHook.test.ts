/** The hook of docs/cli.md, as it stands there, in a real git repository: what may be committed, and what a person then reads. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { egressPolicy } from '../lab/egressPolicy.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

let folder: string;
let repository: string;
/** Nothing of whoever runs this: no settings, no hooks, no repository around it. */
let env: Readonly<Record<string, string>>;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-hook-'));
  repository = path.join(folder, 'repository');
  const bin = path.join(folder, 'bin');
  mkdirSync(path.join(repository, 'policies'), { recursive: true });
  mkdirSync(bin);
  writeProgram(path.join(bin, 'sallyport'), `#!/bin/sh\nexec ${process.execPath} ${ROOT}/cli/main.ts "$@"\n`);
  env = {
    PATH: `${bin}:${process.env.PATH}`,
    HOME: folder,
    TMPDIR: folder,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@example.org',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@example.org',
  };
  git('init', '-q');
  writeProgram(path.join(repository, '.git/hooks/pre-commit'), documented('sh'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function writeProgram(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, 0o755);
}

/** The first block of this language below the heading. */
function documented(language: string): string {
  const [, section = ''] = readFileSync(path.join(ROOT, 'docs/cli.md'), 'utf8').split(
    '### As a pre-commit hook\n',
  );
  const text = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(section)?.[1];
  if (text === undefined) throw new Error(`docs/cli.md has no hook in ${language}`);
  return text;
}

function git(...words: readonly string[]): string {
  return execFileSync('git', words, { cwd: repository, env, encoding: 'utf8' });
}

function write(name: string, cidr: string): void {
  const policy = egressPolicy(name, [{ cidr }]);
  writeFileSync(path.join(repository, `policies/${name}.yaml`), JSON.stringify(policy));
}

function commit(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync('git', ['commit', '-qm', 'change', ...words], {
    cwd: repository,
    env,
    encoding: 'utf8',
  });
  return { status, said: stdout + stderr };
}

function stage(name: string, cidr: string): void {
  write(name, cidr);
  git('add', 'policies');
}

test('a sound policy is committed, and nothing stays behind of what was judged', () => {
  stage('one', '203.0.113.10/32');
  expect(commit()).toMatchObject({ status: 0, said: expect.stringContaining('0 would be refused') });
  expect(git('log', '--oneline').trim().split('\n')).toHaveLength(1);
  expect(spawnSync('ls', [folder], { encoding: 'utf8' }).stdout).toBe('bin\nrepository\n');
});

test('one that would be refused is not, and the file, the field and the code are named', () => {
  stage('one', '203.0.113.10/24');
  const { status, said } = commit();
  expect(status).toBe(1);
  for (const part of [
    'policies/one.yaml',
    'spec.egressGateway.ippools[0].cidr',
    '203.0.113.10/32',
    'cidr-host-bits',
  ])
    expect(said).toContain(part);
  expect(git('status', '--porcelain')).toBe('A  policies/one.yaml\n');
});

test('what is staged is judged, and not what lies in the work tree', () => {
  stage('one', '203.0.113.10/24');
  write('one', '203.0.113.10/32');
  expect(commit().status).toBe(1);
  git('add', 'policies');
  write('one', '203.0.113.10/24');
  expect(commit().status).toBe(0);
  // Named on the command line, the file is committed as it lies there.
  expect(commit('policies/one.yaml').status).toBe(1);
});

test('a policy is held against those that were committed before and did not change', () => {
  stage('one', '203.0.113.10/32');
  expect(commit().status).toBe(0);
  stage('two', '203.0.113.0/28');
  expect(commit()).toMatchObject({ status: 1, said: expect.stringContaining('EgressPolicy one') });
});

test('what does not touch policies is not held up, nor is the end of the last of them', () => {
  stage('one', '203.0.113.10/24');
  expect(commit('--no-verify').status).toBe(0);
  writeFileSync(path.join(repository, 'notes'), 'x');
  git('add', 'notes');
  expect(commit()).toEqual({ status: 0, said: '' });
  git('rm', '-q', 'policies/one.yaml');
  expect(commit().status).toBe(0);
});

test('a file that is no YAML is not committed, and that is no verdict', () => {
  writeFileSync(path.join(repository, 'policies/one.yaml'), 'a: [');
  git('add', 'policies');
  expect(commit()).toMatchObject({ status: 1, said: expect.stringContaining('policies/one.yaml:1:') });
});

interface FrameworkHook {
  readonly id: string;
  readonly entry: string;
  readonly files?: string;
  readonly args?: readonly string[];
}

test('the hook that the framework is told of is the one of the docs, and runs with its words and files', () => {
  const [offered] = parse(
    readFileSync(path.join(ROOT, '.pre-commit-hooks.yaml'), 'utf8'),
  ) as readonly FrameworkHook[];
  const { repos } = parse(documented('yaml')) as { readonly repos: readonly { hooks: FrameworkHook[] }[] };
  const asked = repos[0]?.hooks[0];
  expect(asked?.id).toBe(offered?.id);
  stage('one', '203.0.113.10/32');
  stage('two', '203.0.113.0/28');
  const files = git('diff', '--cached', '--name-only').trim().split('\n');
  for (const pattern of [offered?.files, asked?.files])
    expect(files.every((file) => new RegExp(pattern ?? '$^').test(file))).toBe(true);
  const facts = {
    apiVersion: 'v1',
    kind: 'List',
    items: [{ apiVersion: 'v1', kind: 'NodeList', items: [] }],
  };
  writeFileSync(path.join(repository, 'facts.json'), JSON.stringify(facts));
  const [program = '', ...words] = (offered?.entry ?? '').split(' ');
  const ended = spawnSync(program, [...words, ...(asked?.args ?? []), ...files], {
    cwd: repository,
    env,
    encoding: 'utf8',
  });
  expect(ended).toMatchObject({ status: 1, stdout: expect.stringContaining('(pool-overlap)') });
});

/** As the framework installs a hook: it runs npm pack in a clone, and installs the file whose name was printed. */
test('npm pack says nothing but the name of its file, in which the command is', () => {
  const clone = path.join(folder, 'clone');
  const left = new Set(['.git', 'node_modules', 'dist'].map((name) => path.join(ROOT, name)));
  cpSync(ROOT, clone, { recursive: true, filter: (source) => !left.has(source) });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(clone, 'node_modules'));
  const packed = spawnSync('npm', ['pack'], { cwd: clone, env, encoding: 'utf8' });
  expect(packed.stdout).toMatch(/^sallyport-[\d.]+\.tgz\n$/);
  const listed = execFileSync('tar', ['tzf', path.join(clone, packed.stdout.trim())], { encoding: 'utf8' });
  expect(listed.split('\n')).toContain('package/dist/sallyport.js');
});
