/** A small cluster as its API server shows it, read by the parsers that watch a real one. */
import { cidrRange, parseCidr } from '../../../policy/cidr.ts';
import type { ClusterFacts } from '../../../policy/facts.ts';
import type { Cidr, Policy } from '../../../policy/model.ts';
import { parseCiliumPolicy } from '../../../policy/parseCiliumPolicy.ts';
import {
  parseEgressIpFacts,
  parseNamespaceFacts,
  parsePodFacts,
  parseServiceCidr,
} from '../../../policy/parseClusterObjects.ts';
import { parseGatewayNodeFacts, parseNode } from '../../../policy/parseFacts.ts';
import { parseIpAddressPool, parseServiceAddresses } from '../../../policy/parseLoadBalancers.ts';
import { parsePolicy } from '../../../policy/parsePolicy.ts';

/** The manifest of the README, with changes. */
export interface Change {
  readonly name?: string;
  readonly kind?: 'CiliumEgressGatewayPolicy' | 'EgressPolicy';
  readonly metadata?: object;
  readonly spec?: object;
  readonly gateway?: object;
}

export function manifest({ name = 'mine', kind = 'CiliumEgressGatewayPolicy', ...change }: Change = {}) {
  return {
    apiVersion: kind === 'EgressPolicy' ? 'sallyport.dev/v1alpha1' : 'cilium.io/v1alpha1',
    kind,
    metadata: { name, uid: `uid-${name}`, ...change.metadata },
    spec: {
      selectors: [{ matchLabels: { app: 'my-app' } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr: '203.0.113.10/32' }], ...change.gateway },
      ...change.spec,
    },
  };
}

/** The manifest with these entries of its pool. */
export function pool(...ippools: readonly object[]) {
  return manifest({ gateway: { ippools } });
}

export function policy(change: Change): Policy {
  const parsed = parsePolicy(manifest(change), change.kind ?? 'CiliumEgressGatewayPolicy');
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
}

export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed.kind === 'refused') throw new Error(parsed.error.message);
  return parsed.value;
}

export function node(
  name: string,
  address: string,
  change: { readonly labels?: object; readonly podCidr?: string } = {},
) {
  return present(
    parseNode({
      metadata: { name, labels: change.labels },
      spec: { podCIDRs: change.podCidr === undefined ? [] : [change.podCidr] },
      status: { addresses: [{ type: 'InternalIP', address }] },
    }),
  );
}

export function report(name: string, status: object = {}) {
  const interfaceName = 'eth0';
  const onLink = ['203.0.113.0/24', '2001:db8:113::/64'].map((text) => ({ cidr: text, interfaceName }));
  const nextHops = [{ address: '203.0.113.1', interfaceName }];
  return present(
    parseGatewayNodeFacts({ metadata: { name }, status: { onLink, nextHops, capacity: 16, ...status } }),
  );
}

export function pod(change: {
  readonly labels?: object;
  readonly node?: string;
  readonly namespace?: string;
}) {
  return present(
    parsePodFacts({
      metadata: {
        namespace: change.namespace ?? 'shop',
        name: 'p',
        labels: change.labels ?? { app: 'my-app' },
      },
      spec: { nodeName: change.node ?? 'worker-1' },
      status: { phase: 'Running' },
    }),
  );
}

export function ciliumPolicy(name: string, spec: object) {
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumEgressGatewayPolicy', metadata: { name }, spec };
}

export function egressIp(address: string, policyUids: readonly string[], nodes: readonly string[]) {
  return present(
    parseEgressIpFacts({
      spec: {
        address,
        policies: policyUids.map((uid) => ({ uid })),
        blocks: nodes.map((it) => ({ node: it })),
      },
    }),
  );
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('exampleCluster: an object that does not parse');
  return value;
}

const GATEWAY = { 'sallyport.dev/gateway': '' };

/** `first` is the one stored policy: pods of app first, towards 198.51.100.0/24, with 17 addresses of which one is shared. */
export const FIRST: Change = {
  name: 'first',
  spec: {
    selectors: [{ matchLabels: { app: 'first' } }],
    destinationCIDRs: ['198.51.100.0/24'],
    egressGateway: { ippools: [{ cidr: '203.0.113.64/28' }, { cidr: '203.0.113.200/32', shared: true }] },
  },
};

export const CLUSTER: ClusterFacts = {
  policies: [policy(FIRST)],
  nodes: [
    node('gw-1', '203.0.113.11', { labels: { ...GATEWAY, rack: 'a' }, podCidr: '10.244.1.0/24' }),
    node('gw-2', '203.0.113.12', { labels: { ...GATEWAY, rack: 'b' }, podCidr: '10.244.2.0/24' }),
    node('worker-1', '203.0.113.21', { labels: { rack: 'a', disk: 'ssd' }, podCidr: '10.244.3.0/24' }),
    node('worker-2', '203.0.113.22', { labels: { rack: 'b' }, podCidr: '10.244.4.0/24' }),
  ],
  gateways: [
    report('gw-1', { interfaces: [{ name: 'eth1', addresses: ['203.0.113.99/24'] }] }),
    report('gw-2'),
    report('worker-1', { demand: [{ address: '203.0.113.64', ports: 64 }] }),
    report('worker-2'),
  ],
  networks: parseServiceCidr({ metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.96.0.0/12'] } }),
  loadBalancers: [
    ...parseIpAddressPool({
      metadata: { namespace: 'metallb-system', name: 'main' },
      spec: { addresses: ['203.0.113.240-203.0.113.249'] },
    }),
    ...parseServiceAddresses({
      metadata: { namespace: 'shop', name: 'front' },
      spec: { type: 'LoadBalancer' },
      status: { loadBalancer: { ingress: [{ ip: '203.0.113.230' }] } },
    }),
  ],
  egressIps: [
    egressIp('203.0.113.64', ['uid-first'], ['worker-1']),
    egressIp('203.0.113.65', ['uid-first'], ['worker-2']),
  ],
  pods: [pod({}), pod({ labels: { app: 'first' } })],
  namespaces: [present(parseNamespaceFacts({ metadata: { name: 'shop', labels: { team: 'x' } } }))],
  ciliumPolicies: [
    present(
      parseCiliumPolicy(
        ciliumPolicy('theirs', {
          selectors: [{ podSelector: { matchLabels: { app: 'x' } } }],
          destinationCIDRs: ['198.51.100.0/24'],
        }),
      ),
    ),
  ],
  routable: [cidr('198.18.0.0/24')],
};

export const range = (text: string) => cidrRange(cidr(text));
