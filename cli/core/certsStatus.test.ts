import { describe, expect, test } from 'vitest';
import type { CertificateNotes } from '../../policy/certificateNotes.ts';
import { type CertsFacts, readCertsStatus } from './certsStatus.ts';
import { renderCerts } from './renderCerts.ts';
import { followRotation, type RotationLook } from './rotationProgress.ts';

const NOW = Date.UTC(2026, 5, 1);
const DAY_MS = 86_400_000;
const replica = { name: 'webhook-1', trusts: 'bundle', serves: 'leaf', beat: '1', statedAtMs: NOW };
const ca = {
  id: 'ca',
  subject: 'CN=ca',
  notBeforeMs: 0,
  notAfterMs: NOW + 3000 * DAY_MS,
  key: 'signs' as const,
};
const leaf = {
  ...{ id: 'leaf', subject: 'CN=leaf', notBeforeMs: 0, notAfterMs: NOW + 60 * DAY_MS },
  ...{ signedBy: 'ca', keyMatches: true },
};
const webhook = { configuration: 'validating/x', webhook: 'w', cas: ['ca'], trustsLeaf: 'yes' as const };
const SOUND: CertsFacts = {
  mode: 'selfManaged',
  namespace: 'net',
  secret: 'cert',
  cas: [ca],
  bundleId: 'bundle',
  leaf,
  webhooks: [webhook],
  notes: { phase: 'settled', sinceMs: NOW - DAY_MS, replicas: [replica] },
  nowMs: NOW,
};
const { leaf: _leaf, ...leafless } = SOUND;
const { signedBy: _signer, ...orphan } = leaf;

test('all that is well has no problems, and is told in four tables', () => {
  const status = readCertsStatus(SOUND);
  expect(status.problems).toEqual([]);
  expect(renderCerts(status, 'text')).toBe(`selfManaged: Secret net/cert, settled since 2026-05-31T00:00:00Z

CERTIFICATE  ROLE   EXPIRES               SIGNED BY  SUBJECT
leaf         leaf   2026-07-31T00:00:00Z  ca         CN=leaf
ca           signs  2034-08-18T00:00:00Z  -          CN=ca

WEBHOOK  CONFIGURATION  TRUSTS THE LEAF  CAS
w        validating/x   yes              ca

REPLICA    SERVES  THE LEAF  KNOWS THE CAS  STATED
webhook-1  leaf    yes       yes            2026-06-01T00:00:00Z
`);
  expect(JSON.parse(renderCerts(status, 'json'))).toMatchObject({
    formatVersion: 1,
    phase: 'settled',
    problems: [],
  });
});

test('certificates that others keep have no phase and no statements', () => {
  const status = readCertsStatus({ ...SOUND, mode: 'certManager' });
  expect([status.phase, status.since, status.replicas]).toEqual(['', '', []]);
  expect(renderCerts(status, 'text')).toMatch(/^certManager: Secret net\/cert\n\nCERTIFICATE/);
});

test.each<{ readonly name: string; readonly facts: CertsFacts; readonly problem: string }>([
  { name: 'no leaf', facts: leafless, problem: 'holds no certificate' },
  {
    name: 'a key of another',
    facts: { ...SOUND, leaf: { ...leaf, keyMatches: false } },
    problem: 'not the key of',
  },
  { name: 'a strange leaf', facts: { ...SOUND, leaf: orphan }, problem: 'signed by no CA' },
  {
    name: 'an old leaf',
    facts: { ...SOUND, leaf: { ...leaf, notAfterMs: NOW } },
    problem: 'the leaf expired at',
  },
  {
    name: 'a leaf too old',
    facts: { ...SOUND, leaf: { ...leaf, notAfterMs: NOW + DAY_MS } },
    problem: 'not renewed yet',
  },
  {
    name: 'a leaf of tomorrow',
    facts: { ...SOUND, leaf: { ...leaf, notBeforeMs: NOW + 1 } },
    problem: 'valid only from',
  },
  {
    name: 'an old CA',
    facts: { ...SOUND, cas: [{ ...ca, notAfterMs: NOW }] },
    problem: 'the CA of the leaf expired',
  },
  {
    name: 'a webhook that does not trust',
    facts: { ...SOUND, webhooks: [webhook, { ...webhook, webhook: 'v', trustsLeaf: 'no' }] },
    problem: 'v in validating/x does not trust the leaf',
  },
])('$name is a problem', ({ facts, problem }) => {
  const status = readCertsStatus(facts);
  expect(status.problems).toEqual([expect.stringContaining(problem)]);
  expect(renderCerts(status, 'text')).toContain(`\n\n${status.problems[0]}\n`);
});

describe('a rotation that is followed', () => {
  const before: RotationLook = {
    leafId: 'leaf',
    caId: 'ca',
    notes: { phase: 'settled', replicas: [replica] },
  };
  const look = (change: Partial<RotationLook>, notes: Partial<CertificateNotes> = {}): RotationLook => ({
    ...before,
    ...change,
    notes: { ...before.notes, ...notes },
  });
  const served = [{ ...replica, serves: 'leaf-2' }];
  test.each<{
    readonly name: string;
    readonly what: 'leaf' | 'ca';
    readonly now: RotationLook;
    readonly line: string;
  }>([
    { name: 'asked', what: 'leaf', now: look({}, { asked: 'leaf' }), line: 'asked for' },
    { name: 'taken up', what: 'leaf', now: look({}), line: 'taken up' },
    {
      name: 'issued',
      what: 'leaf',
      now: look({ leafId: 'leaf-2' }),
      line: 'a new leaf; not served yet by webhook-1',
    },
    {
      name: 'served',
      what: 'leaf',
      now: look({ leafId: 'leaf-2' }, { replicas: served }),
      line: 'done: leaf leaf-2 of CA ca',
    },
    {
      name: 'a CA asked for',
      what: 'ca',
      now: look({}, { asked: 'ca', phase: 'retiring' }),
      line: 'asked for',
    },
    {
      name: 'a CA published',
      what: 'ca',
      now: look({}, { phase: 'publishing' }),
      line: 'publishing: a new CA is trusted',
    },
    {
      name: 'a CA that signs',
      what: 'ca',
      now: look({ leafId: 'leaf-2', caId: 'ca-2' }, { phase: 'retiring' }),
      line: 'not served yet by webhook-1',
    },
    {
      name: 'a CA that all serve',
      what: 'ca',
      now: look({ leafId: 'leaf-2', caId: 'ca-2' }, { phase: 'retiring', replicas: served }),
      line: 'retiring: the new CA signs',
    },
    {
      name: 'a CA that alone is trusted',
      what: 'ca',
      now: look({ leafId: 'leaf-2', caId: 'ca-2' }, { replicas: served }),
      line: 'done: leaf leaf-2 of CA ca-2',
    },
  ])('$name', ({ what, now, line }) => {
    const progress = followRotation(what, before, now);
    expect(progress.line).toContain(line);
    expect(progress.done).toBe(line.startsWith('done'));
  });
});
