/** The real program as a child process: its exit codes, and what goes to which of the two outputs. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { collectOutput } from '../test/lab/collectOutput.ts';

const PROGRAM = path.resolve(import.meta.dirname, 'main.ts');
/** A child starts in less than a second, on a machine that has nothing else to do. */
const PATIENCE_MS = 30_000;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-cli-'));
  writeFileSync(path.join(folder, 'good.yaml'), policy('203.0.113.10/32'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function policy(cidr: string): string {
  const egressGateway = { ippools: [{ cidr }] };
  return JSON.stringify({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: { name: 'p' },
    spec: { selectors: [{ matchLabels: { app: 'x' } }], destinationCIDRs: ['0.0.0.0/0'], egressGateway },
  });
}

function run(words: readonly string[], options: { readonly input?: string; readonly env?: object } = {}) {
  const child = spawn(process.execPath, [PROGRAM, ...words], {
    cwd: folder,
    env: { HOME: folder, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const ended = collectOutput(child);
  child.stdin.end(options.input ?? '');
  return ended;
}

test('0 where all is well, which is told on standard output', { timeout: PATIENCE_MS }, async () => {
  const ended = await run(['validate', 'good.yaml']);
  expect(ended).toMatchObject({ code: 0, err: '' });
  expect(ended.out).toContain('1 policy in 1 document of 1 file: 0 would be refused');
});

test('1 where a policy would be refused, here one from standard input', {
  timeout: PATIENCE_MS,
}, async () => {
  const ended = await run(['validate', '-', '-o', 'json'], { input: policy('203.0.113.10/24') });
  expect(ended).toMatchObject({ code: 1, err: '' });
  expect(JSON.parse(ended.out)).toMatchObject({
    formatVersion: 1,
    violations: [{ file: '-', code: 'cidr-host-bits' }],
  });
});

test('2 where the words are wrong, which is told on standard error', { timeout: PATIENCE_MS }, async () => {
  const ended = await run(['validate', '--strickt', 'good.yaml']);
  expect(ended).toMatchObject({ code: 2, out: '' });
  expect(ended.err).toContain('did you mean --strict?');
});

test('2 where the cluster cannot be reached: that is no violation', { timeout: PATIENCE_MS }, async () => {
  const server = `https://127.0.0.1:${await closedPort()}`;
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server } }],
    users: [{ name: 'u', user: { token: 't' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(path.join(folder, 'kubeconfig'), JSON.stringify(kubeconfig));
  const env = { KUBECONFIG: path.join(folder, 'kubeconfig') };
  const ended = await run(['validate', 'good.yaml', '--live'], { env });
  expect(ended).toMatchObject({ code: 2, out: '' });
  expect(ended.err).toMatch(/reading .*: .*ECONNREFUSED.*; is this the right cluster/);
});

test('whoever reads may stop reading', { timeout: PATIENCE_MS }, async () => {
  const child = spawn(process.execPath, [PROGRAM, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect({ code, err }).toEqual({ code: 0, err: '' });
});

/** One that was free a moment ago. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
