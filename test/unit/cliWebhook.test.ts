/**
 * `sallyport validate` and the webhook give the same verdict in the same words: each manifest of a corpus, and of random
 * ones, is put through both. The webhook is asked as the API server asks it: defaults first, then validation, and what was
 * admitted is stored before the next one comes.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { collectManifests } from '../../cli/core/collectManifests.ts';
import { readFactLists } from '../../cli/core/factsDocument.ts';
import { factsOf } from '../../cli/core/factsOf.ts';
import { judgeManifests } from '../../cli/core/judgeManifests.ts';
import { readDocuments } from '../../cli/core/sourceDocument.ts';
import { factCollections } from '../../kube/factSources.ts';
import { createInterner } from '../../kube/internLabels.ts';
import { type ClusterFacts, listed } from '../../policy/facts.ts';
import type { PolicyKind } from '../../policy/names.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { DEFAULT_RULE_SETTINGS } from '../../policy/rules.ts';
import { setDefaults } from '../../policy/setDefaults.ts';
import { type Decision, decideAdmission, type ReviewRequest } from '../../webhook/core/review.ts';
import { createSnapshot, DEFAULT_REVIEW_SETTINGS } from '../../webhook/core/snapshot.ts';
import { applyPatch } from '../lab/applyPatch.ts';
import { ADMISSION_CASES } from './admission/admissionCases.ts';
import { CLUSTER } from './admission/exampleCluster.ts';

type Fields = Readonly<Record<string, unknown>>;

const REQUEST: Omit<ReviewRequest, 'kind' | 'operation' | 'object' | 'oldObject'> = {
  uid: 'r',
  subResource: '',
  name: 'mine',
  dryRun: false,
  username: 'kubernetes-admin',
  nodeName: '',
};

const FACTS = factsOf(
  readFactLists([
    {
      apiVersion: 'v1',
      kind: 'NodeList',
      items: ['gw-1', 'gw-2', 'worker-1'].map((name, index) => ({
        metadata: { name, labels: name.startsWith('gw') ? { 'sallyport.dev/gateway': '', size: name } : {} },
        spec: { podCIDRs: [`10.244.${index}.0/24`] },
        status: { addresses: [{ type: 'InternalIP', address: `203.0.113.${11 + index}` }] },
      })),
    },
    {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'GatewayNodeList',
      items: ['gw-1', 'gw-2'].map((name, index) => ({
        metadata: { name },
        status: {
          capacity: 256,
          interfaces: [{ name: 'eth0', addresses: [`203.0.113.${11 + index}/24`] }],
          onLink: [{ cidr: index === 0 ? '203.0.113.0/24' : '203.0.113.0/25', interfaceName: 'eth0' }],
          nextHops: [{ address: '203.0.113.1', interfaceName: 'eth0' }],
        },
      })),
    },
    {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'EgressPolicyList',
      items: [manifest({ name: 'stored', pools: [{ cidr: '203.0.113.200/32' }], app: 'stored' })],
    },
    { apiVersion: 'cilium.io/v1alpha1', kind: 'CiliumEgressGatewayPolicyList', items: [] },
  ]),
  factCollections(createInterner()),
  { routable: [], networks: [] },
);

interface Wish {
  readonly name?: string;
  readonly kind?: PolicyKind;
  readonly pools?: readonly unknown[];
  readonly app?: string;
  readonly spec?: Fields;
  readonly gateway?: Fields;
}

function manifest({ name = 'p', kind = 'EgressPolicy', pools, app = name, spec, gateway }: Wish): Fields {
  return {
    apiVersion: kind === 'EgressPolicy' ? 'sallyport.dev/v1alpha1' : 'cilium.io/v1alpha1',
    kind,
    metadata: { name },
    spec: {
      selectors: [{ matchLabels: { app } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: pools ?? [{ cidr: '203.0.113.10/32' }], ...gateway },
      ...spec,
    },
  };
}

/** The object as an API server sends it on: with the mutating webhook's patch applied. */
function mutated(raw: unknown): unknown {
  return applyPatch(raw, setDefaults(raw));
}

/** The webhook's decisions over a row of creates and updates, each admitted one stored. */
function askWebhook(manifests: readonly Fields[], facts: ClusterFacts): readonly Decision[] {
  let policies = listed(facts.policies);
  return manifests.map((raw) => {
    const kind = raw.kind as PolicyKind;
    const name = String((raw.metadata as Fields).name);
    const stored = policies.find(({ ref }) => ref.kind === kind && ref.name === name);
    const object = mutated(raw);
    const parsed = parsePolicy(object, kind);
    const decision = decideAdmission(
      {
        ...REQUEST,
        kind,
        operation: stored === undefined ? 'CREATE' : 'UPDATE',
        name,
        object,
        oldObject: stored === undefined ? null : { spec: 'another' },
      },
      createSnapshot({ ...facts, policies }),
    );
    if (decision.allowed && parsed.kind === 'ok')
      policies = [...policies.filter((it) => it !== stored), parsed.value];
    return decision;
  });
}

