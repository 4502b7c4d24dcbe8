import { describe, expect, test } from 'vitest';
import { FINALIZER, GATEWAY_LABEL, ZONE_LABEL } from '../../../policy/names.ts';
import { refused } from '../../../policy/result.ts';
import { address, policyOf, World } from '../../../test/simulation/controllerWorld.ts';

const IP = '203.0.113.10';
/** A Lease's silence with the margin for clocks, and a few steps of the world. */
const DEATH_MS = 4000;

function worldWith(
  hosts: readonly number[] = [10],
  options: ConstructorParameters<typeof World>[0] = {},
): World {
  const world = new World(options);
  world.addGateway('gw-1', 'a');
  world.addGateway('gw-2', 'a');
  world.addGateway('gw-3', 'b');
  world.addPolicy(policyOf('p', hosts));
  world.start();
  return world;
}

function settled(world: World, name = IP): boolean {
  const object = world.egressIp(name);
  return (
    object?.status?.phase === 'Announced' &&
    object.status.gateway === object.egressIp.order[0]?.gateway &&
    object.egressIp.fence.length === 0
  );
}

function holderOf(world: World, name = IP): string {
  return world.egressIp(name)?.egressIp.order[0]?.gateway ?? '';
}

function condition(world: World, policy: string, type: string) {
  return world.policy(policy)?.status?.conditions.find((it) => it.type === type);
}

