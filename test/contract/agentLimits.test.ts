/**
 * What the token of one node's agent may write, tried with real tokens that are bound to pods on two nodes: all that the
 * agent writes of its own node, and nothing of another's. Where the roles alone would refuse, the admission policy is
 * tried as well, with roles that are wider than the chart's.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EgressIp } from '../../failover/core/egressIp.ts';
import { renderEgressIp } from '../../failover/core/renderEgressIp.ts';
import { createLeaseHeart } from '../../failover/io/leaseHeart.ts';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { leasePath } from '../../kube/lease.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { makeAddress } from '../../policy/address.ts';
import {
  CONTROLLER_LEASE,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
} from '../../policy/names.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { AGENT, clientWith, installChart, NAMESPACE, token, tokenOnNode } from './installedChart.ts';
import { must } from './webhookProgram.ts';

const REPORTS = collectionPath(GATEWAY_NODE);
const EGRESS_IPS = collectionPath(EGRESS_IP);
const POLICIES = collectionPath(EGRESS_POLICY);
const LEASES = leasePath(NAMESPACE);
const ADDRESS = `${EGRESS_IPS}/203.0.113.10`;
/** A collection is deleted object by object, in no order. */
const LIMIT = "ValidatingAdmissionPolicy 'sallyport-agent-own-node'";
const OWN_NODE = "the agent of node 'node-a' writes the GatewayNode and the Lease of that node, not ";

let api: ApiServer;
let admin: KubeClient;
/** An agent's on node-a, an agent's on node-b, and an agent's that is bound to no node. */
let a: KubeClient;
let b: KubeClient;
let unbound: KubeClient;

const ORDER: EgressIp['order'] = [
  { gateway: 'node-a', session: 4 },
  { gateway: 'node-b', session: 2 },
];
const IP: EgressIp = {
  name: '203.0.113.10',
  uid: '',
  resourceVersion: '',
  address: makeAddress(4, 0xcb00710an),
  policies: [{ kind: 'EgressPolicy', name: 'p', uid: 'u' }],
  epoch: 3,
  order: ORDER,
  fence: [],
  blocksVersion: 0,
  blocks: [],
  resting: [],
};

function report(name: string, metadata: object = {}) {
  return { apiVersion: 'sallyport.dev/v1alpha1', kind: GATEWAY_NODE.kind, metadata: { name, ...metadata } };
}

function lease(name: string, metadata: object = {}) {
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, ...metadata }, spec: {} };
}

/** '' where it was done, else the API server's words. */
function refusalIn(outcome: KubeOutcome<unknown>): string {
  return outcome.kind === 'ok' ? '' : `${outcome.error.status} ${outcome.error.message}`;
}

function join(
  client: KubeClient,
  value: object,
  more: readonly object[] = [],
): Promise<KubeOutcome<unknown>> {
  return client.jsonPatch(`${ADDRESS}?dryRun=All`, [{ op: 'add', path: '/spec/order/-', value }, ...more]);
}

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  admin = createRestClient(api.access, { deadlineMs: 30_000 });
  installChart(api);
  [a, b] = [
    clientWith(api, await tokenOnNode(admin, 'node-a')),
    clientWith(api, await tokenOnNode(admin, 'node-b')),
  ];
  unbound = clientWith(api, await token(admin, AGENT));
  await waitUntil('the kinds', async () => (await admin.get(EGRESS_IPS)).kind === 'ok' || undefined);
  must(await admin.create(EGRESS_IPS, renderEgressIp(IP)));
  // The API server learns of a policy by its own watch.
  await waitUntil('the limits to be in force', async () => {
    const said = [
      await unbound.create(`${REPORTS}?dryRun=All`, report('probe')),
      await join(unbound, SELF_B),
    ];
    return said.every((outcome) => refusalIn(outcome).startsWith('422')) || undefined;
  });
}, 1_800_000);

afterAll(async () => {
  for (const client of [a, b, unbound, admin]) await client?.close();
  await api?.stop();
});

const SELF_A = { gateway: 'node-a', session: 5 };
const SELF_B = { gateway: 'node-b', session: 5 };

test('each agent reports of its own node, holds its Lease and names its own session', async () => {
  for (const [client, node, self] of [
    [a, 'node-a', SELF_A],
    [b, 'node-b', SELF_B],
  ] as const) {
    must(await client.create(REPORTS, report(node)));
    must(await client.mergePatch(`${REPORTS}/${node}/status`, { status: { session: 5 } }));
    const heart = createLeaseHeart({
      client,
      namespace: NAMESPACE,
      node,
      durationSeconds: 3,
      wallClock: Date.now,
    });
    expect(await heart.write({ session: 5, holding: true })).toMatchObject({ kind: 'accepted' });
    // Somebody else's, which the agent neither drops nor may add.
    const metadata = { labels: { team: 'net' }, annotations: { why: node } };
    must(await admin.mergePatch(leasePath(NAMESPACE, `gateway-${node}`), { metadata }));
    const read = await heart.read();
    expect(read).toMatchObject({ session: 5, holding: true });
    if (typeof read === 'string') throw new Error(read);
    expect(await heart.write({ session: 5, holding: false, version: read.version })).toMatchObject({
      kind: 'accepted',
    });
    expect(await admin.get(leasePath(NAMESPACE, `gateway-${node}`))).toMatchObject({
      value: { metadata, spec: { holderIdentity: '' } },
    });
    must(await join(client, self));
  }
});

