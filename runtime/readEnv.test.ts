import { expect, test } from 'vitest';
import { type EnvReader, readEnv } from './readEnv.ts';

function read(reader: EnvReader) {
  return {
    name: reader.text('NAME'),
    color: reader.text('COLOR', 'blue'),
    port: reader.integer('PORT', { min: 1, max: 65_535, fallback: 9443 }),
    leaseMs: reader.durationMs('LEASE_SECONDS', { unit: 'seconds', min: 1, max: 60 }),
    level: reader.choice('LEVEL', ['low', 'high'], 'low'),
    networks: reader.cidrs('NETWORKS', ''),
  };
}

test('settings are read, and what is absent or empty falls back', () => {
  expect(readEnv({ NAME: ' a ', LEASE_SECONDS: '3', PORT: '', LEVEL: 'high' }, read)).toEqual({
    kind: 'ok',
    value: { name: 'a', color: 'blue', port: 9443, leaseMs: 3000, level: 'high', networks: [] },
  });
});

test('prefixes are separated by commas', () => {
  const networks = readEnv({ NETWORKS: '10.96.0.0/16, fd00::/112,' }, (reader) => reader.cidrs('NETWORKS'));
  expect(networks).toMatchObject({ kind: 'ok', value: [{ prefix: 16 }, { prefix: 112 }] });
});

test('everything that is wrong is told at once', () => {
  const env = { PORT: '70000', LEASE_SECONDS: '3.5', LEVEL: 'loud', NETWORKS: '10.0.0.1/8,x' };
  const result = readEnv(env, read);
  expect(result.kind === 'refused' ? result.error : []).toEqual([
    'NAME is not set',
    'PORT is 70000; use a whole number from 1 to 65535',
    'LEASE_SECONDS is 3.5; use a whole number from 1 to 60',
    'LEVEL is loud; use one of low, high',
    expect.stringContaining('NETWORKS: '),
    expect.stringContaining('NETWORKS: '),
  ]);
});

test.each<{ readonly name: string; readonly missing: (reader: EnvReader) => unknown }>([
  { name: 'number', missing: (reader) => reader.integer('A', { min: 0, max: 1 }) },
  { name: 'list of prefixes', missing: (reader) => reader.cidrs('A') },
])('a required $name that is not set is told once', ({ missing }) => {
  expect(readEnv({ A: ' ' }, missing)).toEqual({ kind: 'refused', error: ['A is not set'] });
});

test('a relation between settings is a problem like any other', () => {
  const result = readEnv({}, (reader) => reader.refuse('A must be longer than B'));
  expect(result).toEqual({ kind: 'refused', error: ['A must be longer than B'] });
});
