/** One schema value stands behind the manifests, the check without an API server, and (by limits) the parser. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parsePolicy } from '../parsePolicy.ts';
import { DEFINITIONS, renderCrd } from './crds.ts';
import type { JsonSchema } from './jsonSchema.ts';
import { policySpec } from './policySchema.ts';
import { egressIpSpec, gatewayNodeStatus } from './statusSchemas.ts';
import { createSchemaValidator } from './validateSchema.ts';

const FOLDER = path.resolve(import.meta.dirname, '../../charts/sallyport/files/crds');

describe('the manifests in the chart', () => {
  test.each(DEFINITIONS.map((definition) => ({ name: definition.served.plural, definition })))(
    '$name is what the code makes',
    ({ name, definition }) => {
      const text = readFileSync(path.join(FOLDER, `${name}.yaml`), 'utf8');
      expect(parse(text)).toEqual(renderCrd(definition));
      expect(text).not.toContain('{{');
    },
  );

  test('there is no other one', () => {
    expect(readdirSync(FOLDER).toSorted()).toEqual(
      DEFINITIONS.map(({ served }) => `${served.plural}.yaml`).toSorted(),
    );
  });
});

const validate = createSchemaValidator(policySpec);
const spec = (gateway: object = {}, rest: object = {}) => ({
  selectors: [{ matchLabels: { app: 'my-app' } }],
  destinationCIDRs: ['0.0.0.0/0'],
  egressGateway: { ippools: [{ cidr: '203.0.113.10/32' }], ...gateway },
  ...rest,
});

describe('the check without an API server', () => {
  test.each([
    { name: 'the manifest of the documentation', value: spec(), expected: [] },
    {
      name: 'a misspelt field',
      value: spec({ ipPools: [] }),
      expected: ['unknown-field spec.egressGateway.ipPools'],
    },
    {
      name: 'an unknown choice',
      value: spec({ strategy: 'Random' }),
      expected: ['schema spec.egressGateway.strategy'],
    },
    {
      name: 'too many selectors',
      value: spec({}, { selectors: Array.from({ length: 65 }, () => ({})) }),
      expected: ['limits spec.selectors'],
    },
    {
      name: 'a prefix that is too long',
      value: spec({ ippools: [{ cidr: '1'.repeat(44) }] }),
      expected: ['limits spec.egressGateway.ippools[0].cidr'],
    },
    {
      name: 'two faults at once',
      value: spec({ ippools: [{ cidr: 7 }], affinity: 'x' }),
      expected: ['schema spec.egressGateway.ippools[0].cidr', 'schema spec.egressGateway.affinity'],
    },
  ])('$name: $expected, and the parser agrees', ({ value, expected }) => {
    const problems = validate(value).map(({ code, path: place }) => `${code} spec.${place}`);
    expect(problems.toSorted()).toEqual(expected.toSorted());
    const parsed = parsePolicy({ metadata: { name: 'x' }, spec: value }, 'EgressPolicy');
    expect(parsed.kind).toBe(expected.length === 0 ? 'ok' : 'refused');
  });

  test('changes when the schema changes, so it is made from that value alone', () => {
    const narrowed: JsonSchema = {
      ...policySpec,
      properties: {
        ...policySpec.properties,
        selectors: { ...policySpec.properties?.selectors, type: 'array', maxItems: 1 },
      },
    };
    const two = spec({}, { selectors: [{}, {}] });
    expect(validate(two)).toEqual([]);
    expect(createSchemaValidator(narrowed)(two)).toMatchObject([{ code: 'limits', path: 'selectors' }]);
  });

  test('a misspelt field is named with the one that was meant', () => {
    expect(validate(spec({ ipPools: [] }))[0]?.message).toContain('did you mean ippools?');
  });

  test('what controller and agents write has the right shape', () => {
    const egressIp = {
      address: '203.0.113.10',
      policies: [{ kind: 'EgressPolicy', name: 'p', uid: 'u' }],
      epoch: 3,
      order: [{ gateway: 'gw-1', session: 5 }],
      fence: [],
      blocksVersion: 2,
      blocks: [{ node: 'worker-1', first: 1024, last: 1535, version: 2 }],
      resting: [{ first: 1536, last: 1599, until: '2024-02-29T23:59:59Z' }],
    };
    const isEgressIp = createSchemaValidator(egressIpSpec);
    expect(isEgressIp(egressIp)).toEqual([]);
    expect(isEgressIp({ ...egressIp, epoch: -1 })).toMatchObject([{ code: 'schema', path: 'epoch' }]);
    const report = { session: 5, conditions: [{ type: 'DataPlaneReady', status: 'True' }] };
    const isReport = createSchemaValidator(gatewayNodeStatus);
    expect(isReport(report)).toEqual([]);
    expect(isReport({ ...report, conditions: [{ type: 'DataPlaneReady', status: 'Yes' }] })).toHaveLength(1);
  });
});
