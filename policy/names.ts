/** Every name that Sallyport shares with the cluster: API groups, kinds, labels, annotations, finalizers. */
export const SALLYPORT_GROUP = 'sallyport.dev';
export const CILIUM_GROUP = 'cilium.io';
export const API_VERSION = 'v1alpha1';

export const POLICY_KINDS = ['CiliumEgressGatewayPolicy', 'EgressPolicy'] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

/** Cilium's own kind of that name, which users write beside ours: group and version tell them apart. */
export const CILIUM_POLICY_V2 = 'CiliumEgressGatewayPolicy.v2';

export interface ServedKind {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
}

export const CILIUM_EGRESS_GATEWAY_POLICY: ServedKind = {
  group: CILIUM_GROUP,
  version: API_VERSION,
  plural: 'ciliumegressgatewaypolicies',
  kind: 'CiliumEgressGatewayPolicy',
};
export const EGRESS_POLICY: ServedKind = {
  group: SALLYPORT_GROUP,
  version: API_VERSION,
  plural: 'egresspolicies',
  kind: 'EgressPolicy',
};
export const EGRESS_IP: ServedKind = {
  group: SALLYPORT_GROUP,
  version: API_VERSION,
  plural: 'egressips',
  kind: 'EgressIP',
};
export const GATEWAY_NODE: ServedKind = {
  group: SALLYPORT_GROUP,
  version: API_VERSION,
  plural: 'gatewaynodes',
  kind: 'GatewayNode',
};

/** Nodes that carry this label (any value but "false") may hold egress IPs. */
export const GATEWAY_LABEL = 'sallyport.dev/gateway';
export const ZONE_LABEL = 'topology.kubernetes.io/zone';
export const FINALIZER = 'sallyport.dev/release-addresses';
/** On a Node, `"true"`: its egress IPs go elsewhere, while its pods stay and new ones may come. */
export const DRAIN_ANNOTATION = 'sallyport.dev/drain';
/** On a policy, any new value: its addresses are spread evenly over the gateways that there are now. */
export const REBALANCE_ANNOTATION = 'sallyport.dev/rebalance';
export const FORCE_RELEASE_ANNOTATION = 'sallyport.dev/force-release';
/** Leases of gateways are named `gateway-<node>` in the namespace that Sallyport runs in. */
export const GATEWAY_LEASE_PREFIX = 'gateway-';
export const CONTROLLER_LEASE = 'sallyport-controller';
/** In the namespace that Sallyport runs in: which agents vote on who is alive. */
export const VOTERS_CONFIG_MAP = 'sallyport-voters';
/** In the namespace that Sallyport runs in: what agents prove themselves to each other with. */
export const PEER_KEY_SECRET = 'sallyport-peer-key';
/** On that Secret, with any value: change the key now. Taken off when the change has begun. */
export const ROTATE_ANNOTATION = 'sallyport.dev/rotate';
/**
 * On the Secret with the webhook's certificates the same annotation asks for a new leaf, or for a new authority where its value
 * is `ca`. What else stands there: where the rotation is, since when (RFC 3339), and what each replica says of itself.
 */
export const CERTIFICATE_PHASE_ANNOTATION = 'sallyport.dev/phase';
export const CERTIFICATE_PHASE_SINCE_ANNOTATION = 'sallyport.dev/phase-since';
export const REPLICA_ANNOTATION_PREFIX = 'replica.sallyport.dev/';
/** On the webhook configurations, `MODE NAMESPACE/NAME`: who makes the certificates, and the Secret they are in. */
export const CERTIFICATES_ANNOTATION = 'sallyport.dev/certificates';
/** On the Secret with the peer keys: when the key of that number was made, RFC 3339. */
export function keyMadeAnnotation(id: number): string {
  return `sallyport.dev/key-${id}-made`;
}

/** The REST path of a cluster-scoped kind's collection, e.g. `/apis/sallyport.dev/v1alpha1/egressips`. */
export function collectionPath(served: ServedKind): string {
  return `/apis/${served.group}/${served.version}/${served.plural}`;
}
