/**
 * Against the main rules of the SARIF 2.1.0 schema, written down here in short: what is required, what may be there at all,
 * which values there are. A result's rule is the one that its index names.
 */
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

const object = (properties: Readonly<Record<string, unknown>>, required: readonly string[]) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});
const list = (items: unknown) => ({ type: 'array', items });
const text = { type: 'string' };
const message = object({ text: { type: 'string', minLength: 1 } }, ['text']);
const level = { enum: ['none', 'note', 'warning', 'error'] };
const positive = { type: 'integer', minimum: 1 };

const SCHEMA = object(
  {
    $schema: { type: 'string', pattern: '^https://' },
    version: { const: '2.1.0' },
    runs: list(
      object(
        {
          tool: object(
            {
              driver: object(
                {
                  name: text,
                  semanticVersion: { type: 'string', pattern: '^\\d+\\.\\d+\\.\\d+' },
                  rules: {
                    ...list(
                      object(
                        {
                          id: text,
                          shortDescription: message,
                          help: message,
                          defaultConfiguration: object({ level }, []),
                        },
                        ['id'],
                      ),
                    ),
                    uniqueItems: true,
                  },
                },
                ['name'],
              ),
            },
            ['driver'],
          ),
          invocations: list(
            object(
              {
                executionSuccessful: { type: 'boolean' },
                toolExecutionNotifications: list(object({ level, message }, ['message'])),
              },
              ['executionSuccessful'],
            ),
          ),
          columnKind: { enum: ['utf16CodeUnits', 'unicodeCodePoints'] },
          results: list(
            object(
              {
                ruleId: text,
                ruleIndex: { type: 'integer', minimum: 0 },
                level,
                message,
                locations: list(
                  object(
                    {
                      physicalLocation: object(
                        {
                          // A URI reference: no spaces, no backslashes.
                          artifactLocation: object({ uri: { type: 'string', pattern: '^[^\\s\\\\]+$' } }, [
                            'uri',
                          ]),
                          region: object({ startLine: positive, startColumn: positive }, ['startLine']),
                        },
                        ['artifactLocation'],
                      ),
                      logicalLocations: list(object({ fullyQualifiedName: text }, [])),
                    },
                    [],
                  ),
                ),
                partialFingerprints: { type: 'object', additionalProperties: text },
              },
              ['message'],
            ),
          ),
        },
        ['tool'],
      ),
    ),
  },
  ['version', 'runs'],
);

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
  { name: 'with results', content: TEXT },
  { name: 'without any', content: '' },
])('a log $name follows the schema', ({ content }) => {
  const validate = new Ajv({ allErrors: true }).compile(SCHEMA);
  validate(render('a b/p.yaml', content));
  expect(validate.errors).toBeNull();
});

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
