/** Commands over real files: what they print, and which exit code they end with. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from './runCommand.ts';
// Loaded on demand by the command; here before the clock of any test runs.
import './runClusterCommand.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-cli-'));
  const write = (name: string, text: string): void => writeFileSync(path.join(folder, name), text);
  mkdirSync(path.join(folder, 'policies/deep/.git'), { recursive: true });
  mkdirSync(path.join(folder, 'empty'));
  write('good.yaml', policy('good', '203.0.113.10/32'));
  write('bad.yaml', policy('bad', '203.0.113.10/24'));
  write('unread.txt', policy('bad', '203.0.113.10/24'));
  write('broken.yaml', 'a: [1\n');
  write('template.yaml', 'a: {{ .Values.a }}\n');
  write('none.yaml', 'kind: ConfigMap\n');
  write('notFacts.json', '{"kind":"Secret"}');
  write('policies/a.yaml', policy('a', '203.0.113.20/32'));
  write('policies/deep/b.yml', policy('b', '203.0.113.20/32'));
  write('policies/deep/c.txt', 'no: [yaml');
  write('policies/deep/.git/d.yaml', 'no: [yaml');
  symlinkSync('..', path.join(folder, 'policies/deep/up'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function policy(name: string, cidr: string): string {
  const egressGateway = { ippools: [{ cidr }] };
  return JSON.stringify({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: { name },
    spec: { selectors: [{ matchLabels: { app: 'x' } }], destinationCIDRs: ['0.0.0.0/0'], egressGateway },
  });
}

/** `@` stands for the folder. */
async function run(line: string) {
  const [out, err]: [string[], string[]] = [[], []];
  const words = line.split(' ').filter((it) => it !== '');
  const code = await runCommand(
    words.map((word) => word.replace('@', `${folder}/`)),
    {
      terminal: { out: (text) => void out.push(text), tell: (text) => void err.push(text) },
      stdin: Readable.from([policy('piped', '203.0.113.10/32')]),
      config: { kubeconfigPaths: [path.join(folder, 'nobody')] },
    },
  );
  return {
    code,
    out: out.join('').replaceAll(`${folder}/`, ''),
    err: err.join('\n').replaceAll(`${folder}/`, ''),
  };
}

test.each([
  { line: 'validate @good.yaml', code: 0, says: '1 policy in 1 document of 1 file: 0 would be refused' },
  { line: 'validate @good.yaml --strict', code: 0, says: '0 warnings' },
  {
    line: 'validate @none.yaml',
    code: 0,
    says: 'no policy in 1 document of 1 file, 1 of other kinds ignored',
  },
  { line: 'validate -', code: 0, says: '1 policy in 1 document' },
  { line: 'validate @good.yaml @good.yaml', code: 0, says: '1 policy in 1 document of 1 file' },
  { line: 'validate -f @bad.yaml', code: 1, says: 'bad.yaml:1:' },
  { line: 'validate @good.yaml @unread.txt', code: 1, says: '(cidr-host-bits)' },
  { line: 'validate @good.yaml -', code: 1, says: '-:1:' },
  { line: 'validate @policies', code: 1, says: 'policies/deep/b.yml:1:' },
  { line: 'validate @policies', code: 1, says: '2 policies in 2 documents of 2 files: 1 would be refused' },
  { line: '--help', code: 0, says: 'usage: sallyport COMMAND' },
  { line: 'validate --help', code: 0, says: 'usage: sallyport validate' },
  { line: '--version', code: 0, says: 'sallyport 0.' },
])('$line ends with $code: $says', async ({ line, code, says }) => {
  const ended = await run(line);
  expect(ended).toMatchObject({ code, err: '' });
  expect(ended.out).toContain(says);
});

test.each([
  { line: '', says: 'no command is given' },
  { line: 'validate', says: 'see sallyport validate --help' },
  { line: 'validate @nobody.yaml', says: 'nobody.yaml: there is no such file' },
  { line: 'validate @broken.yaml @template.yaml', says: 'broken.yaml:2:1: ' },
  { line: 'validate @broken.yaml @template.yaml', says: 'template.yaml:1:5: a key is no text' },
  { line: 'validate @empty', says: 'no .yaml, .yml or .json file in this folder' },
  { line: 'validate @good.yaml --cluster-facts @notFacts.json', says: 'no facts in this file' },
  { line: 'validate - --cluster-facts -', says: 'it can be read once' },
  { line: 'validate @good.yaml --live', says: 'no access to a cluster: there is no kubeconfig at nobody' },
  { line: 'status --kubeconfig @broken.yaml', says: 'no access to a cluster' },
])('$line ends with 2: $says', async ({ line, says }) => {
  const ended = await run(line);
  expect(ended).toMatchObject({ code: 2, out: '' });
  expect(ended.err).toContain(says);
});