describe('the agent of node-a is refused', () => {
  test.each<{
    readonly name: string;
    readonly attempt: () => Promise<KubeOutcome<unknown>>;
    readonly says: string;
  }>([
    {
      name: "the report of node-b's state",
      attempt: () => a.mergePatch(`${REPORTS}/node-b/status`, { status: { session: 9 } }),
      says: `${OWN_NODE}gatewaynodes/node-b`,
    },
    {
      name: 'a GatewayNode of another name',
      attempt: () => a.create(REPORTS, report('node-c')),
      says: `${OWN_NODE}gatewaynodes/node-c`,
    },
    {
      name: 'a GatewayNode of a name that is made up by the API server',
      attempt: () => a.create(REPORTS, { ...report('node-a'), metadata: { generateName: 'node-a' } }),
      says: `${OWN_NODE}gatewaynodes/node-a`,
    },
    {
      name: 'the Lease of node-b',
      attempt: async () =>
        a.replace(`${LEASES}/gateway-node-b`, must(await admin.get(`${LEASES}/gateway-node-b`))),
      says: `${OWN_NODE}leases/gateway-node-b`,
    },
    {
      name: 'the Lease of a gateway that is not there yet',
      attempt: () => a.create(LEASES, lease('gateway-node-c')),
      says: `${OWN_NODE}leases/gateway-node-c`,
    },
    {
      name: "the controllers' Lease",
      attempt: () => a.create(LEASES, lease(CONTROLLER_LEASE)),
      says: `${OWN_NODE}leases/${CONTROLLER_LEASE}`,
    },
    {
      name: 'a finalizer on its own Lease',
      attempt: async () => {
        const stored = must(await admin.get(`${LEASES}/gateway-node-a`)) as { readonly metadata: object };
        return a.replace(`${LEASES}/gateway-node-a`, {
          ...stored,
          metadata: { ...stored.metadata, finalizers: ['example.com/never'] },
        });
      },
      says: 'an agent adds no labels, annotations, finalizers or owners',
    },
    {
      name: "node-b's session in an order",
      attempt: () => join(a, SELF_B),
      says: 'a newer session of its own node',
    },
    {
      name: 'an older session than the one that is named',
      attempt: () => join(a, { gateway: 'node-a', session: 3 }),
      says: 'a newer session of its own node',
    },
    {
      name: 'the first place in an order',
      attempt: () => a.jsonPatch(ADDRESS, [{ op: 'add', path: '/spec/order/0', value: SELF_A }]),
      says: 'at the end of an order',
    },
    {
      name: "the removal of node-b's session",
      attempt: () => a.jsonPatch(ADDRESS, [{ op: 'remove', path: '/spec/order/1' }]),
      says: 'at the end of an order',
    },
    {
      name: 'another epoch',
      attempt: () => join(a, SELF_A, [{ op: 'replace', path: '/spec/epoch', value: 4 }]),
      says: 'nothing but the order',
    },
    {
      name: 'an owner of an EgressIP, which would have it deleted',
      attempt: () => join(a, SELF_A, [{ op: 'add', path: '/metadata/ownerReferences', value: [NOBODY] }]),
      says: 'no labels, annotations, finalizers or owners of an EgressIP',
    },
    {
      name: 'a finalizer of an EgressIP, which would keep it',
      attempt: () =>
        join(a, SELF_A, [{ op: 'add', path: '/metadata/finalizers', value: ['example.com/never'] }]),
      says: 'no labels, annotations, finalizers or owners of an EgressIP',
    },
    {
      name: 'a label of an EgressIP',
      attempt: () => join(a, SELF_A, [{ op: 'add', path: '/metadata/labels', value: { a: 'b' } }]),
      says: 'no labels, annotations, finalizers or owners of an EgressIP',
    },
  ])('$name', async ({ attempt, says }) => {
    const refusal = refusalIn(await attempt());
    expect(refusal).toMatch(/^422 /);
    expect(refusal).toContain(says);
  });
});

const NOBODY = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  name: 'nobody',
  uid: '0b0e8e3c-0000-4000-8000-000000000000',
};

test('a token that is bound to no node writes nothing', async () => {
  for (const attempt of [
    unbound.create(REPORTS, report('node-c')),
    unbound.create(LEASES, lease('gateway-node-c')),
    unbound.mergePatch(`${REPORTS}/node-a/status`, { status: {} }),
  ])
    expect(refusalIn(await attempt)).toContain("the agent of node '' writes");
  expect(refusalIn(await join(unbound, SELF_A))).toContain('a newer session of its own node');
});

