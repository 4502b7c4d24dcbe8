/**
 * Cilium's own kind of the same name, as far as the API server and Sallyport see it: group, names, version v2, and the
 * fields of its spec. Written for these tests after the documentation of Cilium's egress gateway
 * (https://docs.cilium.io/en/stable/network/egress-gateway/egress-gateway/).
 */
const text = { type: 'string' };
const labelSelector = {
  type: 'object',
  properties: {
    matchLabels: { type: 'object', additionalProperties: text },
    matchExpressions: {
      type: 'array',
      items: {
        type: 'object',
        required: ['key', 'operator'],
        properties: { key: text, operator: text, values: { type: 'array', items: text } },
      },
    },
  },
};
const gateway = {
  type: 'object',
  required: ['nodeSelector'],
  properties: { nodeSelector: labelSelector, egressIP: text, interface: text },
};
const spec = {
  type: 'object',
  required: ['selectors', 'destinationCIDRs'],
  properties: {
    selectors: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          podSelector: labelSelector,
          namespaceSelector: labelSelector,
          nodeSelector: labelSelector,
        },
      },
    },
    destinationCIDRs: { type: 'array', items: text },
    excludedCIDRs: { type: 'array', items: text },
    egressGateway: gateway,
    egressGateways: { type: 'array', items: gateway },
  },
};

export const CILIUM_V2_CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: {
    name: 'ciliumegressgatewaypolicies.cilium.io',
    labels: { 'io.cilium.k8s.crd.schema.version': '1.0.0' },
  },
  spec: {
    group: 'cilium.io',
    scope: 'Cluster',
    names: {
      kind: 'CiliumEgressGatewayPolicy',
      listKind: 'CiliumEgressGatewayPolicyList',
      plural: 'ciliumegressgatewaypolicies',
      singular: 'ciliumegressgatewaypolicy',
      shortNames: ['cegp'],
    },
    versions: [
      {
        name: 'v2',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
      },
    ],
  },
};
