import { expect, test } from 'vitest';
import { UNKNOWN_FACTS } from '../../policy/facts.ts';
import { decideMutation } from './mutate.ts';
import type { ReviewRequest } from './review.ts';
import { createSnapshot, type Snapshot } from './snapshot.ts';

/** A cluster of which is known that it has no gateway. */
const EMPTY = createSnapshot({ ...UNKNOWN_FACTS, policies: [], nodes: [], gateways: [] });
const COMPLETE = { strategy: 'Distribute', affinity: 'Pod', failureMode: 'Closed', returnPolicy: 'Stay' };

function review(ippools: readonly object[], change: Partial<ReviewRequest> = {}): ReviewRequest {
  const object = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: { name: 'p' },
    spec: {
      selectors: [{}],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools, ...COMPLETE },
    },
  };
  const asked = { kind: 'EgressPolicy', operation: 'CREATE', subResource: '', name: 'p' } as const;
  return {
    uid: 'r',
    dryRun: false,
    username: 'me',
    nodeName: '',
    object,
    oldObject: null,
    ...asked,
    ...change,
  };
}
const outcome = (request: ReviewRequest, snapshot?: Snapshot) => {
  const mutation = decideMutation(request, snapshot);
  return mutation.kind === 'completed'
    ? mutation.patch.map(({ path }) => path)
    : mutation.decision.violations.map(({ code }) => code);
};

test.each([
  { name: 'a bare address is completed, not refused', pools: [{ cidr: '203.0.113.10' }], patched: true },
  { name: 'a sound one is left alone', pools: [{ cidr: '203.0.113.10/32' }], patched: false },
])('$name', ({ pools, patched }) => {
  expect(outcome(review(pools), EMPTY)).toEqual(patched ? ['/spec/egressGateway/ippools/0/cidr'] : []);
});

test('what the schema refuses too is refused here with everything that is wrong, the cluster included', () => {
  const request = review([{ cidr: '127.0.0.1' }, { cidr: '203.0.113.10/32' }]);
  expect(outcome(request, EMPTY)).toEqual(['special-use', 'no-gateway', 'selector-empty']);
  const message = decideMutation(review([{ cidr: '203.0.113.10/24' }]), EMPTY);
  expect(message).toMatchObject({
    kind: 'refused',
    decision: { message: expect.stringContaining('write 203.0.113.0/24') },
  });
});

test('what only the cluster shows is left to the validating webhook', () => {
  expect(decideMutation(review([{ cidr: '203.0.113.10/32' }]), EMPTY)).toEqual({
    kind: 'completed',
    patch: [],
  });
});

test('while facts are not in sync the object alone is looked at', () => {
  expect(outcome(review([{ cidr: '203.0.113.10/24' }]))).toEqual(['cidr-host-bits']);
  expect(outcome(review([{ cidr: '203.0.113.10/32' }]))).toEqual([]);
});

test.each([
  { name: 'a delete', change: { operation: 'DELETE' } },
  { name: 'a status write', change: { subResource: 'status' } },
  { name: 'a kind of somebody else', change: { kind: 'Pod' } },
] as const)('$name is never refused', ({ change }) => {
  expect(outcome(review([{ cidr: 'nonsense' }], change), EMPTY)).toEqual([]);
});

test('an unsound object that is on its way out, or whose spec stays as it is, may change', () => {
  const unsound = review([{ cidr: '203.0.113.10/24' }]);
  expect(outcome({ ...unsound, operation: 'UPDATE', oldObject: unsound.object }, EMPTY)).toEqual([]);
  const leaving = { ...(unsound.object as object), metadata: { name: 'p', deletionTimestamp: 'now' } };
  expect(outcome({ ...unsound, operation: 'UPDATE', object: leaving, oldObject: {} }, EMPTY)).toEqual([]);
});
