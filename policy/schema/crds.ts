/** The four CustomResourceDefinitions, as values. The manifests under charts/ are rendered from these. */
import {
  API_VERSION,
  CILIUM_EGRESS_GATEWAY_POLICY,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
  type ServedKind,
} from '../names.ts';
import { type JsonSchema, object } from './jsonSchema.ts';
import { policySpec } from './policySchema.ts';
import { egressIpSpec, egressIpStatus, gatewayNodeStatus, policyStatus } from './statusSchemas.ts';

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly priority?: number;
}

interface Definition {
  readonly served: ServedKind;
  readonly singular: string;
  readonly shortName: string;
  readonly spec?: JsonSchema;
  readonly status: JsonSchema;
  readonly columns: readonly PrinterColumn[];
}

const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };
const condition = (type: string): PrinterColumn => ({
  name: type,
  type: 'string',
  jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
});
const POLICY_COLUMNS: readonly PrinterColumn[] = [
  { name: 'Egress', type: 'string', jsonPath: '.status.egress' },
  { name: 'Pods', type: 'integer', jsonPath: '.status.selectedPods' },
  condition('Accepted'),
  condition('Programmed'),
  condition('Available'),
  AGE,
];

export const DEFINITIONS: readonly Definition[] = [
  {
    served: CILIUM_EGRESS_GATEWAY_POLICY,
    singular: 'ciliumegressgatewaypolicy',
    shortName: 'cegp',
    spec: policySpec,
    status: policyStatus,
    columns: POLICY_COLUMNS,
  },
  {
    served: EGRESS_POLICY,
    singular: 'egresspolicy',
    shortName: 'egp',
    spec: policySpec,
    status: policyStatus,
    columns: POLICY_COLUMNS,
  },
  {
    served: EGRESS_IP,
    singular: 'egressip',
    shortName: 'eip',
    spec: egressIpSpec,
    status: egressIpStatus,
    columns: [
      { name: 'Gateway', type: 'string', jsonPath: '.status.gateway' },
      { name: 'Standbys', type: 'string', jsonPath: '.status.standbyNames' },
      { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
      { name: 'Epoch', type: 'integer', jsonPath: '.spec.epoch' },
      { name: 'Since', type: 'date', jsonPath: '.status.since' },
      AGE,
    ],
  },
  {
    served: GATEWAY_NODE,
    singular: 'gatewaynode',
    shortName: 'gwn',
    status: gatewayNodeStatus,
    columns: [
      condition('DataPlaneReady'),
      condition('Healthy'),
      { name: 'Holding', type: 'integer', jsonPath: '.status.holding' },
      { name: 'Address', type: 'string', jsonPath: '.status.underlay.address' },
      { name: 'Session', type: 'integer', jsonPath: '.status.session', priority: 1 },
      AGE,
    ],
  },
];

/** The manifest of one kind, ready for the API server. */
export function renderCrd({ served, singular, shortName, spec, status, columns }: Definition): unknown {
  const { group, plural, kind } = served;
  const schema = object(
    `${kind} of Sallyport.`,
    {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      ...(spec === undefined ? {} : { spec }),
      status,
    },
    spec === undefined ? [] : ['spec'],
  );
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Cluster',
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames: [shortName] },
      versions: [
        {
          name: API_VERSION,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: schema },
          subresources: { status: {} },
          additionalPrinterColumns: columns,
        },
      ],
    },
  };
}