describe('a policy', () => {
  test('gets its address placed, announced, with standbys of the other zone first, and a status that says so', () => {
    const world = worldWith();
    expect(
      world.run(3000, () => settled(world) && condition(world, 'p', 'Available')?.status === 'True'),
    ).toBe(true);
    const [holder, standby] = world.egressIp(IP)?.egressIp.order ?? [];
    expect(world.answering(IP)).toEqual([holder?.gateway]);
    if (holder?.gateway !== 'gw-3') expect(standby?.gateway).toBe('gw-3');
    const status = world.policy('p')?.status;
    expect(status?.egress).toBe(`${IP}@${holder?.gateway}`);
    expect(status?.conditions.map(({ type, status: value, reason }) => [type, value, reason])).toEqual([
      ['Accepted', 'True', 'Accepted'],
      ['Programmed', 'True', 'Programmed'],
      ['Available', 'True', 'Redundant'],
    ]);
    expect(world.policy('p')?.finalizers).toEqual([FINALIZER]);
    expect(world.violations).toEqual([]);
  });

  test('once everything is said nothing is written any more', () => {
    const world = worldWith([10, 11, 12, 13]);
    world.run(5000);
    const before = world.written;
    world.run(60_000);
    expect(world.written).toBe(before);
    expect(world.violations).toEqual([]);
  });

  test('that does not parse is refused with what is wrong, once', () => {
    const world = worldWith();
    const violation = { code: 'schema', verdict: 'deny', path: 'spec.selectors', message: 'empty' } as const;
    world.addPolicy(policyOf('bad', [20]), { parsed: refused([violation]) });
    world.run(3000);
    expect(condition(world, 'bad', 'Accepted')).toMatchObject({ status: 'False', reason: 'Invalid' });
    expect(world.events.filter(({ reason }) => reason === 'Invalid')).toHaveLength(1);
    expect(world.egressIp('203.0.113.20')).toBeUndefined();
  });

  test('with one gateway says that there is no failover, with none that there is no gateway', () => {
    const world = new World();
    world.addGateway('gw-1');
    world.addPolicy(policyOf('p', [10]));
    world.start();
    world.run(3000);
    expect(condition(world, 'p', 'Available')).toMatchObject({ status: 'True', reason: 'SingleGateway' });
    world.kill('gw-1');
    world.run(2 * DEATH_MS);
    expect(condition(world, 'p', 'Available')).toMatchObject({ status: 'False', reason: 'NoGateway' });
    // All are unhealthy: the assignment stays.
    expect(holderOf(world)).toBe('gw-1');
    world.restart('gw-1');
    expect(world.run(3000, () => settled(world))).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('gets ports for the nodes that ask, which come back and rest when a node goes', () => {
    const world = worldWith([10], { quarantineMs: 60_000 });
    world.addWorker('w-1', [{ address: address(10), ports: 64 }], [{ policyUid: 'uid-p', pods: 3 }]);
    world.run(3000);
    const blocks = world.egressIp(IP)?.egressIp.blocks ?? [];
    expect(blocks).toMatchObject([{ node: 'w-1', first: 1024, last: 1535 }]);
    expect(world.policy('p')?.status?.selectedPods).toBe(3);
    const { epoch } = world.egressIp(IP)?.egressIp ?? {};
    world.removeNode('w-1');
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp).toMatchObject({
      blocks: [],
      resting: [{ first: 1024, last: 1535 }],
      epoch,
    });
    world.run(61_000);
    expect(world.egressIp(IP)?.egressIp.resting).toEqual([]);
  });
});

describe('an address moves', () => {
  test('when its gateway dies: only then, to a living one, with an event and its time', () => {
    const world = worldWith([10, 11, 12, 13, 14]);
    world.run(3000);
    const before = new Map(world.egressIps().map(({ egressIp }) => [egressIp.name, egressIp]));
    const dead = holderOf(world);
    world.kill(dead);
    const everySettled = () => [...before.keys()].every((name) => settled(world, name));
    expect(world.run(2 * DEATH_MS, () => holderOf(world) !== dead && everySettled())).toBe(true);
    for (const [name, { order, epoch }] of before) {
      const moved = order[0]?.gateway === dead;
      expect(world.egressIp(name)?.egressIp.epoch).toBe(moved ? epoch + 1 : epoch);
    }
    const count = [...before.values()].filter(({ order }) => order[0]?.gateway === dead).length;
    expect(world.moves.map(({ reason }) => reason)).toEqual(Array.from({ length: count }, () => 'died'));
    expect(world.events.map(({ reason }) => reason)).toEqual(Array.from({ length: count }, () => 'Moved'));
    const last = world.egressIp(IP)?.status?.lastFailover;
    expect(last).toMatchObject({ from: dead, to: holderOf(world), reason: 'died' });
    expect(last?.announcedAt).not.toBe('');
    expect(world.violations).toEqual([]);
  });

  test.each([
    {
      name: 'when its node is cordoned',
      change: (world: World, node: string) =>
        world.addNode(node, { [GATEWAY_LABEL]: '', [ZONE_LABEL]: 'a' }, true),
      reason: 'cordoned',
    },
    {
      name: "when its node's label is taken away",
      change: (world: World, node: string) => world.addNode(node, { [ZONE_LABEL]: 'a' }),
      reason: 'not-allowed',
    },
    {
      name: "when its node's label says false",
      change: (world: World, node: string) => world.addNode(node, { [GATEWAY_LABEL]: 'false' }),
      reason: 'not-allowed',
    },
    {
      name: 'when its data plane is not ready for longer than the grace',
      change: (world: World, node: string) => world.setReady(node, false),
      reason: 'not-ready',
    },
  ])('$name, and the old holder lets go first', ({ change, reason }) => {
    const world = worldWith();
    world.run(3000);
    const before = holderOf(world);
    change(world, before);
    expect(world.run(5000, () => settled(world) && holderOf(world) !== before)).toBe(true);
    expect(world.moves).toMatchObject([{ reason }]);
    expect(world.violations).toEqual([]);
  });

  test('to nobody while a data plane is not ready for a moment only', () => {
    const world = worldWith();
    world.run(3000);
    const before = holderOf(world);
    world.setReady(before, false);
    world.run(1000);
    world.setReady(before, true);
    world.run(5000);
    expect(holderOf(world)).toBe(before);
    expect(world.moves).toEqual([]);
  });

  test('nowhere when its agent restarts in time: the same gateway under its next session', () => {
    const world = worldWith();
    world.run(3000);
    const before = world.egressIp(IP)?.egressIp.order[0];
    world.restart(before?.gateway ?? '');
    expect(world.run(3000, () => settled(world) && world.moves.length > 0)).toBe(true);
    expect(world.egressIp(IP)?.egressIp.order[0]).toEqual({ gateway: before?.gateway, session: 2 });
    expect(world.moves).toMatchObject([{ reason: 'restarted' }]);
    expect(world.violations).toEqual([]);
  });

  test('nowhere while the API server is away, and after it only if its gateway stays silent', () => {
    const world = worldWith();
    world.run(3000);
    const holder = holderOf(world);
    world.setApiUp(false);
    world.run(30_000);
    world.setApiUp(true);
    world.run(10_000);
    expect(world.moves).toEqual([]);
    expect(world.egressIp(IP)?.egressIp.order[0]).toEqual({ gateway: holder, session: 1 });
    world.setApiUp(false);
    world.kill(holder);
    world.run(10_000);
    world.setApiUp(true);
    expect(world.run(2 * DEATH_MS, () => settled(world) && holderOf(world) !== holder)).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('to nobody when its holder is not allowed to hold it any more and there is no other', () => {
    const world = new World();
    world.addGateway('gw-1');
    world.addPolicy(policyOf('p', [10]));
    world.start();
    world.run(3000);
    world.addNode('gw-1', {});
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.order).toEqual([]);
    expect(world.egressIp(IP)?.status?.phase).toBe('Unplaced');
    expect(world.answering(IP)).toEqual([]);
  });

  test('nowhere when another controller takes over the lead', () => {
    const world = worldWith();
    world.run(3000);
    const before = world.egressIp(IP)?.egressIp;
    world.restartController();
    world.run(10_000);
    expect(world.egressIp(IP)?.egressIp).toMatchObject({ epoch: before?.epoch, order: before?.order });
    expect(world.violations).toEqual([]);
  });
});

describe('two policies that want one address', () => {
  test('the older is served alone; the other is told who won, and served once the first is gone', () => {
    const world = worldWith();
    world.addPolicy(policyOf('late', [10, 11], { createdAtMs: 2000 }));
    world.run(5000);
    expect(condition(world, 'late', 'Accepted')).toMatchObject({ status: 'False', reason: 'Conflicting' });
    expect(condition(world, 'late', 'Accepted')?.message).toContain('EgressPolicy p');
    expect(world.events.filter(({ reason }) => reason === 'Conflicting')).toHaveLength(1);
    expect(world.egressIp('203.0.113.11')).toBeUndefined();
    world.deletePolicy('p');
    expect(world.run(10_000, () => condition(world, 'late', 'Available')?.status === 'True')).toBe(true);
    expect(world.policy('p')).toBeUndefined();
    expect(world.egressIp(IP)?.egressIp.policies.map(({ name }) => name)).toEqual(['late']);
    expect(world.violations).toEqual([]);
  });

  test('an older one that appears later takes the address over, never both', () => {
    const world = worldWith();
    world.run(3000);
    world.addPolicy(policyOf('early', [10, 12], { createdAtMs: 10 }));
    expect(world.run(10_000, () => condition(world, 'early', 'Available')?.status === 'True')).toBe(true);
    expect(condition(world, 'p', 'Accepted')).toMatchObject({ status: 'False', reason: 'Conflicting' });
    expect(world.violations).toEqual([]);
  });

  test('the one that takes over is named nowhere, not even elsewhere, while the other is still named', () => {
    let refusing = false;
    const world = worldWith([10], { refuse: ({ kind }) => refusing && kind === 'replace-egress-ip' });
    world.run(3000);
    refusing = true;
    world.addPolicy(policyOf('early', [10, 12], { createdAtMs: 10 }));
    world.run(10_000);
    expect(world.egressIp('203.0.113.12')).toBeUndefined();
    refusing = false;
    expect(world.run(10_000, () => condition(world, 'early', 'Available')?.status === 'True')).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('the one that takes over waits for every address of the other, not only for those that both want', () => {
    let refusing = false;
    const world = worldWith([10, 13], {
      refuse: (effect) =>
        refusing && effect.kind === 'replace-egress-ip' && effect.egressIp.name === '203.0.113.13',
    });
    world.run(3000);
    refusing = true;
    world.addPolicy(policyOf('early', [10], { createdAtMs: 10 }));
    world.run(10_000);
    expect(world.egressIp(IP)?.egressIp.policies ?? []).toEqual([]);
    refusing = false;
    expect(world.run(10_000, () => condition(world, 'early', 'Available')?.status === 'True')).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('that come one after the other, before anything was answered, are not both named', () => {
    const world = worldWith([20]);
    world.addPolicy(policyOf('late', [10], { createdAtMs: 2000 }));
    world.addPolicy(policyOf('early', [10, 11], { createdAtMs: 10 }));
    expect(world.run(10_000, () => condition(world, 'early', 'Available')?.status === 'True')).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('the loser is told once, whatever else of it changes', () => {
    const world = worldWith();
    const late = policyOf('late', [10], { createdAtMs: 2000 });
    world.addPolicy(late);
    world.run(3000);
    world.addPolicy({ ...late, generation: 2 }, { status: world.policy('late')?.status });
    world.run(3000);
    expect(world.policy('late')?.status?.observedGeneration).toBe(2);
    expect(world.events.filter(({ reason }) => reason === 'Conflicting')).toHaveLength(1);
  });

  test('both are named where both say that they share it', () => {
    const world = new World();
    world.addGateway('gw-1');
    world.addPolicy(policyOf('a', [10], { shared: true }));
    world.addPolicy(policyOf('b', [10], { shared: true }));
    world.start();
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.policies.map(({ name }) => name)).toEqual(['a', 'b']);
    world.deletePolicy('a');
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.policies.map(({ name }) => name)).toEqual(['b']);
    expect(world.egressIp(IP)?.egressIp.epoch).toBe(1);
    expect(world.violations).toEqual([]);
  });
});

describe('a policy that is deleted', () => {
  test('goes once nobody answers for its addresses any more, and they go with it', () => {
    const world = worldWith([10, 11]);
    world.run(3000);
    world.deletePolicy('p');
    expect(world.run(5000, () => world.policy('p') === undefined)).toBe(true);
    expect(world.answering(IP)).toEqual([]);
    world.run(1000);
    expect(world.egressIps()).toEqual([]);
    expect(world.violations).toEqual([]);
  });

  test('waits for a gateway that is cut off until it is proven dead', () => {
    const world = worldWith();
    world.run(3000);
    world.kill(holderOf(world));
    world.deletePolicy('p');
    world.addPolicy(policyOf('next', [10], { createdAtMs: 2000 }));
    world.run(1500);
    expect(world.policy('p')?.deleting).toBe(true);
    expect(world.egressIp(IP)?.egressIp.policies).toEqual([]);
    expect(world.run(2 * DEATH_MS, () => world.policy('p') === undefined)).toBe(true);
    expect(world.run(5000, () => settled(world))).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test("leaves its address's ports to rest, and a new policy goes on above the old epoch", () => {
    const world = worldWith([10], { quarantineMs: 30_000 });
    world.addWorker('w-1', [{ address: address(10), ports: 64 }]);
    world.run(3000);
    const { epoch = 0 } = world.egressIp(IP)?.egressIp ?? {};
    world.deletePolicy('p');
    world.run(5000);
    expect(world.policy('p')).toBeUndefined();
    expect(world.egressIp(IP)?.egressIp).toMatchObject({
      policies: [],
      order: [],
      resting: [{ first: 1024, last: 1535 }],
    });
    world.addPolicy(policyOf('next', [10]));
    expect(world.run(5000, () => settled(world))).toBe(true);
    expect(world.egressIp(IP)?.egressIp.epoch).toBeGreaterThan(epoch);
    expect(world.egressIp(IP)?.egressIp.blocks[0]?.first).toBe(1536);
    expect(world.violations).toEqual([]);
  });
});
