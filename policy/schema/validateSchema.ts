/**
 * Checks an object against the structural schema that its CRD is rendered from, without an API server. Decides shape
 * alone: types, enums, limits, unknown fields. CEL rules are the API server's, and the parser says the same in better
 * words; this shows that what the programs write would be stored.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { Violation, ViolationCode } from '../model.ts';
import { nearestName } from '../nearestName.ts';
import type { JsonSchema } from './jsonSchema.ts';

/** Kubernetes' words, which say nothing about shape; strict ajv refuses words that it was not told of. */
const KUBERNETES_KEYWORDS = [
  'x-kubernetes-validations',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
] as const satisfies readonly (keyof JsonSchema)[];
/** What the API server means by the formats that schemas here use. */
const FORMATS = {
  int32: {
    type: 'number',
    validate: (value: number) => Number.isInteger(value) && Math.abs(value) < 2 ** 31,
  },
  int64: { type: 'number', validate: (value: number) => Number.isInteger(value) },
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/,
} as const;
const CODES: Readonly<Record<string, ViolationCode>> = {
  additionalProperties: 'unknown-field',
  maxItems: 'limits',
  maxLength: 'limits',
};

/** A check of one schema; compiled once. An empty list: the shape is right. */
export function createSchemaValidator(schema: JsonSchema): (value: unknown) => readonly Violation[] {
  // verbose: an error carries the schema that it is about, whose names are the known fields.
  const ajv = new Ajv({ strict: true, allErrors: true, verbose: true, formats: FORMATS });
  for (const keyword of KUBERNETES_KEYWORDS) ajv.addKeyword(keyword);
  const validate: ValidateFunction = ajv.compile(closed(schema));
  return (value) => (validate(value) ? [] : (validate.errors ?? []).map(toViolation));
}

type ClosedSchema = Readonly<Record<string, unknown>>;

/** The API server prunes fields that a structural schema does not name; here they are refused. */
function closed(schema: JsonSchema): ClosedSchema {
  const { properties, items, additionalProperties, ...rest } = schema;
  const closedProperties =
    properties === undefined
      ? undefined
      : Object.fromEntries(Object.entries(properties).map(([name, child]) => [name, closed(child)]));
  return {
    ...rest,
    ...(closedProperties === undefined ? {} : { properties: closedProperties, additionalProperties: false }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: closed(additionalProperties) }),
    ...(items === undefined ? {} : { items: closed(items) }),
  };
}

function toViolation({ keyword, instancePath, message, params, parentSchema }: ErrorObject): Violation {
  const place = fieldPath(instancePath);
  const code = CODES[keyword] ?? 'schema';
  if (keyword !== 'additionalProperties')
    return { code, verdict: 'deny', path: place, message: `${place || 'the object'} ${message ?? keyword}` };
  const field = String(params.additionalProperty);
  const near = nearestName(field, Object.keys(parentSchema?.properties ?? {}));
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  return {
    code,
    verdict: 'deny',
    path: place === '' ? field : `${place}.${field}`,
    message: `${field} is not a field here${hint}`,
  };
}

/** `/spec/egressGateway/ippools/0/cidr` as kubectl prints it: `spec.egressGateway.ippools[0].cidr`. */
function fieldPath(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce(
      (path, key) => (/^\d+$/.test(key) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`),
      '',
    );
}
