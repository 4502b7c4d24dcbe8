import { describe, expect, test } from 'vitest';
import { egressIpName, formatAddress, makeAddress } from '../../../policy/address.ts';
import { makeCidr } from '../../../policy/cidr.ts';
import type { Address, Policy } from '../../../policy/model.ts';
import type { PodAction } from '../dataPlane.ts';
import type { EgressIp } from '../egressIp.ts';
import type { AgentView, LocalPod } from './agentView.ts';
import { type PodSelection, selectPods } from './selectPods.ts';

const POOL_FIRST = 0xcb007164n; // 203.0.113.100
const egress = (of: number): Address => makeAddress(4, POOL_FIRST + BigInt(of));
const nameOf = (of: number): string => formatAddress(egress(of));

const policy: Policy = {
  ref: { kind: 'EgressPolicy', name: 'p', uid: 'uid-p', createdAtMs: 1 },
  generation: 1,
  deleting: false,
  selectors: [{ pods: { requirements: [{ key: 'app', operator: 'Exists', values: [] }] } }],
  destinations: [makeCidr(4, 0n, 0)],
  excluded: [],
  pools: [
    { range: { family: 4, first: POOL_FIRST, last: POOL_FIRST + 15n }, shared: false, text: '', path: '' },
  ],
  strategy: 'Distribute',
  affinity: 'Pod',
  failureMode: 'Closed',
  returnPolicy: 'Stay',
  returnAfterMs: 0,
};

function egressIp(of: number, placed = true): EgressIp {
  const address = egress(of);
  return {
    name: egressIpName(address),
    uid: `${of}`,
    resourceVersion: '1',
    address,
    policies: [{ kind: 'EgressPolicy', name: 'p', uid: 'uid-p' }],
    epoch: 1,
    order: placed ? [{ gateway: `gw-${of}`, session: 1 }] : [],
    fence: [],
    blocksVersion: 1,
    blocks: [],
    resting: [],
  };
}

function podsOf(count: number): readonly LocalPod[] {
  return Array.from({ length: count }, (_, at) => ({
    namespace: 'default',
    name: `web-${at}`,
    labels: { app: 'web' },
    addresses: [makeAddress(4, 0x0a000000n + BigInt(at))],
  }));
}

/** The one action of each pod, by the pod's address. */
function actions(...args: Parameters<typeof select>): ReadonlyMap<string, PodAction | undefined> {
  return new Map(
    select(...args).pods.map(({ address, routes: [route] }) => [formatAddress(address), route?.action]),
  );
}

function select(
  egressIps: readonly EgressIp[],
  pods: readonly LocalPod[],
  change: Partial<Policy> = {},
): PodSelection {
  const view: AgentView = {
    node: 'self',
    self: { node: 'self', address: makeAddress(4, 1n), mac: '02:53:00:00:00:01' },
    nodes: new Map(),
    namespaces: new Map(),
    pods: new Map(pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod])),
    policies: new Map([['uid-p', { ...policy, ...change }]]),
    egressIps: new Map(egressIps.map((it) => [it.name, it])),
    gatewayNodes: new Map(),
    serviceCidrs: [],
  };
  return selectPods(view);
}

function chosen(action: PodAction | undefined): string {
  const [first, ...others] = action?.kind === 'egress' ? action.addresses : [];
  if (first === undefined || others.length > 0) throw new Error('not one address');
  return formatAddress(first);
}

const kept = (action: PodAction | undefined): readonly string[] | undefined =>
  action?.kind === 'egress' ? action.keeps?.map(formatAddress) : undefined;

