/** Each code of admission by its cases, and docs/admission.md by the same. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { VIOLATION_CODES, type ViolationCode } from '../../../policy/violationCodes.ts';
import { decideAdmission, type ReviewRequest, WARNING_LENGTH_MAX } from '../../../webhook/core/review.ts';
import { createSnapshot, DEFAULT_REVIEW_SETTINGS } from '../../../webhook/core/snapshot.ts';
import { ADMISSION_CASES, type AdmissionCase } from './admissionCases.ts';
import { CLUSTER } from './exampleCluster.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const CASES_FILE = 'test/unit/admission/admissionCases.ts';

function decide({ object, request, facts, settings }: AdmissionCase) {
  const review: ReviewRequest = {
    uid: 'r-1',
    kind: 'CiliumEgressGatewayPolicy',
    operation: 'CREATE',
    subResource: '',
    name: 'mine',
    dryRun: false,
    username: 'kubernetes-admin',
    nodeName: '',
    object,
    oldObject: null,
    ...request,
  };
  const snapshot = createSnapshot(
    { ...CLUSTER, ...facts },
    { ...DEFAULT_REVIEW_SETTINGS, settings: { ...DEFAULT_REVIEW_SETTINGS.settings, ...settings } },
  );
  return decideAdmission(review, snapshot);
}

const told = ADMISSION_CASES.filter(({ verdict }) => verdict !== 'allow');
const borders = ADMISSION_CASES.filter(({ verdict }) => verdict === 'allow');

describe('a review of', () => {
  test.each(told)('$name: $verdict, $code', (it) => {
    const decision = decide(it);
    const { code, verdict, message, path: field } = it;
    expect(decision.unjudged).toBeUndefined();
    expect(decision.violations).toContainEqual({ code, verdict, message, path: field });
    if (verdict === 'deny') {
      expect(decision.allowed).toBe(false);
      expect(decision.message).toContain(`${field}: ${message} (${code})`);
    } else expect(decision.warnings).toContain(`${field}: ${message}`);
  });

  test.each(borders)('$name is no $code', (it) => {
    const decision = decide(it);
    expect(decision.unjudged).toBeUndefined();
    expect(decision.violations.filter(({ code }) => code === it.code)).toEqual([]);
  });

  test('the manifest of the README says nothing at all', () => {
    expect(decide(ADMISSION_CASES.find(({ name }) => name === 'a canonical prefix') ?? fail())).toMatchObject(
      {
        allowed: true,
        violations: [],
        warnings: [],
      },
    );
  });
});

test('every code has a case for each verdict that the docs promise, and one at its border', () => {
  const verdicts = (code: ViolationCode): readonly string[] =>
    [...new Set(ADMISSION_CASES.filter((it) => it.code === code).map(({ verdict }) => verdict))].toSorted();
  const promised = new Map(rows().map(({ code, verdict }) => [code, verdict.split(', ')]));
  for (const code of VIOLATION_CODES)
    expect([code, ...verdicts(code)]).toEqual([code, ...[...(promised.get(code) ?? []), 'allow'].toSorted()]);
});

test('no two cases have one name, no sentence ends in a stop, and no warning is cut', () => {
  expect(new Set(ADMISSION_CASES.map(({ name }) => name)).size).toBe(ADMISSION_CASES.length);
  for (const { message = '', verdict, path: field } of told) {
    expect(message).not.toMatch(/\.$/);
    if (verdict === 'warn') expect(`${field}: ${message}`.length).toBeLessThanOrEqual(WARNING_LENGTH_MAX);
  }
});

interface Row {
  readonly code: string;
  readonly verdict: string;
  readonly meaning: string;
  readonly example: string;
  readonly caseName: string;
  readonly link: string;
}

/** The rows of the one table in docs/admission.md. */
function rows(): readonly Row[] {
  const text = readFileSync(path.join(ROOT, 'docs/admission.md'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => {
      const cells = line.split(' | ').map((cell) => cell.replace(/^\| |\s*\|$/g, '').trim());
      const [code = '', verdict = '', meaning = '', example = '', proof = ''] = cells;
      const [, caseName = '', link = ''] = /^\[(.+)\]\((.+)\)$/.exec(proof) ?? [];
      return { code: code.replaceAll('`', ''), verdict, meaning, example, caseName, link };
    });
}

describe('the table in docs/admission.md', () => {
  test('has every code once, in the order of the code', () => {
    expect(rows().map(({ code }) => code)).toEqual([...VIOLATION_CODES]);
  });

  test.each(rows())(
    '$code: its example is what its case says',
    ({ code, meaning, example, caseName, link }) => {
      const found = ADMISSION_CASES.find((it) => it.code === code && it.name === caseName);
      expect(found?.message).toBe(example);
      expect(meaning.length).toBeGreaterThan(10);
      expect(path.join('docs', link)).toBe(CASES_FILE);
    },
  );
});

function fail(): never {
  throw new Error('no such case');
}
