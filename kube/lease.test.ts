import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatMicroTime, leasePath, parseLease, renderLease } from './lease.ts';

test('a MicroTime has exactly six fractional digits, whatever the clock gives', () => {
  expect(formatMicroTime(0)).toBe('1970-01-01T00:00:00.000000Z');
  expect(formatMicroTime(1_700_000_000_123.456)).toBe('2023-11-14T22:13:20.123456Z');
  fc.assert(
    fc.property(fc.double({ min: 0, max: 4e12, noNaN: true }), (ms) => {
      expect(formatMicroTime(ms)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    }),
  );
});

test('what is rendered is read back', () => {
  const record = {
    name: 'gateway-gw-1',
    namespace: 'sallyport-system',
    uid: 'u',
    resourceVersion: '7',
    holder: 'gw-1/5',
    durationSeconds: 3,
    acquireTime: formatMicroTime(1),
    renewTime: formatMicroTime(2),
    transitions: 5,
  };
  expect(parseLease(renderLease(record))).toEqual(record);
  expect(leasePath('a', 'b')).toBe('/apis/coordination.k8s.io/v1/namespaces/a/leases/b');
});

test('what others put to the metadata stays, and nothing else of the object', () => {
  const lease = parseLease({ metadata: { name: 'a', namespace: 'b', resourceVersion: '7' } });
  if (lease === undefined) throw new Error('no Lease');
  const foreign = {
    labels: { team: 'net' },
    annotations: { 'argocd.argoproj.io/tracking-id': 'x' },
    finalizers: ['example.com/hold'],
    ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' }],
  };
  const over = {
    metadata: { ...foreign, resourceVersion: '6', generation: 4, managedFields: [] },
    spec: { holderIdentity: 'x' },
  };
  expect(renderLease(lease, over)).toEqual({
    ...Object(renderLease(lease)),
    metadata: { ...foreign, name: 'a', namespace: 'b', resourceVersion: '7' },
  });
  for (const nothing of [undefined, null, 'x', {}])
    expect(renderLease(lease, nothing)).toEqual(renderLease(lease));
});

test('a Lease that nobody wrote to yet is read as held by nobody; other things are none', () => {
  expect(parseLease({ metadata: { name: 'a', namespace: 'b' } })).toMatchObject({
    holder: '',
    transitions: 0,
  });
  expect(parseLease('x')).toBeUndefined();
  expect(parseLease({ metadata: {} })).toBeUndefined();
});
