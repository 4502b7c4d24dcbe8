/**
 * One review for each code, verdict and border: what is asked, in which cluster, and the sentence that is answered.
 * docs/admission.md names these cases. `allow`: the border, just inside; that code must not come.
 */
import type { ClusterFacts } from '../../../policy/facts.ts';
import type { ViolationCode } from '../../../policy/violationCodes.ts';
import type { ReviewRequest } from '../../../webhook/core/review.ts';
import type { ReviewSettings } from '../../../webhook/core/snapshot.ts';
import {
  ciliumPolicy,
  egressIp,
  FIRST,
  manifest,
  node,
  pod,
  policy,
  pool,
  report,
} from './exampleCluster.ts';

export interface AdmissionCase {
  readonly name: string;
  readonly code: ViolationCode;
  readonly verdict: 'deny' | 'warn' | 'allow';
  /** The object of a create, unless `request` says more. */
  readonly object: unknown;
  readonly request?: Partial<ReviewRequest>;
  readonly facts?: Partial<ClusterFacts>;
  readonly settings?: Partial<ReviewSettings['settings']>;
  readonly path?: string;
  readonly message?: string;
}

const POOL0 = 'spec.egressGateway.ippools[0].cidr';
const POOLS = 'spec.egressGateway.ippools';
const CONTROLLER = 'system:serviceaccount:sallyport:sallyport-controller';
const AGENT = 'system:serviceaccount:sallyport:sallyport-agent';

const update = (before: unknown): Partial<ReviewRequest> => ({ operation: 'UPDATE', oldObject: before });
const first = (...ippools: readonly object[]) =>
  manifest({ ...FIRST, spec: { ...FIRST.spec, egressGateway: { ippools } } });
const forced = { annotations: { 'sallyport.dev/force-release': 'true' } };
const statusOf = (kind: string, name: string, username: string, nodeName = ''): Partial<ReviewRequest> => ({
  operation: 'UPDATE',
  subResource: 'status',
  kind,
  name,
  username,
  nodeName,
  oldObject: {},
});
const many = <T>(count: number, make: (at: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, at) => make(at));
const twin = policy({ name: 'twin', gateway: { ippools: [{ cidr: '203.0.113.50/32' }] } });
const v2 = (gateway: object, change: object = {}) =>
  ciliumPolicy('mine', {
    selectors: [{ podSelector: { matchLabels: { app: 'y' } } }],
    destinationCIDRs: ['198.51.100.0/24'],
    egressGateway: gateway,
    ...change,
  });

