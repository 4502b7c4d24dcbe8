import { describe, expect, test } from 'vitest';
import type { EgressIpStatus, PolicyStatus } from './controllerView.ts';
import { parseEgressIpObject, parsePolicyObject } from './parseObjects.ts';
import { renderEgressIpStatus, renderPolicyStatus } from './renderStatus.ts';

const egressIp = { metadata: { name: '203.0.113.10' }, spec: { address: '203.0.113.10', epoch: 1 } };

describe('a status that was written reads back as it was, so it is not written again', () => {
  const moved: EgressIpStatus = {
    gateway: 'gw-2',
    standbys: ['gw-3', 'gw-1'],
    phase: 'Announced',
    since: '2026-01-01T00:00:00Z',
    message: 'gw-2 answers',
    lastFailover: {
      from: 'gw-1',
      to: 'gw-2',
      reason: 'died',
      detectedAt: '2026-01-01T00:00:00.001Z',
      assignedAt: '2026-01-01T00:00:00.010Z',
      announcedAt: '',
    },
  };
  test.each([
    { name: 'of an address that moved', status: moved },
    {
      name: 'of one that nobody holds',
      status: { ...moved, gateway: '', standbys: [], lastFailover: undefined },
    },
  ])('$name', ({ status }) => {
    const wire = { ...egressIp, status: JSON.parse(JSON.stringify(renderEgressIpStatus(status))) };
    expect(JSON.stringify(parseEgressIpObject(wire)?.status)).toBe(JSON.stringify(status));
  });

  test('of a policy', () => {
    const status: PolicyStatus = {
      observedGeneration: 3,
      conditions: [
        {
          type: 'Accepted',
          status: 'True',
          reason: 'Accepted',
          message: 'its own',
          observedGeneration: 3,
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
      addresses: [{ address: '203.0.113.10', gateway: '', standbys: [], since: '2026-01-01T00:00:00Z' }],
      egress: '203.0.113.10',
      selectedPods: 0,
      rebalanced: '2024-02-29',
    };
    const wire = {
      metadata: { name: 'p', uid: 'u' },
      status: JSON.parse(JSON.stringify(renderPolicyStatus(status))),
    };
    expect(JSON.stringify(parsePolicyObject(wire, 'EgressPolicy')?.status)).toBe(JSON.stringify(status));
  });
});

test('names for kubectl stand in one line, and nothing empty is written', () => {
  const status: EgressIpStatus = {
    gateway: '',
    standbys: ['gw-3', 'gw-1'],
    phase: 'Pending',
    since: '2026-01-01T00:00:00Z',
    message: 'x',
    lastFailover: undefined,
  };
  expect(renderEgressIpStatus(status)).toEqual({
    standbys: ['gw-3', 'gw-1'],
    standbyNames: 'gw-3,gw-1',
    phase: 'Pending',
    since: '2026-01-01T00:00:00Z',
    message: 'x',
  });
});

test('a policy that does not parse is kept with what is wrong; its finalizers and deletion are seen', () => {
  const object = parsePolicyObject(
    {
      metadata: { name: 'p', uid: 'u', finalizers: ['a'], deletionTimestamp: '2026-01-01T00:00:00Z' },
      spec: { nonsense: 1 },
    },
    'EgressPolicy',
  );
  expect(object).toMatchObject({ name: 'p', deleting: true, finalizers: ['a'], parsed: { kind: 'refused' } });
  expect(parsePolicyObject({ metadata: { name: 'p' } }, 'EgressPolicy')).toBeUndefined();
});

test('an EgressIP without a readable right is none', () => {
  expect(parseEgressIpObject({ ...egressIp, spec: { address: 'x', epoch: 1 } })).toBeUndefined();
  expect(parseEgressIpObject(egressIp)?.status).toBeUndefined();
});