/** The command, from the text of a file on. */
function askCommand(manifests: readonly Fields[], facts: ClusterFacts, settings = DEFAULT_RULE_SETTINGS) {
  const read = readDocuments(manifests.map((it) => stringify(it, { version: '1.1' })).join('---\n'));
  if (read.kind === 'refused') throw new Error(JSON.stringify(read.error));
  const collected = collectManifests([{ name: 'f', documents: read.value }]);
  return judgeManifests(collected.manifests, facts, settings);
}

const sentences = (violations: Decision['violations']): readonly string[] =>
  violations.map(({ code, verdict, path, message }) => `${verdict} ${code} ${path}: ${message}`).toSorted();

function expectAgreement(manifests: readonly Fields[], facts: ClusterFacts): void {
  const ours = askCommand(manifests, facts);
  const theirs = askWebhook(manifests, facts);
  expect(ours.map(({ verdict }) => verdict === 'allowed')).toEqual(theirs.map(({ allowed }) => allowed));
  expect(ours.map(({ findings }) => sentences(findings))).toEqual(
    theirs.map(({ violations }) => sentences(violations)),
  );
}

const CORPUS: readonly {
  readonly name: string;
  readonly denied: readonly boolean[];
  readonly manifests: readonly Fields[];
}[] = [
  { name: 'a sound policy', denied: [false], manifests: [manifest({})] },
  {
    name: 'a bare address, which mutation completes',
    denied: [false],
    manifests: [manifest({ pools: [{ cidr: '203.0.113.10' }] })],
  },
  {
    name: 'an IPv6 pool without a gateway for it',
    denied: [true],
    manifests: [manifest({ pools: [{ cidr: '2001:db8::10' }] })],
  },
  { name: 'host bits', denied: [true], manifests: [manifest({ pools: [{ cidr: '203.0.113.10/24' }] })] },
  {
    name: 'another spelling',
    denied: [true],
    manifests: [manifest({ pools: [{ cidr: '203.0.113.010/32' }] })],
  },
  {
    name: 'a range',
    denied: [false],
    manifests: [manifest({ pools: [{ from: '203.0.113.20', to: '203.0.113.29' }] })],
  },
  {
    name: 'a range the wrong way round',
    denied: [true],
    manifests: [manifest({ pools: [{ from: '203.0.113.9', to: '203.0.113.2' }] })],
  },
  {
    name: 'a special address',
    denied: [true],
    manifests: [manifest({ pools: [{ cidr: '169.254.1.1/32' }] })],
  },
  {
    name: 'an overlap with itself',
    denied: [true],
    manifests: [manifest({ pools: [{ cidr: '203.0.113.16/28' }, { cidr: '203.0.113.20/32' }] })],
  },
  {
    name: "a node's address",
    denied: [true],
    manifests: [manifest({ pools: [{ cidr: '203.0.113.11/32' }] })],
  },
  {
    name: 'an unroutable pool',
    denied: [true],
    manifests: [manifest({ pools: [{ cidr: '192.0.2.0/28' }] })],
  },
  {
    name: 'a pool at one gateway of two, which the selector leaves out',
    denied: [true],
    manifests: [
      manifest({
        pools: [{ cidr: '203.0.113.199/32' }],
        gateway: { nodeSelector: { matchLabels: { size: 'gw-2' } } },
      }),
    ],
  },
  {
    name: "a pool of the cluster's",
    denied: [true],
    manifests: [manifest({ pools: [{ cidr: '203.0.113.200/29' }] })],
  },
  {
    name: 'an update that frees an address, and one that takes it',
    denied: [false, false],
    manifests: [
      manifest({ name: 'stored', pools: [{ cidr: '203.0.113.201/32' }] }),
      manifest({ pools: [{ cidr: '203.0.113.200/32' }] }),
    ],
  },
  {
    name: 'two that want the same',
    denied: [false, true],
    manifests: [manifest({ name: 'a' }), manifest({ name: 'b' })],
  },
  {
    name: 'the same name in both kinds',
    denied: [false, true],
    manifests: [manifest({}), manifest({ kind: 'CiliumEgressGatewayPolicy' })],
  },
  {
    name: 'two that share',
    denied: [false, false],
    manifests: [
      manifest({ name: 'a', pools: [{ cidr: '203.0.113.10/32', shared: true }] }),
      manifest({ name: 'b', pools: [{ cidr: '203.0.113.10/32', shared: true }] }),
    ],
  },
  {
    name: 'a refused one in the way of none',
    denied: [true, false],
    manifests: [
      manifest({ name: 'a', pools: [{ cidr: '203.0.113.10/32' }, { cidr: '192.0.2.1/32' }] }),
      manifest({ name: 'b' }),
    ],
  },
  { name: 'an unknown field', denied: [true], manifests: [manifest({ gateway: { ipPools: [] } })] },
  {
    name: 'a boolean where text belongs',
    denied: [true],
    manifests: [manifest({ spec: { selectors: [{ matchLabels: { egress: true } }] } })],
  },
  {
    name: 'an emptied selector',
    denied: [true],
    manifests: [manifest({ spec: { selectors: [{ matchLabels: {} }] } })],
  },
  { name: 'no destination', denied: [true], manifests: [manifest({ spec: { destinationCIDRs: [] } })] },
  { name: 'a wrong choice', denied: [true], manifests: [manifest({ gateway: { strategy: 'Random' } })] },
  { name: 'no spec', denied: [true], manifests: [{ ...manifest({}), spec: null }] },
];

