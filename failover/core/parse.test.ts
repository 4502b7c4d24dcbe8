import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAddress } from '../../policy/address.ts';
import { parseEgressIp } from './parseEgressIp.ts';
import { parseGatewayNode } from './parseGatewayNode.ts';

const egressIp = {
  metadata: { name: '203.0.113.10', uid: 'u', resourceVersion: '7' },
  spec: {
    address: '203.0.113.10',
    policies: [{ kind: 'EgressPolicy', name: 'p', uid: 'uid-p' }],
    epoch: 3,
    order: [{ gateway: 'gw-1', session: 5 }],
    fence: [],
    blocksVersion: 2,
    blocks: [{ node: 'w-1', first: 1024, last: 1535, version: 1 }],
    resting: [{ first: 1536, last: 1599, until: '1970-01-01T00:01:00Z' }],
  },
};

describe('an EgressIP', () => {
  test('is read whole', () => {
    expect(parseEgressIp(egressIp)).toMatchObject({
      name: '203.0.113.10',
      epoch: 3,
      order: [{ gateway: 'gw-1', session: 5 }],
      blocks: [{ node: 'w-1', first: 1024, last: 1535, version: 1 }],
      resting: [{ first: 1536, last: 1599, untilMs: 60_000 }],
    });
  });

  test.each([
    { name: 'under another name', change: { metadata: { name: '203.0.113.11' } } },
    {
      name: 'with an address that is no address',
      change: { spec: { ...egressIp.spec, address: '203.0.113.010' } },
    },
    {
      name: 'with an epoch that has no next one',
      change: { spec: { ...egressIp.spec, epoch: Number.MAX_SAFE_INTEGER } },
    },
    {
      name: 'with blocks of a version that has no next one',
      change: { spec: { ...egressIp.spec, blocksVersion: Number.MAX_SAFE_INTEGER } },
    },
    { name: 'with a negative epoch', change: { spec: { ...egressIp.spec, epoch: -1 } } },
    {
      name: 'with a session that is no number',
      change: { spec: { ...egressIp.spec, order: [{ gateway: 'a', session: 'b' }] } },
    },
    {
      name: 'with ports from high to low',
      change: { spec: { ...egressIp.spec, blocks: [{ node: 'a', first: 9, last: 8, version: 1 }] } },
    },
    {
      name: 'with an owner of an unknown kind',
      change: { spec: { ...egressIp.spec, policies: [{ kind: 'X', name: 'a', uid: 'b' }] } },
    },
  ])('$name is none', ({ change }) => {
    expect(parseEgressIp({ ...egressIp, ...change })).toBeUndefined();
  });
});

describe('a GatewayNode', () => {
  test('is read whole, and what cannot be read in it is left out', () => {
    const node = parseGatewayNode({
      metadata: { name: 'gw-1' },
      status: {
        session: 5,
        underlay: { address: '203.0.113.11', interfaceName: 'eth0', tunnelMac: '02:53:cb:00:71:0b' },
        interfaces: [{ name: 'eth0', addresses: ['203.0.113.11/24', 'nonsense'] }],
        onLink: [{ cidr: '203.0.113.0/24', interfaceName: 'eth0' }],
        conditions: [
          { type: 'DataPlaneReady', status: 'True', message: '' },
          { type: 'Healthy', status: 'False', reason: 'NoCarrier', message: 'eth0: no carrier' },
        ],
        addresses: [
          { address: '203.0.113.10', state: 'Answering', epoch: 3, index: 1, session: 5, blocksVersion: 2 },
          {
            ...{ address: '203.0.113.11', state: 'Standby', epoch: 3, session: 5, blocksVersion: 2 },
            lost: { epoch: 4, sessions: [{ gateway: 'gw-2', session: 3 }, 'nonsense'] },
          },
          { address: '203.0.113.12', state: 'Sleeping', epoch: 3, session: 5, blocksVersion: 2 },
        ],
        dead: [{ gateway: 'gw-2', session: 3 }, { gateway: 'gw-3' }, 'nonsense'],
        voterConfigVersion: 7,
        voterSets: [['gw-1'], 'nonsense', ['gw-2', 5]],
        peerKeys: [1, 'nonsense', 2, 0, 1.5, 1_000_000_000],
        peerSigningKey: 2,
        demand: [{ address: '203.0.113.10', ports: 64 }],
        selected: [{ policyUid: 'uid-p', pods: 2 }],
      },
    });
    expect(node).toMatchObject({
      name: 'gw-1',
      session: 5,
      dataPlaneReady: true,
      healthy: false,
      healthMessage: 'eth0: no carrier',
      dead: [{ gateway: 'gw-2', session: 3 }],
      voterConfig: { version: 7, sets: [['gw-1'], [], ['gw-2']] },
      peerKeys: { accepted: [1, 2], signing: 2 },
      selected: [{ policyUid: 'uid-p', pods: 2 }],
    });
    expect(
      node?.addresses.map(({ address, state, index }) => `${formatAddress(address)} ${state} ${index}`),
    ).toEqual(['203.0.113.10 Answering 1', '203.0.113.11 Standby 0']);
    expect(node?.addresses.map(({ lost }) => lost)).toEqual([
      undefined,
      { epoch: 4, sessions: [{ gateway: 'gw-2', session: 3 }] },
    ]);
    expect(node?.interfaces[0]?.addresses.map(({ prefix }) => prefix)).toEqual([24]);
  });

  test.each([
    { name: 'that says so', conditions: [{ type: 'Healthy', status: 'True', message: 'fine' }] },
    {
      name: 'that does not know',
      conditions: [{ type: 'Healthy', status: 'Unknown', message: 'who knows' }],
    },
    { name: 'that says nothing of it', conditions: [{ type: 'DataPlaneReady', status: 'True' }] },
    { name: 'that nobody can read', conditions: 'nonsense' },
  ])('$name is healthy', ({ conditions }) => {
    const node = parseGatewayNode({ metadata: { name: 'gw-1' }, status: { conditions } });
    expect(node).toMatchObject({ healthy: true, healthMessage: '' });
  });

  test('that said nothing yet is not ready', () => {
    expect(parseGatewayNode({ metadata: { name: 'gw-1' } })).toMatchObject({
      session: 0,
      dataPlaneReady: false,
      addresses: [],
      dead: [],
      voterConfig: { version: 0, sets: [] },
    });
  });
});

test('no object makes either parser throw', () => {
  fc.assert(
    fc.property(fc.anything(), fc.anything(), (a, b) => {
      parseEgressIp({ ...egressIp, spec: { ...egressIp.spec, order: a, blocks: b } });
      parseGatewayNode({
        metadata: { name: 'n' },
        status: {
          addresses: a,
          interfaces: b,
          underlay: a,
          conditions: b,
          dead: a,
          voterConfigVersion: b,
          voterSets: a,
          peerKeys: a,
          peerSigningKey: b,
        },
      });
    }),
  );
});
