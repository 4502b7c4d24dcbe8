/** The cluster that fuzzed reviews are judged in, and the judgement without server, protocol or review: parser and rules. */
import { parseAddress } from '../../policy/address.ts';
import { parseCidr } from '../../policy/cidr.ts';
import type { ClusterFacts, Policy } from '../../policy/model.ts';
import type { PolicyKind } from '../../policy/names.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { checkPolicy } from '../../policy/rules.ts';

function must<T>(result: { kind: 'ok'; value: T } | { kind: 'refused'; error: unknown }): T {
  if (result.kind === 'refused') throw new Error(JSON.stringify(result.error));
  return result.value;
}

export function manifest(kind: PolicyKind, name: string, cidrs: readonly string[]) {
  return {
    apiVersion: `${kind === 'EgressPolicy' ? 'sallyport.dev' : 'cilium.io'}/v1alpha1`,
    kind,
    metadata: {
      name,
      uid: `uid-${name}`,
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
      annotations: { 'a/b': 'c' },
    },
    spec: {
      selectors: [
        { matchLabels: { app: name } },
        {
          podSelector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['a', 'b'] }] },
          namespaceSelector: {},
        },
      ],
      destinationCIDRs: ['0.0.0.0/0', '2001:db8::/32'],
      excludedCIDRs: ['10.0.0.0/8'],
      egressGateway: {
        ippools: cidrs.map((cidr) => ({ cidr })),
        nodeSelector: { matchLabels: { zone: 'a' } },
        strategy: 'Failover',
        returnAfter: '5m',
      },
    },
  };
}

const stored = (kind: PolicyKind, name: string, cidrs: readonly string[]): Policy =>
  must(parsePolicy(manifest(kind, name, cidrs), kind));
const gateway = must(parseAddress('203.0.113.11'));

export const FUZZED_FACTS: ClusterFacts = {
  policies: [
    stored('EgressPolicy', 'theirs', ['203.0.113.32/29', '2001:db8:1::10/128']),
    stored('CiliumEgressGatewayPolicy', 'others', ['203.0.113.64/32']),
  ],
  nodes: [
    {
      name: 'gw-1',
      labels: { 'sallyport.dev/gateway': '', zone: 'a' },
      addresses: [gateway],
      podCidrs: [],
      unschedulable: false,
      drained: false,
      taints: [],
      ready: true,
    },
  ],
  gateways: [
    {
      node: 'gw-1',
      addresses: [{ address: gateway, interfaceName: 'eth0' }],
      onLink: [{ cidr: must(parseCidr('203.0.113.0/24')), interfaceName: 'eth0' }],
    },
  ],
  routable: [must(parseCidr('2001:db8:1::/64'))],
};

/** Whether the parser or the rules call it wrong. */
export function isWrong(object: unknown, kind: PolicyKind): boolean {
  const parsed = parsePolicy(object, kind);
  if (parsed.kind === 'refused') return true;
  return checkPolicy(parsed.value, FUZZED_FACTS).some(({ verdict }) => verdict === 'deny');
}
