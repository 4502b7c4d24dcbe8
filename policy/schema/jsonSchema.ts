/** A rule in CEL; the API server shows the message behind the field's path and value. */
export interface ValidationRule {
  readonly rule: string;
  readonly message: string;
}

/** The part of OpenAPI v3 that structural schemas use, and short makers for it. */
export interface JsonSchema {
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly enum?: readonly string[];
  readonly format?: 'int32' | 'int64' | 'date-time';
  readonly default?: string;
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly maxProperties?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[];
  readonly 'x-kubernetes-list-type'?: 'map' | 'set' | 'atomic';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
}

export function object(
  description: string,
  properties: Readonly<Record<string, JsonSchema>>,
  required: readonly string[] = [],
): JsonSchema {
  return { type: 'object', description, properties, ...(required.length === 0 ? {} : { required }) };
}

export function listOf(
  description: string,
  items: JsonSchema,
  limits: { readonly minItems?: number; readonly maxItems?: number } = {},
): JsonSchema {
  return { type: 'array', description, items, ...limits };
}

export function text(
  description: string,
  limits: { readonly maxLength?: number; readonly pattern?: string } = {},
): JsonSchema {
  return { type: 'string', description, ...limits };
}

export function natural(description: string): JsonSchema {
  return { type: 'integer', format: 'int64', minimum: 0, description };
}

export function time(description: string): JsonSchema {
  return { type: 'string', format: 'date-time', description };
}

/** The standard conditions of an API object, one of each type. */
export const conditions: JsonSchema = {
  ...listOf(
    'What holds, with reasons.',
    object(
      'One condition.',
      {
        type: text('Its name.'),
        status: { ...text('Whether it holds.'), enum: ['True', 'False', 'Unknown'] },
        reason: text('One word for machines.'),
        message: text('One sentence for people.'),
        observedGeneration: natural('The generation it was judged at.'),
        lastTransitionTime: time('When status last changed.'),
      },
      ['type', 'status'],
    ),
  ),
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
};