test.each(CORPUS)('$name: the same verdict in the same words', ({ manifests, denied }) => {
  expectAgreement(manifests, FACTS);
  expect(askCommand(manifests, FACTS).map(({ verdict }) => verdict === 'denied')).toEqual(denied);
});

/** Those that a person could write into a file: a status is nobody's manifest. */
const WRITTEN = ADMISSION_CASES.filter(({ request }) => request?.subResource === undefined);

test.each(WRITTEN)("admission's case of $name: the same verdict in the same words", (it) => {
  const { request, settings } = it;
  const object = { apiVersion: 'cilium.io/v1alpha1', ...(it.object as Fields) };
  const isOurs = object.apiVersion !== 'cilium.io/v2';
  const kind = String((object as Fields).kind ?? 'CiliumEgressGatewayPolicy');
  const all = { ...CLUSTER, ...it.facts };
  const before =
    request?.oldObject === undefined ? undefined : parsePolicy(request.oldObject, kind as PolicyKind);
  // What is updated stands in the cluster.
  const known = listed(all.policies);
  const missing = before?.kind === 'ok' && !known.some(({ ref }) => ref.name === before.value.ref.name);
  const facts = missing ? { ...all, policies: [...known, before.value] } : all;
  const merged = { ...DEFAULT_RULE_SETTINGS, ...settings };
  const decision = decideAdmission(
    {
      ...REQUEST,
      kind,
      operation: 'CREATE',
      oldObject: null,
      ...request,
      object: isOurs ? mutated(object) : object,
    },
    createSnapshot(facts, { ...DEFAULT_REVIEW_SETTINGS, settings: merged }),
  );
  const [judged] = askCommand([{ kind, ...object }], facts, merged);
  expect(decision.unjudged).toBeUndefined();
  expect(sentences(judged?.findings ?? [])).toEqual(sentences(decision.violations));
  expect(judged?.verdict).toBe(decision.allowed ? 'allowed' : 'denied');
});

test('whatever is written, in whatever row, both say the same', () => {
  const address = fc.nat({ max: 255 }).map((last) => `203.0.113.${last}`);
  const cidr = fc.oneof(
    address,
    fc.tuple(address, fc.integer({ min: 27, max: 33 })).map(([text, prefix]) => `${text}/${prefix}`),
    fc.constantFrom('10.0.0.0/8', '2001:db8::1', '2001:DB8::1/128', '127.0.0.1/32', '', 'x'),
  );
  const pool = fc.oneof(
    fc.record({ cidr, shared: fc.boolean() }),
    fc.record({ from: address, to: address }, { requiredKeys: [] }),
    fc.constant('text'),
  );
  const wish = fc.record({
    name: fc.constantFrom('a', 'b', 'stored'),
    kind: fc.constantFrom<PolicyKind[]>('EgressPolicy', 'CiliumEgressGatewayPolicy'),
    app: fc.constantFrom('x', 'y', 'not a label!'),
    pools: fc.array(pool, { maxLength: 3 }),
    gateway: fc.record(
      { strategy: fc.constantFrom('Failover', 'failover', 7), returnAfter: fc.constantFrom('5m', 'soon') },
      { requiredKeys: [] },
    ),
  });
  fc.assert(
    fc.property(fc.array(wish, { minLength: 1, maxLength: 5 }), (wishes) =>
      expectAgreement(
        wishes.map((it) => manifest(it)),
        FACTS,
      ),
    ),
    // Each run parses and judges up to five manifests twice; the corpus above is what meets every code.
    { numRuns: 40 },
  );
}, 30_000);
