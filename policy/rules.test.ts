import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from './address.ts';
import { parseCidr, rangesOverlap } from './cidr.ts';
import { createConflictIndex } from './conflictIndex.ts';
import { UNKNOWN_FACTS } from './facts.ts';
import type { Address, Cidr, ClusterFacts, NodeFacts, Policy, ViolationCode } from './model.ts';
import { parsePolicy } from './parsePolicy.ts';
import { checkPolicy, unjudgedCodes } from './rules.ts';

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed.kind === 'refused') throw new Error(parsed.error.message);
  return parsed.value;
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed.kind === 'refused') throw new Error(parsed.error.message);
  return parsed.value;
}

/** The manifest of the README, with changes. */
function manifest(
  change: { readonly spec?: object; readonly gateway?: object; readonly metadata?: object } = {},
) {
  return {
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'CiliumEgressGatewayPolicy',
    metadata: { name: 'egress-gateway-policy', ...change.metadata },
    spec: {
      selectors: [{ matchLabels: { app: 'my-app' } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: [{ cidr: '203.0.113.10/32' }], ...change.gateway },
      ...change.spec,
    },
  };
}

function policyNamed(name: string, pools: readonly object[], gateway: object = {}): Policy {
  const parsed = parsePolicy(
    manifest({
      metadata: { name, uid: `uid-${name}` },
      gateway: { ippools: pools, ...gateway },
    }),
    'CiliumEgressGatewayPolicy',
  );
  if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.error));
  // Selectors of its own: the same ones would be another violation.
  const selectors = [{ pods: { requirements: [{ key: 'app', operator: 'In' as const, values: [name] }] } }];
  return { ...parsed.value, selectors };
}

function node(name: string, at: string, labels: Readonly<Record<string, string>>): NodeFacts {
  return {
    name,
    labels,
    addresses: [address(at)],
    podCidrs: [],
    unschedulable: false,
    drained: false,
    taints: [],
    ready: true,
  };
}

const quiet = { nextHops: [], capacity: 256, using: [] };
const gatewayLabel = { 'sallyport.dev/gateway': 'true' };
const facts: ClusterFacts = {
  ...UNKNOWN_FACTS,
  policies: [policyNamed('first', [{ cidr: '203.0.113.64/28' }, { cidr: '203.0.113.200/32', shared: true }])],
  nodes: [
    node('gw-1', '203.0.113.11', { ...gatewayLabel, rack: 'a' }),
    node('gw-2', '203.0.113.12', { ...gatewayLabel, rack: 'b' }),
    node('worker-1', '203.0.113.21', {}),
    node('resting', '203.0.113.14', { 'sallyport.dev/gateway': 'false' }),
  ],
  gateways: [
    {
      node: 'gw-1',
      addresses: [{ address: address('203.0.113.99'), interfaceName: 'eth0' }],
      onLink: [{ cidr: cidr('203.0.113.0/25'), interfaceName: 'eth0' }],
      ...quiet,
    },
    {
      node: 'gw-2',
      addresses: [],
      onLink: [{ cidr: cidr('203.0.113.0/24'), interfaceName: 'eth0' }],
      ...quiet,
    },
    {
      node: 'resting',
      addresses: [],
      onLink: [{ cidr: cidr('192.0.2.0/24'), interfaceName: 'eth0' }],
      ...quiet,
    },
  ],
  routable: [cidr('198.18.0.0/24')],
};

interface Case {
  readonly name: string;
  readonly code: ViolationCode;
  readonly raw: unknown;
  readonly path: string;
  readonly words: string;
}

