/** Against the whole schema of SARIF 2.1.0, as a package has it. A result's rule is the one that its index names. */
import { createRequire } from 'node:module';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { UNKNOWN_FACTS } from '../../policy/facts.ts';
import { DEFAULT_RULE_SETTINGS } from '../../policy/rules.ts';
import { VIOLATION_CODES } from '../../policy/violationCodes.ts';
import { collectManifests } from './collectManifests.ts';
import { judgeManifests } from './judgeManifests.ts';
import { renderReportSarif } from './renderReportSarif.ts';
import { createReport } from './report.ts';
import { readDocuments } from './sourceDocument.ts';

/** The schema is of draft 4; nothing in it but its own name differs from what ajv knows as draft 7. */
function readSchema(): object {
  const require = createRequire(import.meta.url);
  const { id, $schema, ...schema } = require('@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json');
  expect({ id, $schema }).toMatchObject({
    id: expect.stringContaining('sarif-2.1.0'),
    $schema: expect.stringContaining('draft-04'),
  });
  return schema;
}

/** RFC 3986 has no other characters, and no per cent sign but before two digits. */
const URI_CHARACTERS = /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/;
const FORMATS = {
  uri: (text: string) => URI_CHARACTERS.test(text) && URL.canParse(text),
  'uri-reference': (text: string) => URI_CHARACTERS.test(text) && URL.canParse(text, 'https://a/'),
  'date-time': (text: string) => !Number.isNaN(Date.parse(text)),
};
/** Its pattern of languages has a bracket too many, which only expressions without the flag for Unicode take. */
const OPTIONS = { allErrors: true, strict: false, unicodeRegExp: false, formats: FORMATS };
const follows = new Ajv(OPTIONS).compile(readSchema());

const TEXT = `apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p}
spec:
  selectors: [{matchLabels: {app: x}}]
  destinationCIDRs: ["0.0.0.0/0"]
  egressGateway: {ippools: [{cidr: 203.0.113.10/24}, {cidr: 127.0.0.1/32, sharing: 1}]}
`;

function render(file: string, content = TEXT) {
  const read = readDocuments(content);
  const documents = read.kind === 'ok' ? read.value : [];
  const { manifests, ...counts } = collectManifests([{ name: file, documents }]);
  const policies = judgeManifests(manifests, UNKNOWN_FACTS, DEFAULT_RULE_SETTINGS);
  const report = createReport({ ...counts, origin: { kind: 'none' }, files: 1, policies }, UNKNOWN_FACTS);
  return JSON.parse(renderReportSarif(report));
}

test.each([
  { name: 'with results', file: 'a b/p.yaml', content: TEXT },
  { name: 'of an absolute path', file: '/srv/ä/p.yaml', content: TEXT },
  { name: 'of standard input', file: '-', content: TEXT },
  { name: 'without any result', file: 'p.yaml', content: '' },
])('a log $name follows the schema', ({ file, content }) => {
  follows(render(file, content));
  expect(follows.errors).toBeNull();
});

test.each([
  { name: 'a field that SARIF does not have', change: { results: [{ message: { text: 'x' }, code: 'y' }] } },
  { name: 'a level that it does not have', change: { results: [{ message: { text: 'x' }, level: 'deny' }] } },
  { name: 'a result without a message', change: { results: [{ ruleId: 'x' }] } },
  {
    name: 'a file that is no reference',
    change: { results: [{ message: { text: 'x' }, ...at('a b.yaml') }] },
  },
])('the schema refuses $name', ({ change }) => {
  const { runs, ...log } = render('p.yaml');
  expect(follows({ ...log, runs: [{ ...runs[0], ...change }] })).toBe(false);
});

function at(uri: string): object {
  return { locations: [{ physicalLocation: { artifactLocation: { uri } } }] };
}

test('every code is a rule, and every result points at its own', () => {
  const [run] = render('p.yaml').runs;
  const { rules } = run.tool.driver;
  expect(rules.map(({ id }: { readonly id: string }) => id)).toEqual(VIOLATION_CODES);
  expect(run.results.length).toBeGreaterThan(1);
  for (const { ruleId, ruleIndex } of run.results) expect(rules[ruleIndex].id).toBe(ruleId);
});

test.each([
  { file: 'p.yaml', uri: 'p.yaml' },
  { file: './policies/p.yaml', uri: 'policies/p.yaml' },
  { file: 'ä b/p#1.yaml', uri: '%C3%A4%20b/p%231.yaml' },
  { file: '/srv/p.yaml', uri: 'file:///srv/p.yaml' },
  { file: '-', uri: 'stdin' },
])('$file is named $uri', ({ file, uri }) => {
  const [result] = render(file).runs[0].results;
  expect(result.locations[0].physicalLocation.artifactLocation.uri).toBe(uri);
});
