/** What decisions make of thousands of objects that nobody needs. test/contract/garbage.test.ts has the real API server. */
import { expect, test } from 'vitest';
import { makeAddress } from '../../../policy/address.ts';
import { FINALIZER } from '../../../policy/names.ts';
import { ok } from '../../../policy/result.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import { policyOf, STEP_MS, World } from '../../../test/simulation/controllerWorld.ts';
import type { EgressIp } from '../egressIp.ts';
import type { ControllerView, PolicyObject } from './controllerView.ts';
import { planPolicies } from './planPolicies.ts';

const YEAR_MS = 365 * 86_400_000;

function foreign(at: number, change: Partial<EgressIp> = {}): EgressIp {
  const name = `10.0.${at >> 8}.${at & 255}`;
  return {
    name,
    uid: name,
    resourceVersion: '1',
    address: makeAddress(4, 0x0a000000n + BigInt(at)),
    policies: [],
    epoch: 1,
    order: [],
    fence: [],
    blocksVersion: 0,
    blocks: [],
    resting: [],
    ...change,
  };
}

function worldWith(...policies: Parameters<World['addPolicy']>[0][]): World {
  const world = new World();
  for (const name of ['gw-1', 'gw-2']) world.addGateway(name);
  for (const policy of policies) world.addPolicy(policy);
  return world;
}

const available = (world: World, name: string): boolean =>
  world.policy(name)?.status?.conditions.find(({ type }) => type === 'Available')?.status === 'True';

test('more blocks rest than a call has room for as its arguments', () => {
  const world = worldWith(policyOf('p', [10]));
  const untilMs = Date.now() + YEAR_MS;
  const resting = Array.from({ length: 1008 }, (_, at) => ({
    first: 1024 + 64 * at,
    last: 1087 + 64 * at,
    untilMs,
  }));
  for (let at = 0; at < 150; at += 1) {
    const egressIp = foreign(at, { resting });
    world.objects.set(`egressIps/${egressIp.name}`, { egressIp, status: undefined });
  }
  world.start();
  expect(world.run(3000, () => available(world, 'p'))).toBe(true);
});

test('what gateways can serve is written before hundreds that none can', () => {
  const unserved = Array.from({ length: 300 }, (_, at) =>
    policyOf(`u-${at}`, [-1 - at], { createdAtMs: at }),
  );
  const world = worldWith(...unserved, policyOf('served', [10], { createdAtMs: 5000 }));
  world.start();
  // Asked for in one step, written in the next.
  world.run(2 * STEP_MS);
  expect(world.egressIp('203.0.113.10')?.egressIp.order).toHaveLength(2);
});

test('the report of a node that does not exist takes no gateway away, and no address', () => {
  const world = worldWith(policyOf('p', [10]));
  const impossible = { state: 'Answering', epoch: Number.MAX_SAFE_INTEGER, index: 0, session: 3 } as const;
  world.objects.set('gatewayNodes/ghost', {
    ...emptyGatewayNode('ghost'),
    dead: ['gw-1', 'gw-2'].map((gateway) => ({ gateway, session: Number.MAX_SAFE_INTEGER })),
    addresses: [{ address: makeAddress(4, 0xcb00710an), ...impossible, blocksVersion: 0 }],
  });
  world.start();
  expect(world.run(3000, () => available(world, 'p'))).toBe(true);
  expect(world.egressIp('203.0.113.10')?.egressIp.epoch).toBeLessThan(2 ** 45);
});

test('thousands of policies are let go by one look at each EgressIP', () => {
  let looks = 0;
  const egressIps = Array.from({ length: 2000 }, (_, at) => {
    const egressIp = foreign(at, { fence: [{ gateway: 'ghost', session: 1 }] });
    Object.defineProperty(egressIp, 'policies', {
      get: () => {
        looks += 1;
        return [];
      },
    });
    return egressIp;
  });
  const deleted = Array.from({ length: 1000 }, (_, at): PolicyObject => {
    // Every second one had an address that somebody may still answer for.
    const host = at % 2 === 0 ? at : 0x0a000000 + at - 0xcb007100;
    const policy = policyOf(`p-${at}`, [host]);
    return {
      ...policy.ref,
      resourceVersion: '1',
      generation: 1,
      deleting: true,
      finalizers: [FINALIZER],
      parsed: ok(policy),
      status: undefined,
    };
  });
  const view = {
    policies: deleted,
    gatewayNodes: new Map(),
    egressIps: new Map(egressIps.map((egressIp) => [egressIp.name, { egressIp, status: undefined }])),
    asked: new Map(),
  } as unknown as ControllerView;
  const writes = planPolicies({
    view,
    verdicts: new Map(),
    plans: [],
    statuses: new Map(),
    uneven: new Set(),
    wallMs: 0,
  });
  const freed = writes.filter(({ write }) => write.kind === 'write-finalizers').map(({ uid }) => uid);
  expect(freed).toEqual(deleted.filter((_, at) => at % 2 === 0).map(({ uid }) => uid));
  expect(looks).toBeLessThan(10 * egressIps.length);
});
