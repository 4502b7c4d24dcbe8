/**
 * The collections that facts come from, and what each gives. Kinds of other projects may be served or not: they come and
 * go with their CRDs, and where one is not served there is nothing of it.
 */
import type { FactSource, FactValues } from '../policy/index/factIndex.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  CILIUM_GROUP,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
  type PolicyKind,
} from '../policy/names.ts';
import { parseCiliumPolicy } from '../policy/parseCiliumPolicy.ts';
import {
  parseEgressIpFacts,
  parseNamespaceFacts,
  parsePodFacts,
  parseServiceCidr,
} from '../policy/parseClusterObjects.ts';
import { parseGatewayNodeFacts, parseNode } from '../policy/parseFacts.ts';
import {
  parseCiliumLoadBalancerIpPool,
  parseIpAddressPool,
  parseServiceAddresses,
} from '../policy/parseLoadBalancers.ts';
import { parsePolicy } from '../policy/parsePolicy.ts';
import type { Interner } from './internLabels.ts';

export interface FactCollection {
  /** Of which source its values are. */
  readonly source: FactSource;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Not every cluster serves it. */
  readonly optional?: true;
  /** None: as if the object were not there. */
  readonly read: (raw: unknown) => readonly FactValues[FactSource][];
}

export function factCollections(interner: Interner): readonly FactCollection[] {
  return [
    collection('nodes', '/api/v1/nodes', (raw) => some(parseNode(raw))),
    collection('gateways', collectionPath(GATEWAY_NODE), (raw) => some(parseGatewayNodeFacts(raw))),
    // Not served where Cilium's own kind of that name is.
    optional(
      collection('policies', collectionPath(CILIUM_EGRESS_GATEWAY_POLICY), (raw) =>
        readStored(raw, 'CiliumEgressGatewayPolicy'),
      ),
    ),
    collection('policies', collectionPath(EGRESS_POLICY), (raw) => readStored(raw, 'EgressPolicy')),
    collection('egressIps', collectionPath(EGRESS_IP), (raw) => some(parseEgressIpFacts(raw))),
    {
      ...collection('pods', '/api/v1/pods', (raw) => readPod(raw, interner)),
      query: { fieldSelector: 'status.phase=Running' },
    },
    collection('namespaces', '/api/v1/namespaces', (raw) => some(parseNamespaceFacts(raw))),
    // Kubernetes before 1.33 has no such kind; there the networks have to be configured.
    optional(collection('networks', '/apis/networking.k8s.io/v1/servicecidrs', parseServiceCidr)),
    {
      ...collection('loadBalancers', '/api/v1/services', parseServiceAddresses),
      query: { fieldSelector: 'spec.type=LoadBalancer' },
    },
    optional(collection('loadBalancers', '/apis/metallb.io/v1beta1/ipaddresspools', parseIpAddressPool)),
    ...['v2', 'v2alpha1'].map((version) =>
      optional(
        collection(
          'loadBalancers',
          `/apis/${CILIUM_GROUP}/${version}/ciliumloadbalancerippools`,
          parseCiliumLoadBalancerIpPool,
        ),
      ),
    ),
    optional(
      collection(
        'ciliumPolicies',
        collectionPath({ ...CILIUM_EGRESS_GATEWAY_POLICY, version: 'v2' }),
        (raw) => some(parseCiliumPolicy(raw)),
      ),
    ),
  ];
}

function collection<S extends FactSource>(
  source: S,
  path: string,
  read: (raw: unknown) => readonly FactValues[S][],
): FactCollection {
  return { source, path, read };
}

function optional(it: FactCollection): FactCollection {
  return { ...it, optional: true };
}

function some<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}

/**
 * A stored policy that does not parse is programmed nowhere, so it owns nothing to conflict with. One that is being deleted
 * makes room by itself, and the controller waits until it has.
 */
function readStored(raw: unknown, kind: PolicyKind): readonly FactValues['policies'][] {
  const parsed = parsePolicy(raw, kind);
  return parsed.kind === 'ok' && !parsed.value.deleting ? [parsed.value] : [];
}

function readPod(raw: unknown, interner: Interner): readonly FactValues['pods'][] {
  const pod = parsePodFacts(raw);
  if (pod === undefined) return [];
  return [
    {
      namespace: interner.text(pod.namespace),
      node: interner.text(pod.node),
      labels: interner.labels(pod.labels),
    },
  ];
}