test('no role lets an agent delete, write policies, EgressIPs or their status, or read other secrets', async () => {
  must(await admin.create(POLICIES, egressPolicy('p', [{ cidr: '203.0.113.10/32' }])));
  const attempts: readonly (readonly [string, Promise<KubeOutcome<unknown>>])[] = [
    ['delete GatewayNode', a.remove(`${REPORTS}/node-a`)],
    ['delete GatewayNodes', a.remove(REPORTS)],
    ['label GatewayNode', a.mergePatch(`${REPORTS}/node-a`, { metadata: { labels: { a: 'b' } } })],
    ['delete Lease', a.remove(`${LEASES}/gateway-node-a`)],
    ['delete Leases', a.remove(LEASES)],
    ['delete EgressIP', a.remove(ADDRESS)],
    ['delete EgressIPs', a.remove(EGRESS_IPS)],
    ['create EgressIP', a.create(EGRESS_IPS, renderEgressIp({ ...IP, name: '203.0.113.11' }))],
    ['status of EgressIP', a.mergePatch(`${ADDRESS}/status`, { status: {} })],
    ['create policy', a.create(POLICIES, egressPolicy('q', [{ cidr: '203.0.113.11/32' }]))],
    ['change policy', a.mergePatch(`${POLICIES}/p`, { metadata: { labels: { a: 'b' } } })],
    ['status of policy', a.mergePatch(`${POLICIES}/p/status`, { status: {} })],
    ['change Node', a.mergePatch('/api/v1/nodes/node-a', { metadata: { labels: { a: 'b' } } })],
    ['voters', a.mergePatch(`/api/v1/namespaces/${NAMESPACE}/configmaps/sallyport-voters`, { data: {} })],
    ['secrets', a.get(`/api/v1/namespaces/${NAMESPACE}/secrets`)],
    ['another secret', a.get(`/api/v1/namespaces/${NAMESPACE}/secrets/sallyport-webhook-cert`)],
    ['Leases elsewhere', a.create(leasePath('default'), lease('gateway-node-a'))],
    ['tokens', a.create(`/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${AGENT}/token`, { spec: {} })],
  ];
  for (const [name, attempt] of attempts)
    expect([name, refusalIn(await attempt)]).toEqual([name, expect.stringMatching(/^403 /)]);
});

test('with roles far wider than the chart gives, an agent still writes nothing else and deletes nothing', async () => {
  const verbs = ['create', 'update', 'patch', 'delete', 'deletecollection'];
  const name = 'too-wide';
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  must(
    await admin.create(`${rbac}/clusterroles`, {
      metadata: { name },
      rules: ['sallyport.dev', 'coordination.k8s.io'].map((group) => ({
        apiGroups: [group],
        resources: ['*'],
        verbs,
      })),
    }),
  );
  must(
    await admin.create(`${rbac}/clusterrolebindings`, {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', name: AGENT, namespace: NAMESPACE }],
    }),
  );
  await waitUntil('the role', async () => refusalIn(await a.remove(ADDRESS)).startsWith('422') || undefined);
  const label = { metadata: { labels: { a: 'b' } } };
  const attempts: readonly (readonly [string, Promise<KubeOutcome<unknown>>])[] = [
    ['an agent deletes nothing', a.remove(`${REPORTS}/node-a`)],
    ['an agent deletes nothing', a.remove(`${LEASES}/gateway-node-a`)],
    [`${OWN_NODE}gatewaynodes/node-b`, a.remove(`${REPORTS}/node-b`)],
    [`${OWN_NODE}leases/gateway-node-b`, a.remove(`${LEASES}/gateway-node-b`)],
    [LIMIT, a.remove(LEASES)],
    [LIMIT, a.remove(REPORTS)],
    [LIMIT, a.remove(EGRESS_IPS)],
    [
      `${OWN_NODE}egressips/203.0.113.11`,
      a.create(EGRESS_IPS, renderEgressIp({ ...IP, name: '203.0.113.11' })),
    ],
    [
      `${OWN_NODE}egressips/203.0.113.10`,
      a.mergePatch(`${ADDRESS}/status`, { status: { phase: 'Announced' } }),
    ],
    [`${OWN_NODE}egresspolicies/q`, a.create(POLICIES, egressPolicy('q', [{ cidr: '203.0.113.11/32' }]))],
    [`${OWN_NODE}egresspolicies/p`, a.mergePatch(`${POLICIES}/p`, label)],
    [`${OWN_NODE}gatewaynodes/node-b`, a.mergePatch(`${REPORTS}/node-b`, label)],
    ['an agent adds no labels', a.mergePatch(`${REPORTS}/node-a`, label)],
  ];
  for (const [says, attempt] of attempts) expect(refusalIn(await attempt)).toContain(says);
  const left = must(await admin.get(REPORTS)) as {
    readonly items: readonly { readonly metadata: { readonly name: string } }[];
  };
  expect(left.items.map(({ metadata }) => metadata.name)).toEqual(['node-a', 'node-b']);
});
