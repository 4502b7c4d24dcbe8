import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { userAccess } from './userAccess.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-kubeconfig-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A kubeconfig with one context of that name. */
function write(name: string, user: object, cluster: object = {}): string {
  const file = path.join(folder, name);
  writeFileSync(
    file,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: `${name}-c`, cluster: { server: `https://${name}:6443/`, ...cluster } }],
      users: [{ name: `${name}-u`, user }],
      contexts: [{ name, context: { cluster: `${name}-c`, user: `${name}-u` } }],
      'current-context': name,
    }),
  );
  return file;
}

test('a token and a certificate authority', async () => {
  const file = write('a', { token: 't' }, { 'certificate-authority-data': base64('the CA') });
  const access = await userAccess({ paths: [file] });
  expect(access).toMatchObject({ server: 'https://a:6443', ca: 'the CA' });
  expect(access.readToken?.()).toBe('t');
  expect(access.unverified).toBeUndefined();
});

test('a client certificate, by data and by file beside the kubeconfig', async () => {
  writeFileSync(path.join(folder, 'key.pem'), 'the key');
  const file = write('a', { 'client-certificate-data': base64('the cert'), 'client-key': 'key.pem' });
  const access = await userAccess({ paths: [file] });
  expect(access.clientCertificate).toEqual({ cert: 'the cert', key: 'the key' });
});

test('a program that gives a token, as clouds have it', async () => {
  const program = path.join(folder, 'login');
  writeFileSync(
    program,
    `#!/bin/sh\necho '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"fresh"}}'\n`,
  );
  chmodSync(program, 0o755);
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: program, interactiveMode: 'Never' };
  const access = await userAccess({ paths: [write('a', { exec })] });
  expect(access.readToken?.()).toBe('fresh');
});

test('a program that fails says why', async () => {
  const program = path.join(folder, 'login');
  writeFileSync(program, '#!/bin/sh\necho "log in first" >&2\nexit 1\n');
  chmodSync(program, 0o755);
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: program };
  await expect(userAccess({ paths: [write('a', { exec })] })).rejects.toThrow('log in first');
});

test('of several files the first has the say, and a context may be of any', async () => {
  const paths = [path.join(folder, 'missing'), write('a', { token: 'ta' }), write('b', { token: 'tb' })];
  expect((await userAccess({ paths })).server).toBe('https://a:6443');
  const other = await userAccess({ paths, context: 'b' });
  expect([other.server, other.readToken?.()]).toEqual(['https://b:6443', 'tb']);
});

test('what is asked of TLS is kept', async () => {
  const file = write('a', { token: 't' }, { 'tls-server-name': 'inside', 'insecure-skip-tls-verify': true });
  expect(await userAccess({ paths: [file] })).toMatchObject({ serverName: 'inside', unverified: true });
});

test.each([
  { name: 'a proxy', user: {}, cluster: { 'proxy-url': 'http://proxy' }, message: 'proxy-url' },
  { name: 'to act as somebody else', user: { token: 't', as: 'root' }, cluster: {}, message: 'impersonates' },
])('$name is refused rather than left out', async ({ user, cluster, message }) => {
  await expect(userAccess({ paths: [write('a', user, cluster)] })).rejects.toThrow(message);
});

test('no file, and no such context, are told with what there is', async () => {
  await expect(userAccess({ paths: ['/nowhere/a', '/nowhere/b'] })).rejects.toThrow(
    '/nowhere/a or /nowhere/b',
  );
  const paths = [write('a', { token: 't' })];
  await expect(userAccess({ paths, context: 'z' })).rejects.toThrow('there is no context z; there are a');
});
