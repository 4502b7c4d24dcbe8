/**
 * How the collections that facts are made of are written into a file: the kind of their objects, and which fields are
 * needed. Which collections there are, and how an object is read, is kube/factSources.ts's to say; a test holds that
 * each of those is here.
 */

export interface CollectionFormat {
  /** REST path of all objects in the cluster, which names the collection. */
  readonly path: string;
  readonly apiVersion: string;
  readonly kind: string;
  /** Field paths that are kept of an object; the rest (images, managed fields, environments of pods) is not. */
  readonly keep: readonly string[];
}

const OBJECT = ['metadata.name', 'metadata.labels'];
const OWN = [...OBJECT, 'metadata.annotations'];
const NAMESPACED = ['metadata.namespace', ...OBJECT];
const POLICY = [...OWN, 'metadata.uid', 'metadata.creationTimestamp', 'metadata.generation', 'spec'];

/** In the order in which they are written. */
export const FACT_COLLECTIONS: readonly CollectionFormat[] = [
  core('nodes', 'Node', [
    ...OWN,
    'spec.podCIDRs',
    'spec.taints',
    'spec.unschedulable',
    'status.addresses',
    'status.conditions',
  ]),
  of('sallyport.dev/v1alpha1', 'gatewaynodes', 'GatewayNode', [...OBJECT, 'status']),
  of('sallyport.dev/v1alpha1', 'egresspolicies', 'EgressPolicy', POLICY),
  of('cilium.io/v1alpha1', 'ciliumegressgatewaypolicies', 'CiliumEgressGatewayPolicy', POLICY),
  of('sallyport.dev/v1alpha1', 'egressips', 'EgressIP', ['metadata.name', 'spec']),
  core('namespaces', 'Namespace', OBJECT),
  core('pods', 'Pod', [...NAMESPACED, 'spec.nodeName', 'spec.hostNetwork', 'status.phase']),
  of('networking.k8s.io/v1', 'servicecidrs', 'ServiceCIDR', ['metadata.name', 'spec.cidrs']),
  core('services', 'Service', [
    ...['metadata.namespace', 'metadata.name', 'spec.type', 'spec.loadBalancerIP', 'spec.externalIPs'],
    'status.loadBalancer',
  ]),
  of('metallb.io/v1beta1', 'ipaddresspools', 'IPAddressPool', [...NAMESPACED, 'spec.addresses']),
  ...['v2', 'v2alpha1'].map((version) =>
    of(`cilium.io/${version}`, 'ciliumloadbalancerippools', 'CiliumLoadBalancerIPPool', [
      'metadata.name',
      'spec.blocks',
      'spec.cidrs',
    ]),
  ),
  of('cilium.io/v2', 'ciliumegressgatewaypolicies', 'CiliumEgressGatewayPolicy', ['metadata.name', 'spec']),
];

function core(plural: string, kind: string, keep: readonly string[]): CollectionFormat {
  return { path: `/api/v1/${plural}`, apiVersion: 'v1', kind, keep };
}

function of(apiVersion: string, plural: string, kind: string, keep: readonly string[]): CollectionFormat {
  return { path: `/apis/${apiVersion}/${plural}`, apiVersion, kind, keep };
}