describe('pods of one policy', () => {
  const PODS = podsOf(6_000);
  const choose = (of: readonly number[]): ReadonlyMap<string, string> =>
    new Map(
      [
        ...actions(
          of.map((it) => egressIp(it)),
          PODS,
        ),
      ].map(([pod, action]) => [pod, chosen(action)] as const),
    );

  test.each([2, 3, 4, 5, 6])(
    'are spread over %i addresses, each at its own gateway, within 10%% of even',
    (count) => {
      const all = Array.from({ length: count }, (_, at) => at);
      const counts = Map.groupBy(choose(all).values(), (it) => it);
      const even = PODS.length / count;
      expect(counts.size).toBe(count);
      for (const { length } of counts.values()) expect(Math.abs(length - even)).toBeLessThan(even / 10);
    },
  );

  test('move only from an address that goes, and only to one that comes', () => {
    const [three, four] = [choose([0, 1, 2]), choose([0, 1, 2, 3])];
    for (const [pod, address] of four) if (three.get(pod) !== address) expect(address).toBe(nameOf(3));
    const moved = [...four].filter(([pod, address]) => three.get(pod) !== address).length;
    expect(Math.abs(moved - PODS.length / 4)).toBeLessThan(PODS.length / 40);
  });

  test('choose the same in whatever order the addresses come', () => {
    expect(choose([3, 1, 0, 2])).toEqual(choose([0, 1, 2, 3]));
  });
});

describe('connections stay', () => {
  const one = podsOf(1);
  const only = (...args: Parameters<typeof actions>): PodAction | undefined =>
    [...actions(...args).values()][0];

  test('with each address that the policy still has, whatever their pod is given now', () => {
    for (const change of [{}, { strategy: 'Failover' }] as const) {
      const action = only(
        [0, 1, 2].map((it) => egressIp(it)),
        one,
        change,
      );
      expect(chosen(action)).toMatch(/^203/);
      expect(kept(action)).toEqual([0, 1, 2].map(nameOf));
    }
  });

  test('not with one that nobody may hold, nor with one of another policy', () => {
    const foreign = {
      ...egressIp(2),
      policies: [{ kind: 'EgressPolicy', name: 'q', uid: 'uid-q' } as const],
    };
    expect(kept(only([egressIp(0), egressIp(1, false), foreign], one))).toEqual([nameOf(0)]);
  });

  test.each([
    { failureMode: 'Closed', kind: 'refuse' },
    { failureMode: 'Open', kind: 'direct' },
  ] as const)('with none while there is no gateway: $failureMode', ({ failureMode, kind }) => {
    expect(only([egressIp(0, false)], one, { failureMode })).toEqual({ kind });
  });
});

describe('a pod whose address is not known yet', () => {
  const [placed, ...others] = podsOf(3);
  const coming = others.map((pod) => ({ ...pod, addresses: [] }));
  const pods = placed === undefined ? [] : [placed, ...coming];
  const everything = [{ family: 4, first: 0n, last: 0xffff_ffffn }];
  const closedTo = [makeCidr(4, 0n, 1), makeCidr(4, 0x8000_0000n, 2)];

  test('is awaited where its policy leads, in one range if it can be', () => {
    const { awaited, closed } = select([egressIp(0)], pods, { destinations: closedTo });
    const union = [{ family: 4, first: 0n, last: 0xbfff_ffffn }];
    expect({ awaited, closed }).toEqual({ awaited: union, closed: union });
  });

  test('is not awaited where nothing selects it, but somebody else might come', () => {
    const strangers = pods.map((pod) => ({ ...pod, labels: {} }));
    expect(select([egressIp(0)], strangers)).toMatchObject({ awaited: [], closed: everything });
  });

  test('is not awaited under a policy that lets its pods leave with the address of their node', () => {
    expect(select([egressIp(0)], pods, { failureMode: 'Open' })).toMatchObject({ awaited: [], closed: [] });
  });

  test('is awaited while no gateway is left, for it is refused then', () => {
    expect(select([egressIp(0, false)], pods)).toMatchObject({ awaited: everything });
  });

  test('has ports asked for already', () => {
    const { wanted, pods: plans } = select([egressIp(0)], coming);
    expect([...wanted]).toEqual([nameOf(0)]);
    expect(plans).toEqual([]);
  });

  test('is known with no routes where no policy selects it, before all that one selects', () => {
    const stranger = {
      ...podsOf(1)[0],
      namespace: 'default',
      name: 'zzz',
      labels: {},
      addresses: [makeAddress(4, 9n)],
    };
    const { pods: plans } = select([egressIp(0)], [...podsOf(1), stranger]);
    expect(plans.map(({ address, routes }) => [address.value, routes.length])).toEqual([
      [9n, 0],
      [0x0a000000n, 1],
    ]);
  });
});