const pool = (...ippools: readonly object[]) => manifest({ gateway: { ippools } });
const cases: readonly Case[] = [
  {
    name: 'a bare address',
    code: 'cidr-syntax',
    raw: pool({ cidr: '203.0.113.10' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'write 203.0.113.10/32',
  },
  {
    name: 'host bits',
    code: 'cidr-host-bits',
    raw: pool({ cidr: '203.0.113.10/24' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'write 203.0.113.0/24',
  },
  {
    name: 'a range from high to low',
    code: 'range-syntax',
    raw: pool({ from: '203.0.113.9', to: '203.0.113.8' }),
    path: 'spec.egressGateway.ippools[0]',
    words: 'exchange them',
  },
  {
    name: 'a range of two families',
    code: 'range-syntax',
    raw: pool({ from: '203.0.113.9', to: '2001:db8::1' }),
    path: 'spec.egressGateway.ippools[0]',
    words: 'different families',
  },
  {
    name: 'a range and a prefix',
    code: 'range-syntax',
    raw: pool({ cidr: '203.0.113.9/32', from: '203.0.113.9', to: '203.0.113.9' }),
    path: 'spec.egressGateway.ippools[0]',
    words: 'both cidr and a range',
  },
  {
    name: 'loopback',
    code: 'special-use',
    raw: pool({ cidr: '127.0.0.8/32' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'loopback',
  },
  {
    name: 'a prefix around multicast',
    code: 'special-use',
    raw: pool({ cidr: '224.0.0.0/32' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'multicast',
  },
  {
    name: 'two entries that overlap',
    code: 'pool-overlap-self',
    raw: pool({ cidr: '203.0.113.16/30' }, { cidr: '203.0.113.17/32' }),
    path: 'spec.egressGateway.ippools[1].cidr',
    words: 'ippools[0].cidr',
  },
  {
    name: 'an address of another policy',
    code: 'pool-overlap',
    raw: pool({ cidr: '203.0.113.70/32' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'CiliumEgressGatewayPolicy first',
  },
  {
    name: 'a shared entry that only the other side shares',
    code: 'pool-overlap',
    raw: pool({ cidr: '203.0.113.200/32' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'shared: true',
  },
  {
    name: "a node's address",
    code: 'pool-node-address',
    raw: pool({ cidr: '203.0.113.20/30' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: '203.0.113.21, the address of node worker-1',
  },
  {
    name: "an interface's address",
    code: 'pool-node-address',
    raw: pool({ cidr: '203.0.113.99/32' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'interface eth0 of node gw-1',
  },
  {
    name: 'an address that is on-link nowhere',
    code: 'pool-unroutable',
    raw: pool({ cidr: '192.0.2.10/32' }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'gw-1: 203.0.113.0/25, gw-2: 203.0.113.0/24',
  },
  {
    name: 'a pool that is on-link in part',
    code: 'pool-unroutable',
    raw: pool({ from: '203.0.113.250', to: '203.0.114.3' }),
    path: 'spec.egressGateway.ippools[0]',
    words: '203.0.114.0 of',
  },
  {
    name: 'a node selector that leaves only a gateway of another subnet',
    code: 'pool-unroutable',
    raw: manifest({
      gateway: { ippools: [{ cidr: '203.0.113.130/32' }], nodeSelector: { matchLabels: { rack: 'a' } } },
    }),
    path: 'spec.egressGateway.ippools[0].cidr',
    words: 'gw-1: 203.0.113.0/25)',
  },
  {
    name: 'a label key with a space',
    code: 'selector-syntax',
    raw: manifest({ spec: { selectors: [{ matchLabels: { 'my app': 'x' } }] } }),
    path: 'spec.selectors[0].matchLabels.my app',
    words: 'no label key',
  },
  {
    name: 'In without values',
    code: 'selector-syntax',
    raw: manifest({ spec: { selectors: [{ matchExpressions: [{ key: 'app', operator: 'In' }] }] } }),
    path: 'spec.selectors[0].matchExpressions[0].values',
    words: 'at least one value',
  },
  {
    name: 'Exists with values',
    code: 'selector-syntax',
    raw: manifest({
      spec: { selectors: [{ matchExpressions: [{ key: 'app', operator: 'Exists', values: ['x'] }] }] },
    }),
    path: 'spec.selectors[0].matchExpressions[0].values',
    words: 'takes no values',
  },
  ...[null, { matchLabels: {} }, { matchLabels: null }, { matchExpressions: [] }].map((selector) => ({
    name: `a selector that is emptied, not {}: ${JSON.stringify(selector)}`,
    code: 'selector-syntax' as const,
    raw: manifest({ spec: { selectors: [selector] } }),
    path: 'spec.selectors[0]',
    words: 'write {} if everything is meant',
  })),
  {
    name: 'an emptied part of the long form',
    code: 'selector-syntax',
    raw: manifest({ spec: { selectors: [{ podSelector: { matchLabels: {} } }] } }),
    path: 'spec.selectors[0].podSelector',
    words: 'no requirement',
  },
  {
    name: 'a wait that no timer can hold',
    code: 'limits',
    raw: manifest({ gateway: { returnAfter: '999999999h' } }),
    path: 'spec.egressGateway.returnAfter',
    words: 'at most 168h',
  },
  {
    name: 'a destination with host bits',
    code: 'destination-syntax',
    raw: manifest({ spec: { destinationCIDRs: ['10.0.0.1/8'] } }),
    path: 'spec.destinationCIDRs[0]',
    words: '10.0.0.0/8',
  },
  {
    name: 'a destination listed twice',
    code: 'destination-syntax',
    raw: manifest({ spec: { destinationCIDRs: ['10.0.0.0/8', '10.0.0.0/8'] } }),
    path: 'spec.destinationCIDRs[1]',
    words: 'twice',
  },
  {
    name: 'a misspelt field',
    code: 'unknown-field',
    raw: manifest({ gateway: { ipPools: [] } }),
    path: 'spec.egressGateway.ipPools',
    words: 'did you mean ippools?',
  },
  {
    name: 'too many addresses',
    code: 'pool-too-large',
    raw: pool({ cidr: '203.0.112.0/23' }),
    path: 'spec.egressGateway.ippools',
    words: '512 addresses',
  },
  {
    name: 'too many selectors',
    code: 'limits',
    raw: manifest({ spec: { selectors: Array.from({ length: 65 }, () => ({ matchLabels: { a: 'b' } })) } }),
    path: 'spec.selectors',
    words: 'at most 64',
  },
  {
    name: 'no pool at all',
    code: 'schema',
    raw: pool(),
    path: 'spec.egressGateway.ippools',
    words: 'at least 1',
  },
  {
    name: 'a number where a label value belongs',
    code: 'schema',
    raw: manifest({ spec: { selectors: [{ matchLabels: { app: 7 } }] } }),
    path: 'spec.selectors[0].matchLabels.app',
    words: 'quote it',
  },
];

function judge(raw: unknown) {
  const parsed = parsePolicy(raw, 'CiliumEgressGatewayPolicy');
  return parsed.kind === 'refused' ? parsed.error : checkPolicy(parsed.value, facts);
}

describe('what is refused', () => {
  test.each(cases)('$name: $code', ({ raw, code, path, words }) => {
    expect(judge(raw)).toContainEqual({
      code,
      path,
      verdict: 'deny',
      message: expect.stringContaining(words),
    });
  });

  test.each([
    { name: 'is kept', value: '2024-02-29', expected: '2024-02-29' },
    { name: 'is cut where it is long', value: 'x'.repeat(100), expected: 'x'.repeat(64) },
  ])('the value of a rebalance annotation $name', ({ value, expected }) => {
    const metadata = { name: 'p', annotations: { 'sallyport.dev/rebalance': value } };
    expect(parsePolicy(manifest({ metadata }), 'EgressPolicy')).toMatchObject({
      kind: 'ok',
      value: { rebalance: expected },
    });
  });

  test('all that is wrong is said at once', () => {
    const codes = judge(
      pool({ cidr: '203.0.113.70/32' }, { cidr: '192.0.2.10/32' }, { cidr: '203.0.113.21/32' }),
    ).map(({ code }) => code);
    expect(codes).toEqual(['pool-overlap', 'pool-node-address', 'pool-unroutable']);
  });
});

describe('what is unknown', () => {
  const raw = pool({ cidr: '127.0.0.1/32' }, { cidr: '203.0.113.21/32' });
  const judgeBy = (known: Partial<ClusterFacts>) => {
    const parsed = parsePolicy(raw, 'CiliumEgressGatewayPolicy');
    if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.error));
    return checkPolicy(parsed.value, { ...UNKNOWN_FACTS, ...known }).map(({ code }) => code);
  };

  test('keeps a rule silent, and is not the same as empty', () => {
    expect(judgeBy({})).toEqual(['special-use']);
    expect(judgeBy({ nodes: [], gateways: [] })).toEqual(['special-use', 'no-gateway']);
    expect(judgeBy({ nodes: facts.nodes })).toEqual(['special-use', 'pool-node-address']);
  });

  test('is told by the codes that were not judged', () => {
    const unjudged = unjudgedCodes(UNKNOWN_FACTS);
    for (const code of ['pool-overlap', 'pool-unroutable', 'pool-in-use', 'policy-ambiguous'] as const)
      expect(unjudged).toContain(code);
    expect(unjudged).not.toContain('special-use');
    const all = { policies: [], nodes: [], gateways: [], networks: [], loadBalancers: [], egressIps: [] };
    expect(unjudgedCodes({ ...UNKNOWN_FACTS, ...all })).toEqual(['pool-capacity']);
    expect(unjudgedCodes({ ...UNKNOWN_FACTS, ...all, pods: [], namespaces: [] })).toEqual([]);
  });
});

test('a value of the wrong type is complained about once', () => {
  const problems = judge(manifest({ spec: { destinationCIDRs: [7], selectors: ['app'] } }));
  expect(problems.map(({ path }) => path).toSorted()).toEqual([
    'spec.destinationCIDRs[0]',
    'spec.selectors[0]',
  ]);
});

describe('what is accepted', () => {
  test.each([
    { name: "the README's manifest", raw: manifest() },
    { name: 'an entry that both policies share', raw: pool({ cidr: '203.0.113.200/32', shared: true }) },
    { name: 'an address in a configured routable network', raw: pool({ cidr: '198.18.0.7/32' }) },
    { name: 'a range', raw: pool({ from: '203.0.113.30', to: '203.0.113.33' }) },
    {
      name: 'an update of the policy itself',
      raw: manifest({ metadata: { name: 'first' }, gateway: { ippools: [{ cidr: '203.0.113.64/28' }] } }),
    },
    {
      name: 'the long form of a selector, and {} for every pod',
      raw: manifest({
        spec: {
          selectors: [
            {
              podSelector: { matchLabels: { app: 'a' } },
              namespaceSelector: { matchExpressions: [{ key: 'team', operator: 'Exists' }] },
            },
            {},
            { podSelector: {}, namespaceSelector: { matchLabels: { team: 'a' } } },
          ],
        },
      }),
    },
  ])('$name', ({ raw }) => {
    expect(judge(raw).filter(({ verdict }) => verdict === 'deny')).toEqual([]);
  });

  test('defaults and times are filled in', () => {
    const parsed = parsePolicy(
      manifest({
        metadata: { creationTimestamp: '2024-02-29T23:59:59Z', generation: 3 },
        gateway: { returnAfter: '1h30m' },
      }),
      'EgressPolicy',
    );
    expect(parsed).toMatchObject({
      kind: 'ok',
      value: {
        ref: { createdAtMs: Date.UTC(2024, 1, 29, 23, 59, 59) },
        generation: 3,
        strategy: 'Distribute',
        affinity: 'Pod',
        failureMode: 'Closed',
        returnPolicy: 'Stay',
        returnAfterMs: 5_400_000,
      },
    });
  });

  test('no input makes the parser throw', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), fc.anything(), (spec, gateway, pools) => {
        parsePolicy({ metadata: spec, spec }, 'EgressPolicy');
        parsePolicy(manifest({ spec: { egressGateway: gateway } }), 'EgressPolicy');
        parsePolicy(manifest({ gateway: { ippools: pools, nodeSelector: gateway } }), 'EgressPolicy');
      }),
    );
  });
});

describe('the conflict index', () => {
  test('finds what a walk over all entries finds', () => {
    const ranges = fc.tuple(fc.nat(60), fc.nat(12), fc.boolean()).map(([first, size, v6]) => ({
      family: v6 ? (6 as const) : (4 as const),
      first: BigInt(first),
      last: BigInt(first + size),
    }));
    fc.assert(
      fc.property(fc.array(fc.array(ranges, { maxLength: 5 }), { maxLength: 8 }), ranges, (drawn, sought) => {
        const base = policyNamed('base', [{ cidr: '203.0.113.10/32' }]);
        const policies = drawn.map(
          (pools): Policy => ({
            ...base,
            pools: pools.map((range) => ({ range, shared: false, text: '', path: '' })),
          }),
        );
        const dumb = policies
          .flatMap(({ pools }) => pools)
          .filter(({ range }) => rangesOverlap(range, sought));
        const found = createConflictIndex(policies)
          .overlapping(sought)
          .map(({ entry }) => entry);
        expect(new Set(found)).toEqual(new Set(dumb));
        expect(found.length).toBe(dumb.length);
      }),
    );
  });
});
