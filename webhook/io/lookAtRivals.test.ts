import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { parseCidr } from '../../policy/cidr.ts';
import { UNKNOWN_FACTS } from '../../policy/facts.ts';
import { CILIUM_EGRESS_GATEWAY_POLICY, collectionPath, EGRESS_POLICY } from '../../policy/names.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import { type FakeApiServer, startFakeApiServer } from '../../test/contract/fakeApiServer.ts';
import { createSnapshot } from '../core/snapshot.ts';
import { createLookAtRivals, decideOnSight } from './lookAtRivals.ts';

const OWN = collectionPath(EGRESS_POLICY);
const CILIUM = collectionPath(CILIUM_EGRESS_GATEWAY_POLICY);
/** For the request that is never answered; the others have the client's own. */
const SHORT_DEADLINE_MS = 100;
let server: FakeApiServer;
let client: KubeClient;

beforeEach(async () => {
  server = await startFakeApiServer([OWN, CILIUM]);
  client = createRestClient(server.access);
});
afterEach(async () => {
  await client.close();
  await server.stop();
});

function stored(name: string, metadata: object = {}, spec: object = {}) {
  const egressGateway = { ippools: [{ cidr: '203.0.113.10/32' }] };
  return {
    metadata: { name, uid: `uid-${name}`, ...metadata },
    spec: { selectors: [{}], destinationCIDRs: ['0.0.0.0/0'], egressGateway, ...spec },
  };
}
const ref = (name: string, kind: 'EgressPolicy' | 'CiliumEgressGatewayPolicy' = 'EgressPolicy') =>
  ({ kind, name, uid: `uid-${name}`, createdAtMs: 0 }) as const;

test('one that is there is read; one that is deleted, on its way out or unsound is gone', async () => {
  await client.create(OWN, stored('there'));
  await client.create(CILIUM, stored('other-kind'));
  await client.create(OWN, stored('leaving', { deletionTimestamp: '2024-02-29T23:59:59Z' }));
  await client.create(OWN, stored('unsound', {}, { selectors: [] }));
  const rivals = [
    ref('there'),
    ref('other-kind', 'CiliumEgressGatewayPolicy'),
    ref('leaving'),
    ref('unsound'),
    ref('deleted'),
  ];
  const seen = await createLookAtRivals(client)(rivals);
  expect(rivals.map((it) => (seen.get(it) === 'gone' ? 'gone' : seen.get(it) !== undefined))).toEqual([
    true,
    true,
    'gone',
    'gone',
    'gone',
  ]);
});

test('of one that the API server says nothing of nothing is known', async () => {
  await client.create(OWN, stored('slow'));
  await client.create(OWN, stored('refused'));
  server.intercept(({ path }) => {
    if (path.endsWith('/slow')) return { kind: 'hang' };
    if (path.endsWith('/refused')) return { kind: 'refuse', status: 500, reason: 'InternalError' };
    return undefined;
  });
  const hasty = createRestClient(server.access, { deadlineMs: SHORT_DEADLINE_MS });
  expect((await createLookAtRivals(hasty)([ref('slow'), ref('refused')])).size).toBe(0);
  await hasty.close();
});

const REQUEST = {
  uid: 'r',
  kind: 'EgressPolicy',
  operation: 'CREATE',
  subResource: '',
  name: 'mine',
  dryRun: false,
  username: 'me',
  nodeName: '',
  object: stored('mine'),
  oldObject: null,
} as const;

function snapshotWith(rival: object) {
  const parsed = parsePolicy(rival, 'EgressPolicy');
  const routed = parseCidr('203.0.113.0/24');
  if (parsed.kind === 'refused' || routed.kind === 'refused') throw new Error('the fixture is unsound');
  const facts = { ...UNKNOWN_FACTS, policies: [parsed.value], routable: [routed.value] };
  return { snapshot: createSnapshot(facts), policy: parsed.value };
}

test('what the index hears while the API server is looked at counts, although nothing was seen there', async () => {
  const { snapshot, policy } = snapshotWith(stored('rival'));
  const decision = await decideOnSight(REQUEST, snapshot, async () => {
    snapshot.index.remove('policies', policy);
    return new Map();
  });
  expect(decision.allowed).toBe(true);
});

test.each([
  { name: 'is denied while that one is there', keep: true, allowed: false, looks: 1 },
  { name: 'is allowed once that one is gone, whatever the caches say', keep: false, allowed: true, looks: 1 },
])('a policy that wants the addresses of another $name', async ({ keep, allowed, looks }) => {
  const rival = stored('rival');
  if (keep) await client.create(OWN, rival);
  const { snapshot } = snapshotWith(rival);
  expect((await decideOnSight(REQUEST, snapshot, createLookAtRivals(client))).allowed).toBe(allowed);
  expect(server.seen.filter(({ method }) => method === 'GET')).toHaveLength(looks);
  expect((await decideOnSight(REQUEST, snapshot, undefined)).allowed).toBe(false);
});
