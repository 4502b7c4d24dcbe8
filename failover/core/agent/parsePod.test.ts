import { expect, test } from 'vitest';
import { formatAddress } from '../../../policy/address.ts';
import { parsePod } from './parsePod.ts';

const metadata = { namespace: 'default', name: 'a', labels: { app: 'a' } };

test('a running pod with its addresses', () => {
  const pod = parsePod({
    metadata,
    spec: {},
    status: { phase: 'Running', podIPs: [{ ip: '10.244.1.5' }, { ip: 'fd00::5' }] },
  });
  expect(pod).toMatchObject({ namespace: 'default', name: 'a', labels: { app: 'a' } });
  expect(pod?.addresses.map(formatAddress)).toEqual(['10.244.1.5', 'fd00::5']);
});

test.each([
  { name: 'on the host network', spec: { hostNetwork: true }, status: { phase: 'Running' } },
  { name: 'succeeded', spec: {}, status: { phase: 'Succeeded' } },
  { name: 'failed', spec: {}, status: { phase: 'Failed' } },
])('a pod that is $name has no egress', ({ spec, status }) => {
  expect(parsePod({ metadata, spec, status })).toBeUndefined();
});

test('a pod without an address yet is known already', () => {
  expect(parsePod({ metadata, spec: {}, status: { phase: 'Pending' } })?.addresses).toEqual([]);
});
