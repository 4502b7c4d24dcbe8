/**
 * The structural schema of both policy kinds: what the API server itself refuses, webhook or not. Its CEL rules hold the
 * rules that one object can show (canonical prefixes, no overlap within the object); the parser says the same and more,
 * in better words. Costs are bounded by the limits, or the API server would refuse the rules.
 */
import { DESTINATIONS_MAX, POOL_ENTRIES_MAX, SELECTORS_MAX } from '../parsePolicy.ts';
import { type JsonSchema, listOf, object, text } from './jsonSchema.ts';

/** Longest text of a prefix: 39 characters of IPv6, a slash and three digits. */
const CIDR_LENGTH_MAX = 43;
const ADDRESS_LENGTH_MAX = 39;
/** Label keys: 253 characters of prefix, a slash, 63 of name. */
const LABEL_KEY_LENGTH_MAX = 317;
const LABEL_VALUE_LENGTH_MAX = 63;

const CANONICAL = {
  rule: 'isCIDR(self) && string(cidr(self).masked()) == self',
  message: 'must be a canonical prefix without host bits, such as 203.0.113.0/24 or 2001:db8::/64',
};

const prefix = (description: string): JsonSchema => ({
  ...text(description, { maxLength: CIDR_LENGTH_MAX }),
  'x-kubernetes-validations': [CANONICAL],
});

const labelSelector = (
  description: string,
  properties: Readonly<Record<string, JsonSchema>> = {},
): JsonSchema =>
  object(description, {
    matchLabels: {
      type: 'object',
      description: 'Label keys and the values they must have.',
      additionalProperties: text('A label value.', { maxLength: LABEL_VALUE_LENGTH_MAX }),
    },
    matchExpressions: listOf(
      'Requirements, all of which must hold.',
      object(
        'One requirement.',
        {
          key: text('The label key.', { maxLength: LABEL_KEY_LENGTH_MAX }),
          operator: {
            ...text('How key and values relate.'),
            enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'],
          },
          values: listOf(
            'Values for In and NotIn.',
            text('A label value.', { maxLength: LABEL_VALUE_LENGTH_MAX }),
            { maxItems: 256 },
          ),
        },
        ['key', 'operator'],
      ),
      { maxItems: 64 },
    ),
    ...properties,
  });

const selector = labelSelector(
  'Pods that the policy is for: a label selector, or the long form of three, ANDed.',
  {
    podSelector: labelSelector('Labels of pods.'),
    namespaceSelector: labelSelector("Labels of the pods' namespaces."),
    nodeSelector: labelSelector('Labels of the nodes that the pods run on.'),
  },
);

const poolEntry: JsonSchema = {
  ...object('Addresses to leave with: one prefix, or a range.', {
    cidr: prefix('A prefix, such as 203.0.113.10/32.'),
    from: text('First address of a range.', { maxLength: ADDRESS_LENGTH_MAX }),
    to: text('Last address of a range, inclusive.', { maxLength: ADDRESS_LENGTH_MAX }),
    shared: { type: 'boolean', description: 'Another policy may list the same entry, if it says so too.' },
  }),
  'x-kubernetes-validations': [
    {
      rule: 'has(self.cidr) != (has(self.from) || has(self.to))',
      message: 'must have either cidr, or from and to',
    },
    { rule: 'has(self.from) == has(self.to)', message: 'a range needs both from and to' },
    {
      rule: '!has(self.from) || !has(self.to) || (isIP(self.from) && isIP(self.to) && ip.isCanonical(self.from) && ip.isCanonical(self.to) && ip(self.from).family() == ip(self.to).family())',
      message: 'from and to must be canonical addresses of one family',
    },
  ],
};

const poolList: JsonSchema = {
  ...listOf('Egress addresses, in the order in which Failover takes them.', poolEntry, {
    minItems: 1,
    maxItems: POOL_ENTRIES_MAX,
  }),
  'x-kubernetes-validations': [
    {
      // Prefixes nest or are disjoint: two overlap exactly if one contains the other.
      rule: 'self.all(a, !has(a.cidr) || !isCIDR(a.cidr) || self.exists_one(b, has(b.cidr) && isCIDR(b.cidr) && cidr(b.cidr).containsCIDR(a.cidr)))',
      message: 'two entries overlap; list each address once',
    },
  ],
};

export const policySpec: JsonSchema = object(
  'Which pods leave with which addresses, towards which destinations.',
  {
    selectors: listOf('ORed.', selector, { minItems: 1, maxItems: SELECTORS_MAX }),
    destinationCIDRs: listOf('Destinations that the policy is for.', prefix('A prefix.'), {
      minItems: 1,
      maxItems: DESTINATIONS_MAX,
    }),
    excludedCIDRs: listOf('Destinations that leave as if no policy applied.', prefix('A prefix.'), {
      maxItems: DESTINATIONS_MAX,
    }),
    egressGateway: object(
      'The addresses and how they are served.',
      {
        ippools: poolList,
        nodeSelector: labelSelector('Narrows the gateway nodes; default: every node with the gateway label.'),
        strategy: choice('Distribute uses all addresses; Failover the first placeable one.', [
          'Distribute',
          'Failover',
        ]),
        affinity: choice('Pod keeps one address per pod; Connection chooses for each connection.', [
          'Pod',
          'Connection',
        ]),
        failureMode: choice('Closed: no gateway, no egress. Open: then leave with the node address.', [
          'Closed',
          'Open',
        ]),
        returnPolicy: choice('Whether an address returns to a recovered gateway.', ['Stay', 'Return']),
        returnAfter: text('How long it must have been stable, such as 5m.', { maxLength: 32 }),
      },
      ['ippools'],
    ),
  },
  ['selectors', 'destinationCIDRs', 'egressGateway'],
);

function choice(description: string, options: readonly string[]): JsonSchema {
  return { ...text(description), enum: options };
}
