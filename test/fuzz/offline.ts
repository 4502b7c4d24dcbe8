/** The cluster that fuzzed reviews are judged in, and the judgement without server, protocol or review: parser and rules. */
import { parseAddress } from '../../policy/address.ts';
import { cidrRange, parseCidr } from '../../policy/cidr.ts';
import type { ClusterFacts } from '../../policy/facts.ts';
import type { Policy, Violation } from '../../policy/model.ts';
import type { PolicyKind } from '../../policy/names.ts';
import { parseCiliumPolicy } from '../../policy/parseCiliumPolicy.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { judgeCiliumPolicy } from '../../policy/rules/ciliumRules.ts';
import { checkStatusWrite, type StatusWrite } from '../../policy/rules/statusRules.ts';
import { judgePolicy, type Occasion } from '../../policy/rules.ts';
import { createSnapshot } from '../../webhook/core/snapshot.ts';

function must<T>(result: { kind: 'ok'; value: T } | { kind: 'refused'; error: unknown }): T {
  if (result.kind === 'refused') throw new Error(JSON.stringify(result.error));
  return result.value;
}

/** Its destinations are of the families of its pools: of another they would be wrong. */
export function manifest(kind: PolicyKind, name: string, cidrs: readonly string[]) {
  const hasV6 = cidrs.some((cidr) => cidr.includes(':'));
  const hasV4 = cidrs.some((cidr) => !cidr.includes(':'));
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
      destinationCIDRs: [...(hasV4 ? ['0.0.0.0/0'] : []), ...(hasV6 ? ['2001:db8::/32'] : [])],
      ...(hasV4 ? { excludedCIDRs: ['10.0.0.0/8'] } : {}),
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
/** Of the policy `mine`: an update must not take it away. */
const inUse = must(parseAddress('203.0.113.10'));

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
      nextHops: [{ address: must(parseAddress('203.0.113.1')), interfaceName: 'eth0' }],
      capacity: 256,
      using: [inUse],
    },
  ],
  networks: [{ cidr: must(parseCidr('10.96.0.0/12')), use: 'services', source: 'ServiceCIDR kubernetes' }],
  loadBalancers: [
    { range: cidrRange(must(parseCidr('203.0.113.240/28'))), owner: 'Service a/b', text: '203.0.113.240/28' },
  ],
  egressIps: [{ address: inUse, policyUids: ['uid-mine'], nodes: ['gw-1'] }],
  pods: [{ namespace: 'a', labels: { app: 'mine', tier: 'a' }, node: 'gw-1' }],
  namespaces: [{ name: 'a', labels: {} }],
  ciliumPolicies: [],
  routable: [must(parseCidr('2001:db8:1::/64'))],
};

const { index, settings, writers } = createSnapshot(FUZZED_FACTS);
/** Of the chart, in its own namespace. */
export const CONTROLLER = writers.controller;

/** Whether the parser or the rules call it wrong, as what is created or as what takes the place of `before`. */
export function isWrong(object: unknown, kind: PolicyKind, before?: unknown): boolean {
  const parsed = parsePolicy(object, kind);
  if (parsed.kind === 'refused') return true;
  return denies(judgePolicy(parsed.value, index, { settings, occasion: occasionOf(before, kind) }));
}

function occasionOf(before: unknown, kind: PolicyKind): Occasion {
  if (before === undefined) return { kind: 'create' };
  const parsed = parsePolicy(before, kind);
  return { kind: 'update', before: parsed.kind === 'ok' ? parsed.value : undefined };
}

/** The same of one of Cilium's own policies; one that cannot be read is Cilium's to refuse. */
export function isWrongForCilium(object: unknown): boolean {
  const parsed = parseCiliumPolicy(object);
  return parsed !== undefined && denies(judgeCiliumPolicy(parsed, index));
}

/** Whether somebody writes a status that is another's to write. */
export function isForeignStatus(write: StatusWrite): boolean {
  return denies(checkStatusWrite(write, writers));
}

function denies(violations: readonly Violation[]): boolean {
  return violations.some(({ verdict }) => verdict === 'deny');
}
