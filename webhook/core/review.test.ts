import { expect, test } from 'vitest';
import { parseAddress } from '../../policy/address.ts';
import { parseCidr } from '../../policy/cidr.ts';
import { UNKNOWN_FACTS } from '../../policy/facts.ts';
import type { ClusterFacts, Policy } from '../../policy/model.ts';
import { API_VERSION, type PolicyKind } from '../../policy/names.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import {
  decideAdmission,
  OPERATIONS,
  parseReview,
  type ReviewRequest,
  renderReview,
  type Unjudged,
  WARNING_LENGTH_MAX,
} from './review.ts';
import { createSnapshot } from './snapshot.ts';

function must<T>(result: { kind: 'ok'; value: T } | { kind: 'refused'; error: unknown }): T {
  if (result.kind === 'refused') throw new Error(JSON.stringify(result.error));
  return result.value;
}

interface Change {
  readonly name?: string;
  readonly uid?: string;
  readonly cidrs?: readonly string[];
  readonly kind?: PolicyKind;
  readonly metadata?: object;
  readonly status?: object;
}
function manifest({ name = 'mine', uid = 'u-mine', cidrs = ['203.0.113.10/32'], ...change }: Change = {}) {
  const kind = change.kind ?? 'CiliumEgressGatewayPolicy';
  return {
    apiVersion: `${kind === 'EgressPolicy' ? 'sallyport.dev' : 'cilium.io'}/${API_VERSION}`,
    kind,
    metadata: { name, uid, ...change.metadata },
    spec: {
      selectors: [{ matchLabels: { app: uid } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools: cidrs.map((cidr) => ({ cidr })) },
    },
    ...(change.status === undefined ? {} : { status: change.status }),
  };
}
const stored = (change: Change): Policy =>
  must(parsePolicy(manifest(change), change.kind ?? 'CiliumEgressGatewayPolicy'));

const GATEWAY = must(parseAddress('203.0.113.11'));
function snapshot(policies: readonly Policy[] = []) {
  const facts: ClusterFacts = {
    ...UNKNOWN_FACTS,
    policies,
    nodes: [
      {
        name: 'gw-1',
        labels: { 'sallyport.dev/gateway': '' },
        addresses: [GATEWAY],
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
        addresses: [{ address: GATEWAY, interfaceName: 'eth0' }],
        onLink: [{ cidr: must(parseCidr('203.0.113.0/24')), interfaceName: 'eth0' }],
        nextHops: [],
        capacity: 256,
        using: [],
      },
    ],
    routable: [],
  };
  return createSnapshot(facts);
}
function request(change: Partial<ReviewRequest> = {}): ReviewRequest {
  const object = manifest();
  return {
    uid: 'r-1',
    kind: 'CiliumEgressGatewayPolicy',
    operation: 'CREATE',
    subResource: '',
    name: 'mine',
    dryRun: false,
    username: 'kubernetes-admin',
    nodeName: '',
    object,
    oldObject: null,
    ...change,
  };
}

test.each([
  { name: 'a sound policy', policies: [], cidrs: ['203.0.113.10/32'], codes: [] },
  {
    name: 'one that overlaps another',
    policies: [stored({ name: 'theirs', uid: 'u-2', cidrs: ['203.0.113.8/29'] })],
    cidrs: ['203.0.113.10/32'],
    codes: ['pool-overlap'],
  },
  {
    name: 'one that overlaps a policy of the other kind',
    policies: [stored({ name: 'mine', uid: 'u-2', kind: 'EgressPolicy' })],
    cidrs: ['203.0.113.10/32'],
    codes: ['pool-overlap'],
  },
  { name: 'an unroutable pool', policies: [], cidrs: ['192.0.2.1/32'], codes: ['pool-unroutable'] },
  { name: "a node's address", policies: [], cidrs: ['203.0.113.11/32'], codes: ['pool-node-address'] },
  {
    name: 'several faults at once',
    policies: [],
    cidrs: ['203.0.113.11/32', '192.0.2.1/32'],
    codes: ['pool-node-address', 'pool-unroutable'],
  },
  { name: 'what does not parse', policies: [], cidrs: ['203.0.113.10/24'], codes: ['cidr-host-bits'] },
])('a create of $name', ({ policies, cidrs, codes }) => {
  const decision = decideAdmission(request({ object: manifest({ cidrs }) }), snapshot(policies));
  expect(decision.violations.filter(({ verdict }) => verdict === 'deny').map(({ code }) => code)).toEqual(
    codes,
  );
  expect(decision.allowed).toBe(codes.length === 0);
  for (const code of codes) expect(decision.message).toContain(`(${code})`);
  const { response } = renderReview('r-1', decision);
  expect(response).toMatchObject({ uid: 'r-1', allowed: codes.length === 0 });
  expect(response.status?.code).toBe(codes.length === 0 ? undefined : 403);
});

test('the message of an overlap names the field, both pools and the other policy', () => {
  const theirs = stored({ name: 'theirs', uid: 'u-2', cidrs: ['203.0.113.8/29'] });
  const { message } = decideAdmission(request(), snapshot([theirs]));
  for (const part of ['spec.egressGateway.ippools[0]', '203.0.113.10/32', '203.0.113.8/29', 'theirs'])
    expect(message).toContain(part);
});

const badPool = manifest({ cidrs: ['192.0.2.1/32'] });
const UNJUDGED: Readonly<Record<Unjudged, Partial<ReviewRequest>>> = {
  delete: { operation: 'DELETE', object: null, oldObject: badPool },
  subresource: { operation: 'UPDATE', subResource: 'scale', object: badPool, oldObject: manifest() },
  'unknown-kind': { kind: 'ConfigMap', object: { kind: 'ConfigMap' } },
  'being-deleted': {
    operation: 'UPDATE',
    object: manifest({
      cidrs: ['192.0.2.1/32'],
      metadata: { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [] },
    }),
    oldObject: manifest(),
  },
  'spec-unchanged': {
    operation: 'UPDATE',
    object: manifest({ cidrs: ['192.0.2.1/32'], metadata: { labels: { a: 'b' } } }),
    oldObject: badPool,
  },
};
test.each(Object.entries(UNJUDGED))('%s is let pass whatever the pool', (unjudged, change) => {
  expect(decideAdmission(request(change), snapshot())).toMatchObject({ allowed: true, unjudged });
});

test('every operation has a case, and only writes of the object are judged', () => {
  const judged = OPERATIONS.map((operation) => {
    const decision = decideAdmission(
      request({ operation, object: badPool, oldObject: manifest() }),
      snapshot(),
    );
    return [operation, decision.allowed ? 'passes' : 'judged'];
  });
  expect(Object.fromEntries(judged)).toEqual({
    CREATE: 'judged',
    UPDATE: 'judged',
    DELETE: 'passes',
    CONNECT: 'passes',
  });
});

test('an update is not held against its own former self, but against others', () => {
  const update = request({
    operation: 'UPDATE',
    object: manifest({ cidrs: ['203.0.113.10/32', '203.0.113.20/32'] }),
    oldObject: manifest(),
  });
  const self = stored({});
  expect(decideAdmission(update, snapshot([self])).allowed).toBe(true);
  const other = stored({ name: 'other', uid: 'u-2', cidrs: ['203.0.113.20/32'] });
  expect(decideAdmission(update, snapshot([self, other])).allowed).toBe(false);
});

test('a dry run is decided like the real thing', () => {
  const [dry, real] = [true, false].map((dryRun) =>
    decideAdmission(request({ dryRun, object: badPool }), snapshot()),
  );
  expect(dry).toEqual(real);
});

test('no warning is longer than an API server shows', () => {
  const decision = decideAdmission(request(), snapshot());
  for (const warning of decision.warnings) expect(warning.length).toBeLessThanOrEqual(WARNING_LENGTH_MAX);
});

const wire = {
  uid: 'u',
  kind: { group: 'cilium.io', version: 'v1alpha1', kind: 'X' },
  operation: 'CREATE',
  object: {},
};
const review = (change: object, outer: object = {}): unknown => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { ...wire, ...change },
  ...outer,
});
test.each([
  { name: 'a text', raw: 'x' },
  { name: 'a list', raw: [] },
  { name: 'nothing', raw: undefined },
  { name: 'another version', raw: review({}, { apiVersion: 'admission.k8s.io/v1beta1' }) },
  { name: 'another kind', raw: review({}, { kind: 'ConversionReview' }) },
  { name: 'no request', raw: review({}, { request: null }) },
  { name: 'no uid', raw: review({ uid: '' }) },
  { name: 'a uid that is a number', raw: review({ uid: 7 }) },
  { name: 'no kind', raw: review({ kind: 'Pod' }) },
  { name: 'an unknown operation', raw: review({ operation: 'PATCH' }) },
  { name: 'a create without object', raw: review({ object: null }) },
  { name: 'an update without old object', raw: review({ operation: 'UPDATE' }) },
])('$name is not a review', ({ raw }) => {
  expect(parseReview(raw).kind).toBe('refused');
});

test('a review is read with who asks, and the node that a token is bound to', () => {
  const userInfo = { username: 'u', extra: { 'authentication.kubernetes.io/node-name': ['gw-1'] } };
  expect(parseReview(review({ userInfo }))).toMatchObject({ value: { username: 'u', nodeName: 'gw-1' } });
  for (const odd of [undefined, 'x', { username: 7, extra: [] }])
    expect(parseReview(review({ userInfo: odd }))).toMatchObject({ value: { username: '', nodeName: '' } });
});

test('a review is read with its uid, and a delete needs no object', () => {
  expect(parseReview(review({}))).toMatchObject({
    kind: 'ok',
    value: { uid: 'u', subResource: '', dryRun: false },
  });
  expect(parseReview(review({ operation: 'DELETE', object: null, dryRun: true }))).toMatchObject({
    kind: 'ok',
    value: { dryRun: true },
  });
});
