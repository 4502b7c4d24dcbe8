/**
 * The structural schema of both policy kinds: what the API server itself refuses and fills in, webhook or not. Its CEL
 * rules are in celRules.ts; the parser says the same and more, in better words.
 */
import {
  DESTINATIONS_MAX,
  POOL_ENTRIES_MAX,
  RETURN_AFTER,
  RETURN_AFTER_LENGTH_MAX,
  SELECTORS_MAX,
} from '../parsePolicy.ts';
import { REQUIREMENTS_MAX, VALUES_MAX } from '../parseSelector.ts';
import { LABEL_KEY, LABEL_VALUE } from '../selector.ts';
import { DEFAULTS } from '../setDefaults.ts';
import {
  LABEL_SELECTOR_RULES,
  MATCH_LABELS_RULES,
  POOL_ENTRY_RULES,
  POOL_LIST_RULES,
  PREFIX_RULES,
  REQUIREMENT_RULES,
  RETURN_AFTER_RULES,
  SPEC_RULES,
  WORKLOAD_SELECTOR_RULES,
} from './celRules.ts';
import { type JsonSchema, listOf, object, text, type ValidationRule } from './jsonSchema.ts';

/** Longest text of a prefix: 39 characters of IPv6, a slash and three digits. */
const CIDR_LENGTH_MAX = 43;
const ADDRESS_LENGTH_MAX = 39;
/** Label keys: 253 characters of prefix, a slash, 63 of name. */
const LABEL_KEY_LENGTH_MAX = 317;
const LABEL_VALUE_LENGTH_MAX = 63;

const prefix = (description: string): JsonSchema => ({
  ...text(description, { maxLength: CIDR_LENGTH_MAX }),
  'x-kubernetes-validations': PREFIX_RULES,
});

/** A set: the API server refuses a prefix that is listed twice, and merges what several managers apply. */
const prefixSet = (
  description: string,
  limits: { readonly minItems?: number; readonly maxItems: number },
): JsonSchema => ({
  ...listOf(description, prefix('A prefix.'), limits),
  'x-kubernetes-list-type': 'set',
});

const labelValue = text('A label value.', { maxLength: LABEL_VALUE_LENGTH_MAX, pattern: LABEL_VALUE });

const requirement: JsonSchema = {
  ...object(
    'One requirement.',
    {
      key: text('The label key.', { maxLength: LABEL_KEY_LENGTH_MAX, pattern: LABEL_KEY }),
      operator: {
        ...text('How key and values relate.'),
        enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'],
      },
      values: listOf('Values for In and NotIn.', labelValue, { maxItems: VALUES_MAX }),
    },
    ['key', 'operator'],
  ),
  'x-kubernetes-validations': REQUIREMENT_RULES,
};

const labelSelector = (
  description: string,
  properties: Readonly<Record<string, JsonSchema>> = {},
  rules: readonly ValidationRule[] = [],
): JsonSchema => ({
  ...object(description, {
    matchLabels: {
      type: 'object',
      description: 'Label keys and the values they must have.',
      additionalProperties: labelValue,
      maxProperties: REQUIREMENTS_MAX,
      'x-kubernetes-validations': MATCH_LABELS_RULES,
    },
    matchExpressions: listOf('Requirements, all of which must hold.', requirement, {
      maxItems: REQUIREMENTS_MAX,
    }),
    ...properties,
  }),
  'x-kubernetes-validations': [...LABEL_SELECTOR_RULES, ...rules],
});

const selector = labelSelector(
  'Pods that the policy is for: a label selector, or the long form of three, ANDed.',
  {
    podSelector: labelSelector('Labels of pods.'),
    namespaceSelector: labelSelector("Labels of the pods' namespaces."),
    nodeSelector: labelSelector('Labels of the nodes that the pods run on.'),
  },
  WORKLOAD_SELECTOR_RULES,
);

const poolEntry: JsonSchema = {
  ...object('Addresses to leave with: one prefix, or a range.', {
    cidr: prefix('A prefix, such as 203.0.113.10/32.'),
    from: text('First address of a range.', { maxLength: ADDRESS_LENGTH_MAX }),
    to: text('Last address of a range, inclusive.', { maxLength: ADDRESS_LENGTH_MAX }),
    shared: { type: 'boolean', description: 'Another policy may list the same entry, if it says so too.' },
  }),
  'x-kubernetes-validations': POOL_ENTRY_RULES,
};

const poolList: JsonSchema = {
  ...listOf('Egress addresses, in the order in which Failover takes them.', poolEntry, {
    minItems: 1,
    maxItems: POOL_ENTRIES_MAX,
  }),
  'x-kubernetes-validations': POOL_LIST_RULES,
};

const policyFields = object(
  'Which pods leave with which addresses, towards which destinations.',
  {
    selectors: listOf('ORed.', selector, { minItems: 1, maxItems: SELECTORS_MAX }),
    destinationCIDRs: prefixSet('Destinations that the policy is for.', {
      minItems: 1,
      maxItems: DESTINATIONS_MAX,
    }),
    excludedCIDRs: prefixSet('Destinations that leave as if no policy applied.', {
      maxItems: DESTINATIONS_MAX,
    }),
    egressGateway: object(
      'The addresses and how they are served.',
      {
        ippools: poolList,
        nodeSelector: labelSelector('Narrows the gateway nodes; default: every node with the gateway label.'),
        strategy: choice('strategy', 'Distribute uses all addresses; Failover the first placeable one.', [
          'Distribute',
          'Failover',
        ]),
        affinity: choice(
          'affinity',
          'Pod keeps one address per pod; Connection chooses for each connection.',
          ['Pod', 'Connection'],
        ),
        failureMode: choice(
          'failureMode',
          'Closed: no gateway, no egress. Open: then leave with the node address.',
          ['Closed', 'Open'],
        ),
        returnPolicy: choice('returnPolicy', 'Whether an address returns to a recovered gateway.', [
          'Stay',
          'Return',
        ]),
        returnAfter: {
          ...text('How long it must have been stable, such as 5m.', {
            maxLength: RETURN_AFTER_LENGTH_MAX,
            pattern: RETURN_AFTER,
          }),
          'x-kubernetes-validations': RETURN_AFTER_RULES,
        },
      },
      ['ippools'],
    ),
  },
  ['selectors', 'destinationCIDRs', 'egressGateway'],
);

export const policySpec: JsonSchema = { ...policyFields, 'x-kubernetes-validations': SPEC_RULES };

function choice(field: keyof typeof DEFAULTS, description: string, options: readonly string[]): JsonSchema {
  return { ...text(description), enum: options, default: DEFAULTS[field] };
}