export const ADMISSION_CASES: readonly AdmissionCase[] = [
  // Syntax
  {
    name: 'a bare address',
    code: 'cidr-syntax',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.10' }),
    path: POOL0,
    message: '203.0.113.10 has no prefix length; write 203.0.113.10/32',
  },
  {
    name: 'IPv6 in capitals',
    code: 'cidr-syntax',
    verdict: 'deny',
    object: pool({ cidr: '2001:DB8:113::10/128' }),
    path: POOL0,
    message: '2001:DB8:113::10/128 is not canonical; write 2001:db8:113::10/128',
  },
  {
    name: 'a canonical prefix',
    code: 'cidr-syntax',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.10/32' }),
  },
  {
    name: 'host bits',
    code: 'cidr-host-bits',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.10/24' }),
    path: POOL0,
    message:
      '203.0.113.10/24 has host bits; write 203.0.113.0/24 for the network or 203.0.113.10/32 for the one address',
  },
  {
    name: 'the network of a prefix',
    code: 'cidr-host-bits',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.32/28' }),
  },
  {
    name: 'a range from high to low',
    code: 'range-syntax',
    verdict: 'deny',
    object: pool({ from: '203.0.113.9', to: '203.0.113.8' }),
    path: `${POOLS}[0]`,
    message: 'from 203.0.113.9 comes after to 203.0.113.8; exchange them',
  },
  {
    name: 'a range of two families',
    code: 'range-syntax',
    verdict: 'deny',
    object: pool({ from: '203.0.113.9', to: '2001:db8::1' }),
    path: `${POOLS}[0]`,
    message: '203.0.113.9 and 2001:db8::1 are of different families; use one range for each',
  },
  {
    name: 'a range and a prefix in one entry',
    code: 'range-syntax',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.9/32', from: '203.0.113.9', to: '203.0.113.9' }),
    path: `${POOLS}[0]`,
    message: 'the entry has both cidr and a range; keep cidr, or from and to',
  },
  {
    name: 'a range of one address',
    code: 'range-syntax',
    verdict: 'allow',
    object: pool({ from: '203.0.113.9', to: '203.0.113.9' }),
  },
  {
    name: 'a destination with host bits',
    code: 'destination-syntax',
    verdict: 'deny',
    object: manifest({ spec: { destinationCIDRs: ['10.0.0.1/8'] } }),
    path: 'spec.destinationCIDRs[0]',
    message: '10.0.0.1/8 has host bits; write 10.0.0.0/8 for the network or 10.0.0.1/32 for the one address',
  },
  {
    name: 'a destination listed twice',
    code: 'destination-syntax',
    verdict: 'deny',
    object: manifest({ spec: { destinationCIDRs: ['192.0.2.0/24', '192.0.2.0/24'] } }),
    path: 'spec.destinationCIDRs[1]',
    message: '192.0.2.0/24 is listed twice; list it once',
  },
  {
    name: 'no destination',
    code: 'destination-syntax',
    verdict: 'deny',
    object: manifest({ spec: { destinationCIDRs: [] } }),
    path: 'spec.destinationCIDRs',
    message: 'destinationCIDRs is empty; list at least 1, such as 0.0.0.0/0',
  },
  {
    name: 'an exclusion with host bits',
    code: 'destination-syntax',
    verdict: 'deny',
    object: manifest({ spec: { excludedCIDRs: ['192.0.2.1/24'] } }),
    path: 'spec.excludedCIDRs[0]',
    message:
      '192.0.2.1/24 has host bits; write 192.0.2.0/24 for the network or 192.0.2.1/32 for the one address',
  },
  {
    name: 'one destination',
    code: 'destination-syntax',
    verdict: 'allow',
    object: manifest({ spec: { destinationCIDRs: ['192.0.2.0/24'] } }),
  },
  {
    name: 'In without values',
    code: 'selector-syntax',
    verdict: 'deny',
    object: manifest({ spec: { selectors: [{ matchExpressions: [{ key: 'app', operator: 'In' }] }] } }),
    path: 'spec.selectors[0].matchExpressions[0].values',
    message: 'operator In needs at least one value',
  },
  {
    name: 'a selector that was emptied',
    code: 'selector-syntax',
    verdict: 'deny',
    object: manifest({ spec: { selectors: [{ matchLabels: {} }] } }),
    path: 'spec.selectors[0]',
    message: 'the selector has no requirement; add one, or write {} if everything is meant',
  },
  {
    name: 'a label value of 63 characters',
    code: 'selector-syntax',
    verdict: 'allow',
    object: manifest({ spec: { selectors: [{ matchLabels: { app: 'a'.repeat(63) } }] } }),
  },
  {
    name: 'a misspelt field',
    code: 'unknown-field',
    verdict: 'deny',
    object: manifest({ gateway: { ipPools: [] } }),
    path: 'spec.egressGateway.ipPools',
    message: 'ipPools is not a field here; did you mean ippools?',
  },
  {
    name: 'a field that is known',
    code: 'unknown-field',
    verdict: 'allow',
    object: manifest({ gateway: { strategy: 'Failover' } }),
  },
  {
    name: 'too many selectors',
    code: 'limits',
    verdict: 'deny',
    object: manifest({ spec: { selectors: many(65, (at) => ({ matchLabels: { a: `b${at}` } })) } }),
    path: 'spec.selectors',
    message: 'selectors has 65 entries; at most 64 are accepted',
  },
  {
    name: 'too many destinations',
    code: 'limits',
    verdict: 'deny',
    object: manifest({ spec: { destinationCIDRs: many(1001, (at) => `192.${at >> 8}.${at & 255}.0/24`) } }),
    path: 'spec.destinationCIDRs',
    message: 'destinationCIDRs has 1001 entries; at most 1000 are accepted',
  },
  {
    name: 'too many pool entries',
    code: 'limits',
    verdict: 'deny',
    object: pool(...many(65, (at) => ({ cidr: `203.0.113.${at + 100}/32` }))),
    path: POOLS,
    message: 'ippools has 65 entries; at most 64 are accepted',
  },
  {
    name: '64 selectors',
    code: 'limits',
    verdict: 'allow',
    object: manifest({ spec: { selectors: many(64, (at) => ({ matchLabels: { a: `b${at}` } })) } }),
  },
  {
    name: 'no pool at all',
    code: 'schema',
    verdict: 'deny',
    object: pool(),
    path: POOLS,
    message: 'ippools is empty; at least 1 is needed',
  },
  {
    name: 'a number where a label value belongs',
    code: 'schema',
    verdict: 'deny',
    object: manifest({ spec: { selectors: [{ matchLabels: { app: 7 } }] } }),
    path: 'spec.selectors[0].matchLabels.app',
    message: 'app is the number 7; a string is expected (quote it)',
  },
  {
    name: 'a number in quotes',
    code: 'schema',
    verdict: 'allow',
    object: manifest({ spec: { selectors: [{ matchLabels: { app: '7' } }] } }),
  },
  // Pools by themselves
  {
    name: 'loopback',
    code: 'special-use',
    verdict: 'deny',
    object: pool({ cidr: '127.0.0.8/32' }),
    path: POOL0,
    message:
      '127.0.0.8/32 lies in 127.0.0.0/8, loopback (RFC 1122); use addresses that the outside can answer to',
  },
  {
    name: 'a range that reaches into multicast',
    code: 'special-use',
    verdict: 'deny',
    object: pool({ from: '223.255.255.255', to: '224.0.0.0' }),
    path: `${POOLS}[0]`,
    message:
      '223.255.255.255-224.0.0.0 reaches into 224.0.0.0/4, multicast (RFC 5771); use addresses that the outside can answer to',
  },
  {
    name: 'documentation addresses, which people use',
    code: 'special-use',
    verdict: 'allow',
    object: pool({ cidr: '192.0.2.0/30' }),
  },
  {
    name: 'two entries that overlap',
    code: 'pool-overlap-self',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.16/30' }, { cidr: '203.0.113.17/32' }),
    path: `${POOLS}[1].cidr`,
    message:
      '203.0.113.17/32 overlaps 203.0.113.16/30 at spec.egressGateway.ippools[0].cidr of the same policy; list each address once',
  },
  {
    name: 'two entries side by side',
    code: 'pool-overlap-self',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.32/30' }, { cidr: '203.0.113.36/30' }),
  },
  {
    name: '257 addresses',
    code: 'pool-too-large',
    verdict: 'deny',
    object: pool({ cidr: '198.18.0.0/24' }, { cidr: '203.0.113.10/32' }),
    path: POOLS,
    message:
      'ippools holds 257 addresses; at most 256 are served by one policy, so use longer prefixes or several policies',
  },
  {
    name: 'more addresses than the setting',
    code: 'pool-too-large',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.32/28' }),
    settings: { poolAddressesMax: 8 },
    path: POOLS,
    message:
      'ippools holds 16 addresses; at most 8 are served by one policy, so use longer prefixes or several policies',
  },
  {
    name: '256 addresses',
    code: 'pool-too-large',
    verdict: 'allow',
    object: pool({ cidr: '198.18.0.0/24' }),
  },
  // Pools and others
  {
    name: 'an address of another policy',
    code: 'pool-overlap',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.70/32' }),
    path: POOL0,
    message:
      '203.0.113.70/32 overlaps 203.0.113.64/28 of CiliumEgressGatewayPolicy first; use other addresses, or list the same entry in both with shared: true',
  },
  {
    name: 'an entry that only the other side shares',
    code: 'pool-overlap',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.200/32' }),
    path: POOL0,
    message:
      '203.0.113.200/32 overlaps 203.0.113.200/32 of CiliumEgressGatewayPolicy first; use other addresses, or list the same entry in both with shared: true',
  },
  {
    name: 'more overlaps than a sentence holds',
    code: 'pool-overlap',
    verdict: 'deny',
    object: pool({ cidr: '198.18.0.0/26' }),
    facts: {
      policies: many(12, (at) =>
        policy({ name: `p${at + 10}`, gateway: { ippools: [{ cidr: `198.18.0.${at}/32` }] } }),
      ),
    },
    path: POOL0,
    message:
      '198.18.0.0/26 overlaps 198.18.0.0/32 of CiliumEgressGatewayPolicy p10, 198.18.0.1/32 of CiliumEgressGatewayPolicy p11, 198.18.0.2/32 of CiliumEgressGatewayPolicy p12, 198.18.0.3/32 of CiliumEgressGatewayPolicy p13, 198.18.0.4/32 of CiliumEgressGatewayPolicy p14, 198.18.0.5/32 of CiliumEgressGatewayPolicy p15, 198.18.0.6/32 of CiliumEgressGatewayPolicy p16, 198.18.0.7/32 of CiliumEgressGatewayPolicy p17 and 4 more; use other addresses, or list the same entry in both with shared: true',
  },
  {
    name: 'an entry that both sides share',
    code: 'pool-overlap',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.200/32', shared: true }),
  },
  {
    name: 'the address beside another policy',
    code: 'pool-overlap',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.80/32' }),
  },
  {
    name: "a node's address",
    code: 'pool-node-address',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.20/31' }),
    path: POOL0,
    message: '203.0.113.20/31 contains 203.0.113.21, the address of node worker-1; leave it out of the pool',
  },
  {
    name: "an interface's address",
    code: 'pool-node-address',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.99/32' }),
    path: POOL0,
    message:
      '203.0.113.99/32 contains 203.0.113.99, the address of interface eth1 of node gw-1; leave it out of the pool',
  },
  {
    name: "the address beside a node's in the node's subnet",
    code: 'pool-node-address',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.20/32' }),
  },
  {
    name: 'a pod network',
    code: 'pool-cluster-network',
    verdict: 'deny',
    object: pool({ cidr: '10.244.3.7/32' }),
    path: POOL0,
    message:
      "10.244.3.7/32 overlaps 10.244.3.0/24, the pod network of node worker-1; use addresses outside the cluster's own networks",
  },
  {
    name: 'a service network',
    code: 'pool-cluster-network',
    verdict: 'deny',
    object: pool({ cidr: '10.100.0.0/30' }),
    path: POOL0,
    message:
      "10.100.0.0/30 overlaps 10.96.0.0/12, the service network of ServiceCIDR kubernetes; use addresses outside the cluster's own networks",
  },
  {
    name: 'the address after the service network',
    code: 'pool-cluster-network',
    verdict: 'allow',
    object: pool({ cidr: '10.112.0.0/32' }),
  },
  {
    name: "a gateway's router",
    code: 'pool-router-address',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.1/32' }),
    path: POOL0,
    message:
      '203.0.113.1/32 contains 203.0.113.1, the next hop of node worker-2 on eth0; leave the router out of the pool',
  },
  {
    name: "the address beside the router's",
    code: 'pool-router-address',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.2/32' }),
  },
  {
    name: 'the broadcast address',
    code: 'pool-edge-address',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.254/31' }),
    path: POOL0,
    message:
      '203.0.113.254/31 contains 203.0.113.255, the broadcast address of 203.0.113.0/24 on the link of gw-1, gw-2; leave it out of the pool',
  },
  {
    name: 'the network address',
    code: 'pool-edge-address',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.0/32' }),
    path: POOL0,
    message:
      '203.0.113.0/32 contains 203.0.113.0, the network address of 203.0.113.0/24 on the link of gw-1, gw-2; leave it out of the pool',
  },
  {
    name: 'the subnet-router anycast address',
    code: 'pool-edge-address',
    verdict: 'deny',
    object: manifest({
      spec: { destinationCIDRs: ['::/0'] },
      gateway: { ippools: [{ cidr: '2001:db8:113::/128' }] },
    }),
    path: POOL0,
    message:
      '2001:db8:113::/128 contains 2001:db8:113::, the subnet-router anycast address of 2001:db8:113::/64 on the link of gw-1, gw-2; leave it out of the pool',
  },
  {
    name: 'the last address before broadcast',
    code: 'pool-edge-address',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.254/32' }),
  },
  {
    name: 'both addresses of a /31',
    code: 'pool-edge-address',
    verdict: 'allow',
    object: pool({ cidr: '192.0.2.8/31' }),
    facts: { gateways: [report('gw-1', { onLink: [{ cidr: '192.0.2.8/31', interfaceName: 'eth0' }] })] },
  },
  {
    name: 'the network address of a /30',
    code: 'pool-edge-address',
    verdict: 'deny',
    object: pool({ cidr: '192.0.2.8/32' }),
    facts: { gateways: [report('gw-1', { onLink: [{ cidr: '192.0.2.8/30', interfaceName: 'eth0' }] })] },
    path: POOL0,
    message:
      '192.0.2.8/32 contains 192.0.2.8, the network address of 192.0.2.8/30 on the link of gw-1; leave it out of the pool',
  },
  {
    name: "a MetalLB pool's address",
    code: 'pool-load-balancer',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.240/32' }),
    path: POOL0,
    message:
      '203.0.113.240/32 overlaps 203.0.113.240-203.0.113.249 of IPAddressPool metallb-system/main; use addresses that no load balancer gives out',
  },
  {
    name: "a Service's load-balancer address",
    code: 'pool-load-balancer',
    verdict: 'deny',
    object: pool({ cidr: '203.0.113.230/32' }),
    path: POOL0,
    message:
      '203.0.113.230/32 overlaps 203.0.113.230 of Service shop/front; use addresses that no load balancer gives out',
  },
  {
    name: 'the address after a MetalLB pool',
    code: 'pool-load-balancer',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.250/32' }),
  },
  // Gateways
  {
    name: 'an address that is on-link nowhere',
    code: 'pool-unroutable',
    verdict: 'deny',
    object: pool({ cidr: '192.0.2.10/32' }),
    path: POOL0,
    message:
      '192.0.2.10 is on-link at no gateway of this policy (gw-1: 203.0.113.0/24 2001:db8:113::/64, gw-2: 203.0.113.0/24 2001:db8:113::/64) and in no configured routable network; use an address of one of these subnets, or have the network routed to the gateways and configure it as routable',
  },
  {
    name: 'a pool that is on-link in part',
    code: 'pool-unroutable',
    verdict: 'deny',
    object: pool({ from: '203.0.113.250', to: '203.0.114.3' }),
    path: `${POOLS}[0]`,
    message:
      '203.0.114.0 of 203.0.113.250-203.0.114.3 is on-link at no gateway of this policy (gw-1: 203.0.113.0/24 2001:db8:113::/64, gw-2: 203.0.113.0/24 2001:db8:113::/64) and in no configured routable network; use an address of one of these subnets, or have the network routed to the gateways and configure it as routable',
  },
  {
    name: 'an address in a configured routable network',
    code: 'pool-unroutable',
    verdict: 'allow',
    object: pool({ cidr: '198.18.0.7/32' }),
  },
  {
    name: 'nothing reported yet, so nothing known',
    code: 'pool-unroutable',
    verdict: 'allow',
    object: pool({ cidr: '192.0.2.10/32' }),
    facts: { gateways: [] },
  },
  {
    name: 'a single gateway',
    code: 'pool-single-gateway',
    verdict: 'warn',
    object: manifest({ gateway: { nodeSelector: { matchLabels: { rack: 'a' } } } }),
    path: POOL0,
    message: 'only gw-1 reaches 203.0.113.10: no failover; add a gateway',
  },
  {
    name: 'an end of a pool that a single gateway reaches',
    code: 'pool-single-gateway',
    verdict: 'warn',
    object: pool({ cidr: '203.0.113.128/30' }),
    facts: {
      gateways: [
        report('gw-1'),
        report('gw-2', { onLink: [{ cidr: '203.0.113.128/31', interfaceName: 'eth0' }] }),
      ],
    },
    path: POOL0,
    message: 'only gw-1 reaches 203.0.113.130 of 203.0.113.128/30: no failover; add a gateway',
  },
  {
    name: 'two gateways',
    code: 'pool-single-gateway',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.128/30' }),
  },
  {
    name: 'a selector that no node matches',
    code: 'no-gateway',
    verdict: 'deny',
    object: manifest({ gateway: { nodeSelector: { matchLabels: { rack: 'z' } } } }),
    path: 'spec.egressGateway.nodeSelector',
    message: 'no node of 4 matches this nodeSelector; use labels that a gateway has',
  },
  {
    name: 'a selector that only nodes match which are no gateways',
    code: 'no-gateway',
    verdict: 'deny',
    object: manifest({ gateway: { nodeSelector: { matchLabels: { disk: 'ssd' } } } }),
    path: 'spec.egressGateway.nodeSelector',
    message: 'no gateway matches, only nodes like worker-1; label them as gateways',
  },
  {
    name: 'an update whose selector no node matches any more',
    code: 'no-gateway',
    verdict: 'warn',
    object: manifest({ gateway: { nodeSelector: { matchLabels: { rack: 'z' } } } }),
    request: update(manifest()),
    path: 'spec.egressGateway.nodeSelector',
    message: 'no node of 4 matches this nodeSelector; use labels that a gateway has',
  },
  {
    name: 'a cluster without any gateway yet',
    code: 'no-gateway',
    verdict: 'warn',
    object: pool({ cidr: '192.0.2.10/32' }),
    facts: { nodes: [node('worker-1', '203.0.113.21')], gateways: [] },
    path: POOLS,
    message: 'no node is labelled sallyport.dev/gateway yet, so nothing leaves with it; label one',
  },
  {
    name: 'a gateway whose agent has not reported yet',
    code: 'no-gateway',
    verdict: 'warn',
    object: manifest(),
    facts: { gateways: [] },
    path: POOLS,
    message: 'no agent of gw-1, gw-2 has reported its subnets yet; see that the agents run',
  },
  {
    name: 'a selector that a gateway matches',
    code: 'no-gateway',
    verdict: 'allow',
    object: manifest({ gateway: { nodeSelector: { matchLabels: { rack: 'a' } } } }),
  },
  {
    name: 'more addresses than gateways hold',
    code: 'pool-capacity',
    verdict: 'warn',
    object: pool({ cidr: '203.0.113.128/27' }, { cidr: '203.0.113.160/32' }),
    path: POOLS,
    message: '33 addresses, but its gateways hold 32 (gw-1, gw-2); use fewer, or more gateways',
  },
  {
    name: 'too few ports for the nodes of the pods',
    code: 'pool-capacity',
    verdict: 'warn',
    object: manifest(),
    facts: { pods: many(127, (at) => pod({ node: `n-${at}` })) },
    path: POOLS,
    message: 'pods on 127 nodes need ports, and 126 nodes use up an address; use several policies',
  },
  {
    name: 'as many addresses as gateways hold',
    code: 'pool-capacity',
    verdict: 'allow',
    object: pool({ cidr: '203.0.113.128/27' }),
  },
  {
    name: 'ports enough for the nodes of the pods',
    code: 'pool-capacity',
    verdict: 'allow',
    object: manifest(),
    facts: { pods: many(126, (at) => pod({ node: `n-${at}` })) },
  },
  {
    name: 'an address in use is taken out',
    code: 'pool-in-use',
    verdict: 'deny',
    object: first({ cidr: '203.0.113.72/29' }, { cidr: '203.0.113.200/32', shared: true }),
    request: { ...update(first({ cidr: '203.0.113.64/28' })), name: 'first' },
    path: POOLS,
    message:
      '203.0.113.64/28 is taken out with 203.0.113.64, which pods on worker-1 use; keep it listed, or annotate the policy sallyport.dev/force-release: "true" to break their connections',
  },
  {
    name: 'an address in use is taken out by force',
    code: 'pool-in-use',
    verdict: 'allow',
    object: manifest({
      ...FIRST,
      metadata: forced,
      spec: { ...FIRST.spec, egressGateway: { ippools: [{ cidr: '203.0.113.72/29' }] } },
    }),
    request: update(first({ cidr: '203.0.113.64/28' })),
  },
  {
    name: 'an address that no pod uses any more is taken out',
    code: 'pool-in-use',
    verdict: 'allow',
    object: first({ cidr: '203.0.113.64/32' }),
    request: update(first({ cidr: '203.0.113.64/31' })),
  },
  {
    name: 'an address in use stays in another entry',
    code: 'pool-in-use',
    verdict: 'allow',
    object: first({ from: '203.0.113.60', to: '203.0.113.66' }),
    request: update(first({ cidr: '203.0.113.64/28' })),
  },
  {
    name: 'an address that only another policy uses is taken out',
    code: 'pool-in-use',
    verdict: 'allow',
    object: first({ cidr: '203.0.113.72/29' }),
    request: update(first({ cidr: '203.0.113.64/28' })),
    facts: { egressIps: [egressIp('203.0.113.64', ['uid-other'], ['worker-1'])] },
  },
  {
    name: 'an address of which a silent node holds ports is taken out',
    code: 'pool-in-use',
    verdict: 'deny',
    object: first({ cidr: '203.0.113.72/29' }),
    request: update(first({ cidr: '203.0.113.64/28' })),
    facts: { gateways: [report('gw-1'), report('gw-2')] },
    path: POOLS,
    message:
      '203.0.113.64/28 is taken out with 203.0.113.64, which pods on worker-1 use, and 203.0.113.65, which pods on worker-2 use; keep it listed, or annotate the policy sallyport.dev/force-release: "true" to break their connections',
  },
  // Destinations
  {
    name: 'a destination without a pool of its family',
    code: 'family-mismatch',
    verdict: 'deny',
    object: manifest({ spec: { destinationCIDRs: ['0.0.0.0/0', '::/0'] } }),
    path: 'spec.destinationCIDRs[1]',
    message:
      '::/0 of IPv6 would need a pool of IPv6, and ippools has none; add one, or leave the destination out',
  },
  {
    name: 'a pool of each family',
    code: 'family-mismatch',
    verdict: 'allow',
    object: manifest({
      spec: { destinationCIDRs: ['0.0.0.0/0', '::/0'] },
      gateway: { ippools: [{ cidr: '203.0.113.10/32' }, { cidr: '2001:db8:113::10/128' }] },
    }),
  },
  {
    name: 'an exclusion outside every destination',
    code: 'excluded-outside',
    verdict: 'warn',
    object: manifest({ spec: { destinationCIDRs: ['192.0.2.0/24'], excludedCIDRs: ['192.0.3.0/24'] } }),
    path: 'spec.excludedCIDRs[0]',
    message: '192.0.3.0/24 lies outside every destination, so it excludes nothing; leave it out',
  },
  {
    name: 'an exclusion inside a destination',
    code: 'excluded-outside',
    verdict: 'allow',
    object: manifest({ spec: { destinationCIDRs: ['192.0.2.0/24'], excludedCIDRs: ['192.0.2.255/32'] } }),
  },
  {
    name: 'a destination inside the service network',
    code: 'destination-cluster',
    verdict: 'warn',
    object: manifest({ spec: { destinationCIDRs: ['10.96.0.0/16'] } }),
    path: 'spec.destinationCIDRs[0]',
    message: '10.96.0.0/16 never matches: it is in 10.96.0.0/12 of ServiceCIDR kubernetes; leave it out',
  },
  {
    name: 'a destination around the service network',
    code: 'destination-cluster',
    verdict: 'allow',
    object: manifest({ spec: { destinationCIDRs: ['10.0.0.0/8'] } }),
  },
  // Selectors
  {
    name: 'a selector of everything',
    code: 'selector-empty',
    verdict: 'warn',
    object: manifest({ spec: { selectors: [{}] } }),
    path: 'spec.selectors[0]',
    message: 'it selects every pod of the cluster; add labels if that is not meant',
  },
  {
    name: 'everything in one namespace',
    code: 'selector-empty',
    verdict: 'allow',
    object: manifest({
      spec: { selectors: [{ podSelector: {}, namespaceSelector: { matchLabels: { team: 'x' } } }] },
    }),
  },
  {
    name: 'the same selectors and the same destination',
    code: 'policy-ambiguous',
    verdict: 'deny',
    object: manifest(),
    facts: { policies: [twin] },
    path: 'spec.destinationCIDRs',
    message:
      '0.0.0.0/0 is a destination of CiliumEgressGatewayPolicy twin too, which has the same selectors, so one of both has no effect on it; use other selectors or another prefix',
  },
  {
    name: 'a running pod that two policies select',
    code: 'policy-ambiguous',
    verdict: 'warn',
    object: manifest({
      spec: { selectors: [{ podSelector: {}, namespaceSelector: { matchLabels: { team: 'x' } } }] },
    }),
    facts: { policies: [twin] },
    path: 'spec.destinationCIDRs',
    message: 'pods in shop have 0.0.0.0/0 from CiliumEgressGatewayPolicy twin too; the older wins',
  },
  {
    name: 'the same selectors and a longer prefix',
    code: 'policy-ambiguous',
    verdict: 'allow',
    object: manifest({ spec: { destinationCIDRs: ['0.0.0.0/1'] } }),
    facts: { policies: [twin] },
  },
  {
    name: 'two policies that no running pod has in common',
    code: 'policy-ambiguous',
    verdict: 'allow',
    object: manifest({
      spec: { selectors: [{ podSelector: {}, nodeSelector: { matchLabels: { rack: 'b' } } }] },
    }),
    facts: { policies: [twin] },
  },
  // Statuses
  {
    name: "a person writes a policy's status",
    code: 'status-write',
    verdict: 'deny',
    object: manifest(),
    request: statusOf('CiliumEgressGatewayPolicy', 'mine', 'kubernetes-admin'),
    path: 'status',
    message:
      'status of CiliumEgressGatewayPolicy mine is written by kubernetes-admin; only the controller (system:serviceaccount:sallyport:sallyport-controller) writes it, change spec instead',
  },
  {
    name: "an agent writes an EgressIP's status",
    code: 'status-write',
    verdict: 'deny',
    object: {},
    request: statusOf('EgressIP', '203.0.113.10', AGENT, 'gw-1'),
    path: 'status',
    message:
      'status of EgressIP 203.0.113.10 is written by system:serviceaccount:sallyport:sallyport-agent; only the controller (system:serviceaccount:sallyport:sallyport-controller) writes it, change spec instead',
  },
  {
    name: "the controller writes a GatewayNode's status",
    code: 'status-write',
    verdict: 'deny',
    object: {},
    request: statusOf('GatewayNode', 'gw-1', CONTROLLER),
    path: 'status',
    message:
      'status of GatewayNode gw-1 is written by system:serviceaccount:sallyport:sallyport-controller; only the agent (system:serviceaccount:sallyport:sallyport-agent) of that node writes it',
  },
  {
    name: "an agent writes another node's status",
    code: 'status-write',
    verdict: 'deny',
    object: {},
    request: statusOf('GatewayNode', 'gw-2', AGENT, 'gw-1'),
    path: 'status',
    message:
      'status of GatewayNode gw-2 is written from node gw-1; an agent writes the status of its own node only',
  },
  {
    name: 'an agent with a token of no node',
    code: 'status-write',
    verdict: 'deny',
    object: {},
    request: statusOf('GatewayNode', 'gw-1', AGENT),
    path: 'status',
    message:
      'status of GatewayNode gw-1 is written with a token that is bound to no node; an agent writes the status of its own node only',
  },
  {
    name: "the controller writes a policy's status",
    code: 'status-write',
    verdict: 'allow',
    object: manifest(),
    request: statusOf('EgressPolicy', 'mine', CONTROLLER),
  },
  {
    name: "an agent writes its own node's status",
    code: 'status-write',
    verdict: 'allow',
    object: {},
    request: statusOf('GatewayNode', 'gw-1', AGENT, 'gw-1'),
  },
  // Cilium's own policies
  {
    name: "Cilium's egressIP inside a managed pool",
    code: 'cegp-v2-managed-pool',
    verdict: 'deny',
    object: v2({ egressIP: '203.0.113.70' }),
    path: 'spec.egressGateway.egressIP',
    message:
      '203.0.113.70 lies in 203.0.113.64/28 of CiliumEgressGatewayPolicy first, which Sallyport answers for; use an address outside of its pools',
  },
  {
    name: "Cilium's egressIP outside every managed pool",
    code: 'cegp-v2-managed-pool',
    verdict: 'allow',
    object: v2({ egressIP: '203.0.113.80' }),
  },
  {
    name: 'both interface and egressIP',
    code: 'cegp-v2-interface-and-address',
    verdict: 'deny',
    object: v2({ interface: 'eth0', egressIP: '203.0.113.80' }),
    path: 'spec.egressGateway',
    message:
      'it has both interface eth0 and egressIP 203.0.113.80, and Cilium takes only one; keep one of both',
  },
  {
    name: 'an interface alone',
    code: 'cegp-v2-interface-and-address',
    verdict: 'allow',
    object: v2({ interface: 'eth0' }),
  },
  {
    name: 'a selector and destination that another has',
    code: 'cegp-v2-ambiguous',
    verdict: 'warn',
    object: v2({ egressIP: '203.0.113.80' }, { selectors: [{ podSelector: { matchLabels: { app: 'x' } } }] }),
    path: 'spec.selectors[0]',
    message:
      'CiliumEgressGatewayPolicy (cilium.io/v2) theirs has this selector and 198.51.100.0/24 too; keep one',
  },
  {
    name: 'the same selector towards elsewhere',
    code: 'cegp-v2-ambiguous',
    verdict: 'allow',
    object: v2(
      { egressIP: '203.0.113.80' },
      { selectors: [{ podSelector: { matchLabels: { app: 'x' } } }], destinationCIDRs: ['192.0.2.0/24'] },
    ),
  },
  {
    name: 'a nodeSelector alone',
    code: 'cegp-v2-no-address',
    verdict: 'warn',
    object: v2({ nodeSelector: { matchLabels: { a: 'b' } } }),
    path: 'spec.egressGateway',
    message: 'nodeSelector alone leaves with whatever address the default route has; set egressIP',
  },
  {
    name: 'a nodeSelector and an egressIP',
    code: 'cegp-v2-no-address',
    verdict: 'allow',
    object: v2({ nodeSelector: { matchLabels: { a: 'b' } }, egressIP: '203.0.113.80' }),
  },
];
