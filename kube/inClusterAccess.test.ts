import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inClusterAccess } from './inClusterAccess.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sallyport-access-'));
  writeFileSync(path.join(folder, 'ca.crt'), 'the CA');
  writeFileSync(path.join(folder, 'token'), 'first\n');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a rotated token is read within a minute, and the last one stands in for one that cannot be read', () => {
  let now = 0;
  const access = inClusterAccess({ host: '10.96.0.1', port: '443', folder, now: () => now });
  expect(access).toMatchObject({ server: 'https://10.96.0.1:443', ca: 'the CA' });
  expect(access.readToken?.()).toBe('first');
  writeFileSync(path.join(folder, 'token'), 'second\n');
  now = 59_999;
  expect(access.readToken?.()).toBe('first');
  now = 60_000;
  expect(access.readToken?.()).toBe('second');
  rmSync(path.join(folder, 'token'));
  now = 120_000;
  expect(access.readToken?.()).toBe('second');
});

test('an IPv6 service address is written with brackets', () => {
  expect(inClusterAccess({ host: 'fd00::1', port: '443', folder }).server).toBe('https://[fd00::1]:443');
});

test('a pod without a token says so', () => {
  rmSync(path.join(folder, 'token'));
  const access = inClusterAccess({ host: '10.96.0.1', port: '443', folder });
  expect(() => access.readToken?.()).toThrow('ENOENT');
});
