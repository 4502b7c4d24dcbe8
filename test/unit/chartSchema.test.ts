/** The chart's schema knows every value and nothing else, so that a misspelt one is refused and a new one is not forgotten. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const CHART = path.resolve(import.meta.dirname, '../../charts/sallyport');

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: false | Schema;
  readonly items?: Schema;
  readonly definitions?: Readonly<Record<string, Schema>>;
}

const SCHEMA: Schema = JSON.parse(readFileSync(path.join(CHART, 'values.schema.json'), 'utf8'));
const VALUES: unknown = parse(readFileSync(path.join(CHART, 'values.yaml'), 'utf8'));
const validate = new Ajv({ strict: false }).compile(SCHEMA);

function resolve(schema: Schema): Schema {
  const name = schema.$ref?.replace('#/definitions/', '');
  return name === undefined ? schema : resolve(SCHEMA.definitions?.[name] ?? {});
}

/** Paths of values that the schema does not name, and of names in it that are no values. */
function differences(value: unknown, given: Schema, at = ''): readonly string[] {
  const { properties } = resolve(given);
  if (properties === undefined || typeof value !== 'object' || value === null) return [];
  const [values, names] = [new Map(Object.entries(value)), Object.keys(properties)];
  // What users fill in, as a label selector, has nothing by default.
  if (values.size === 0) return [];
  return [
    ...[...values.keys()].filter((key) => !names.includes(key)).map((key) => `${at}${key} has no schema`),
    // Helm's own; and resources need not be given.
    ...names
      .filter((key) => !values.has(key) && !['global', 'requests', 'limits'].includes(key))
      .map((key) => `${at}${key} is no value`),
    ...names.flatMap((key) => differences(values.get(key), properties[key] ?? {}, `${at}${key}.`)),
  ];
}

/** Objects whose further fields are neither refused nor of a type. */
function openObjects(schema: Schema, at: string): readonly string[] {
  const { type, properties = {}, additionalProperties, items, definitions = {} } = schema;
  const open = type === 'object' && additionalProperties === undefined ? [at] : [];
  const parts = Object.entries({ ...definitions, ...properties, ...(items ? { items } : {}) });
  return [...open, ...parts.flatMap(([name, part]) => openObjects(part, `${at}.${name}`))];
}

test('every value has a schema, and every schema a value', () => {
  expect(differences(VALUES, SCHEMA)).toEqual([]);
});

test('no object takes fields that nobody knows', () => {
  // What parents of the chart put there is theirs.
  expect(openObjects(SCHEMA, 'values')).toEqual(['values.global']);
});

test('the defaults pass', () => {
  expect(validate(VALUES)).toBe(true);
});

const network = (cidr: string) => ({ network: { routableCidrs: [cidr] } });
test.each(['0.0.0.0/0', '10.1.2.0/24', '255.255.255.255/32', '2001:db8::/32', '::/0', '::ffff:10.0.0.0/104'])(
  '%s is a network',
  (cidr) => expect(validate(network(cidr))).toBe(true),
);
test.each([
  '10.0.0.0/33',
  '10.0.0/8',
  '10.0.0.256/32',
  '10.0.0.0',
  '2001:db8::/129',
  'fe80::/1000',
  '010.0.0.0/8',
])('%s is none', (cidr) => expect(validate(network(cidr))).toBe(false));
