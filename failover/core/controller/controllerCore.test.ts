import { describe, expect, test } from 'vitest';
import { egressIpName, formatAddress, makeAddress } from '../../../policy/address.ts';
import { FINALIZER, GATEWAY_LABEL, ZONE_LABEL } from '../../../policy/names.ts';
import { refused } from '../../../policy/result.ts';
import { LEASE_MS, SESSION_MS, VERDICT_MS } from '../../../test/simulation/controllerGateways.ts';
import {
  address,
  policyOf,
  STEP_MS,
  VOTER_SETTLE_MS,
  World,
} from '../../../test/simulation/controllerWorld.ts';
import { LINGER_MS } from './linger.ts';

const IP = '203.0.113.10';
/** Until a standby answers for a gateway that died: the voters' verdict, and two steps of the world to act on it. */
const TAKEOVER_MS = VERDICT_MS + 2 * STEP_MS;

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

  test('gets an IPv6 address placed as an IPv4 one, under a name without colons', () => {
    const six = makeAddress(6, (0x20010db8n << 96n) | 0x100n);
    const [text, name] = [formatAddress(six), egressIpName(six)];
    const world = worldWith([10], {});
    const [four] = policyOf('q', [11]).pools;
    const pool = {
      range: { family: 6, first: six.value, last: six.value },
      shared: false,
      text,
      path: '',
    } as const;
    world.addPolicy(policyOf('q', [11], { pools: four === undefined ? [pool] : [four, pool] }));
    const available = (): boolean => condition(world, 'q', 'Available')?.reason === 'Redundant';
    expect(world.run(3000, () => settled(world, name) && available())).toBe(true);
    expect(world.answering(text)).toEqual([holderOf(world, name)]);
    expect(world.egressIp(name)?.egressIp.order).toHaveLength(3);
    expect(world.policy('q')?.status?.addresses.map(({ address: it }) => it)).toEqual(['203.0.113.11', text]);
    world.kill(holderOf(world, name));
    const before = holderOf(world, name);
    expect(
      world.run(TAKEOVER_MS + 3000, () => settled(world, name) && holderOf(world, name) !== before),
    ).toBe(true);
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
    const assigned = world.egressIp(IP)?.egressIp;
    world.kill('gw-1');
    world.run(LEASE_MS + 2000);
    expect(condition(world, 'p', 'Available')).toMatchObject({ status: 'False', reason: 'NoGateway' });
    expect(world.egressIp(IP)?.status?.gateway).toBe('');
    // All are unhealthy: the assignment stays.
    expect(world.egressIp(IP)?.egressIp).toMatchObject({ epoch: assigned?.epoch, order: assigned?.order });
    world.restart('gw-1');
    expect(world.run(3000, () => settled(world))).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('is programmed once nodes with its pods have it in their kernel, as far as they are ready and say so', () => {
    const world = worldWith();
    const said = (name: string, generation?: number): void =>
      world.addWorker(
        name,
        [],
        [{ policyUid: 'uid-p', pods: 2, ...(generation === undefined ? {} : { generation }) }],
      );
    const programmed = () => {
      world.run(1000);
      return condition(world, 'p', 'Programmed');
    };
    said('w-1', 0);
    said('w-2', 1);
    said('w-3');
    expect(programmed()).toMatchObject({ status: 'False', reason: 'InProgress' });
    expect(programmed()?.message).toContain('w-1');
    expect(programmed()?.message).not.toMatch(/w-2|w-3/);
    said('w-1', 1);
    expect(programmed()).toMatchObject({ status: 'True' });
    world.addPolicy({ ...policyOf('p', [10]), generation: 2 });
    expect(programmed()?.message).toMatch(/w-1, w-2$/);
    said('w-1', 2);
    world.addNode('w-2', {}, { ready: false });
    expect(programmed()).toMatchObject({ status: 'True' });
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
    const everything = [{ address: address(10), ports: 64_512 }];
    world.addWorker('w-2', everything);
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.blocks).toMatchObject([{ node: 'w-2', first: 1536, last: 65_535 }]);
    world.run(61_000);
    world.addWorker('w-3', [{ address: address(10), ports: 64 }]);
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.blocks).toMatchObject([
      { node: 'w-2', first: 1536 },
      { node: 'w-3', first: 1024, last: 1535 },
    ]);
    expect(world.egressIp(IP)?.egressIp.resting).toEqual([]);
  });
});

describe('an address moves', () => {
  test('when its gateway dies: only then, to a living one, with an event and its time', () => {
    const world = worldWith([10, 11, 12, 13, 14]);
    world.run(3000);
    const before = new Map(world.egressIps().map(({ egressIp }) => [egressIp.name, egressIp]));
    const dead = holderOf(world);
    const staying = [...before.values()].filter(({ order }) => order[0]?.gateway !== dead);
    expect(staying).not.toHaveLength(0);
    world.kill(dead);
    const strayed = () =>
      staying.some(({ name, order }) => `${world.answering(name)}` !== `${order[0]?.gateway}`);
    const everySettled = () => [...before.keys()].every((name) => settled(world, name));
    // The dead gateway is a standby of the others, so theirs are new assignments too, to those who answer already.
    const assigned = () =>
      [...before].every(([name, { epoch }]) => world.egressIp(name)?.egressIp.epoch === epoch + 1);
    let wasStrayed = false;
    const done = world.run(3000, () => {
      wasStrayed ||= strayed();
      return assigned() && everySettled();
    });
    expect([done, wasStrayed]).toEqual([true, false]);
    world.run(5000);
    expect([assigned(), strayed()]).toEqual([true, false]);
    for (const { egressIp } of world.egressIps())
      expect(egressIp.order.map(({ gateway }) => gateway)).not.toContain(dead);
    const count = before.size - staying.length;
    expect(world.moves.map(({ reason }) => reason)).toEqual(Array.from({ length: count }, () => 'died'));
    expect(world.events.map(({ reason }) => reason)).toEqual(Array.from({ length: count }, () => 'Moved'));
    const last = world.egressIp(IP)?.status?.lastFailover;
    expect(last).toMatchObject({ from: dead, to: holderOf(world), reason: 'died' });
    expect(last?.announcedAt).not.toBe('');
    expect(world.violations).toEqual([]);
  });

  test('to the standby that took over without being asked: the controller only follows', () => {
    const world = worldWith();
    world.run(3000);
    const before = world.egressIp(IP)?.egressIp;
    const [holder, standby, last] = before?.order ?? [];
    world.setApiUp(false);
    world.kill(holder?.gateway ?? '');
    expect(world.run(TAKEOVER_MS, () => `${world.answering(IP)}` === standby?.gateway)).toBe(true);
    world.run(10_000);
    expect(world.egressIp(IP)?.egressIp).toEqual(before);
    world.setApiUp(true);
    let answered = true;
    const followed = world.run(2000, () => {
      answered &&= `${world.answering(IP)}` === standby?.gateway;
      return world.egressIp(IP)?.egressIp.epoch !== before?.epoch && settled(world);
    });
    expect([followed, answered]).toEqual([true, true]);
    expect(world.egressIp(IP)?.egressIp).toMatchObject({
      epoch: (before?.epoch ?? 0) + 1,
      order: [standby, last],
    });
    expect(world.moves).toMatchObject([{ reason: 'died' }]);
    expect(world.violations).toEqual([]);
  });

  test('down the order as one gateway after the other dies, all of it without the API server', () => {
    const world = worldWith();
    world.run(3000);
    const order = world.egressIp(IP)?.egressIp.order ?? [];
    world.setApiUp(false);
    for (const [index, { gateway }] of order.entries()) {
      expect(world.answering(IP)).toEqual([gateway]);
      world.kill(gateway);
      const next = order[index + 1]?.gateway ?? '';
      expect(world.run(TAKEOVER_MS, () => `${world.answering(IP)}` === next)).toBe(true);
    }
    expect(world.violations).toEqual([]);
  });

  test.each([
    {
      name: 'when its node is cordoned',
      change: (world: World, node: string) =>
        world.addNode(node, { [GATEWAY_LABEL]: '', [ZONE_LABEL]: 'a' }, { unschedulable: true }),
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

  test('to its standby when its agent ends and starts again at once: the session that it had is closed', () => {
    const world = worldWith();
    world.run(3000);
    const [before, standby] = world.egressIp(IP)?.egressIp.order ?? [];
    world.restart(before?.gateway ?? '');
    expect(world.run(3000, () => settled(world) && world.moves.length > 0)).toBe(true);
    expect(world.egressIp(IP)?.egressIp.order[0]).toEqual(standby);
    expect(world.moves).toMatchObject([{ reason: 'closed' }]);
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.order).toContainEqual({ gateway: before?.gateway, session: 2 });
    expect(world.violations).toEqual([]);
  });

  test('nowhere when its agent restarts and there is no other gateway', () => {
    const world = new World();
    world.addGateway('gw-1');
    world.addPolicy(policyOf('p', [10]));
    world.start();
    world.run(3000);
    world.restart('gw-1');
    expect(world.run(3000, () => settled(world) && world.moves.length > 0)).toBe(true);
    expect(world.egressIp(IP)?.egressIp.order).toEqual([{ gateway: 'gw-1', session: 2 }]);
    expect(world.moves).toMatchObject([{ reason: 'restarted' }]);
    expect(world.violations).toEqual([]);
  });

  test('when its agent is told to end: it hands over, and that is no death', () => {
    const world = worldWith();
    world.run(3000);
    const [before] = world.egressIp(IP)?.egressIp.order ?? [];
    world.close(before?.gateway ?? '');
    const toOther = () =>
      world.answering(IP).length > 0 && !world.answering(IP).includes(`${before?.gateway}`);
    // Long before its silence would have been a verdict.
    expect(world.run(VERDICT_MS, toOther)).toBe(true);
    expect(world.run(3000, () => settled(world))).toBe(true);
    expect(holderOf(world)).not.toBe(before?.gateway);
    expect(world.moves).toMatchObject([{ reason: 'closed' }]);
    expect(world.violations).toEqual([]);
  });

  test('nowhere when its gateway stands still for less than the verdict takes, under the same session', () => {
    const world = worldWith();
    world.run(3000);
    const before = world.egressIp(IP)?.egressIp;
    world.kill(holderOf(world));
    world.run(VERDICT_MS - 2 * STEP_MS);
    // The dead-man switch does not wait for the verdict.
    expect(world.answering(IP)).toEqual([]);
    world.thaw(holderOf(world));
    world.run(5000);
    expect(world.egressIp(IP)?.egressIp).toEqual(before);
    expect(world.answering(IP)).toEqual([before?.order[0]?.gateway]);
    expect(world.violations).toEqual([]);
  });

  test('away from a gateway that stood still for longer; what it wakes up with is void', () => {
    const world = worldWith();
    world.run(3000);
    const before = holderOf(world);
    world.kill(before);
    world.run(5000);
    const after = world.egressIp(IP)?.egressIp;
    world.thaw(before);
    expect(world.run(3000, () => world.answering(IP).includes(before))).toBe(false);
    expect(holderOf(world)).toBe(after?.order[0]?.gateway);
    expect(world.egressIp(IP)?.egressIp.order).toContainEqual({ gateway: before, session: 2 });
    expect(world.moves).toMatchObject([{ reason: 'died' }]);
    expect(world.violations).toEqual([]);
  });

  test('nowhere while the API server is away, and after it only from a gateway that died meanwhile', () => {
    const world = worldWith();
    world.run(3000);
    const before = world.egressIp(IP)?.egressIp;
    const holder = holderOf(world);
    world.setApiUp(false);
    world.run(30_000);
    world.setApiUp(true);
    world.run(10_000);
    expect(world.moves).toEqual([]);
    expect(world.egressIp(IP)?.egressIp).toEqual(before);
    world.setApiUp(false);
    world.kill(holder);
    world.run(10_000);
    world.setApiUp(true);
    expect(world.run(3000, () => settled(world) && holderOf(world) !== holder)).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('from a gateway that only the API server hears nothing of: asked by its successor, not taken', () => {
    const world = worldWith();
    world.run(3000);
    const [before] = world.egressIp(IP)?.egressIp.order ?? [];
    const [holder = '', epoch = 0] = [before?.gateway, world.egressIp(IP)?.egressIp.epoch];
    world.setConnected(holder, false);
    // Its silence towards the API server is no death: it answers until the Lease has run out and it was asked.
    world.run(LEASE_MS - 10 * STEP_MS);
    expect(world.answering(IP)).toEqual([holder]);
    expect(world.egressIp(IP)?.egressIp.epoch).toBe(epoch);
    const isElsewhere = () =>
      holderOf(world) !== holder && world.egressIp(IP)?.status?.gateway === holderOf(world);
    expect(world.run(3000, isElsewhere)).toBe(true);
    expect(world.answering(IP)).toEqual([holderOf(world)]);
    expect(world.moves).toMatchObject([{ reason: 'silent' }]);
    world.run(10_000);
    expect(world.egressIp(IP)?.egressIp.order.map(({ gateway }) => gateway)).not.toContain(holder);
    world.setConnected(holder, true);
    world.run(3000);
    // The same session: it never ended.
    expect(world.egressIp(IP)?.egressIp.order.at(-1)).toEqual(before);
    expect(world.moves).toHaveLength(1);
    expect(world.violations).toEqual([]);
  });

  test('nowhere while nobody hears of any gateway but they answer: nothing is proven, and nothing is claimed', () => {
    const world = new World();
    world.addGateway('gw-1');
    world.addPolicy(policyOf('p', [10]));
    world.start();
    world.run(3000);
    const before = world.egressIp(IP)?.egressIp;
    world.setConnected('gw-1', false);
    world.run(20_000);
    expect(world.answering(IP)).toEqual(['gw-1']);
    expect(world.egressIp(IP)?.egressIp).toMatchObject({ epoch: before?.epoch, order: before?.order });
    expect(condition(world, 'p', 'Available')).toMatchObject({ status: 'False', reason: 'NoGateway' });
    world.setConnected('gw-1', true);
    expect(world.run(2000, () => condition(world, 'p', 'Available')?.status === 'True')).toBe(true);
    expect(world.egressIp(IP)?.egressIp.epoch).toBe(before?.epoch);
    expect(world.moves).toEqual([]);
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

  test('nowhere when a gateway joins: the order grows at its end, as the same assignment, up to three standbys', () => {
    const world = worldWith();
    world.run(3000);
    const before = world.egressIp(IP)?.egressIp;
    // A zone of its own: a new order would have it before the others.
    world.addGateway('gw-4', 'c');
    world.run(3000);
    const grown = {
      epoch: before?.epoch,
      order: [...(before?.order ?? []), { gateway: 'gw-4', session: 1 }],
    };
    expect(world.egressIp(IP)?.egressIp).toMatchObject(grown);
    world.addGateway('gw-5', 'd');
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp).toMatchObject(grown);
    expect(settled(world)).toBe(true);
    expect(world.moves).toEqual([]);
  });

  test('nowhere when a standby dies: a new assignment for who answers already, and no gap', () => {
    const world = worldWith();
    world.run(3000);
    const { epoch = 0, order = [] } = world.egressIp(IP)?.egressIp ?? {};
    const [holder, standby, last] = order;
    world.kill(standby?.gateway ?? '');
    let answered = true;
    world.run(5000, () => {
      answered &&= `${world.answering(IP)}` === holder?.gateway;
      return false;
    });
    expect(answered).toBe(true);
    expect(world.egressIp(IP)?.egressIp).toMatchObject({
      epoch: epoch + 1,
      order: [holder, last],
      fence: [],
    });
    expect([world.moves, world.events]).toEqual([[], []]);
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
    const served = () => settled(world) && condition(world, 'late', 'Available')?.status === 'True';
    expect(world.run(10_000, () => world.policy('p') === undefined && served())).toBe(true);
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

  test('the loser is told again when it loses to another', () => {
    const world = worldWith();
    world.addPolicy(policyOf('late', [10], { createdAtMs: 2000 }));
    world.addPolicy(policyOf('latest', [10], { createdAtMs: 3000 }));
    world.run(3000);
    world.deletePolicy('p');
    expect(world.run(10_000, () => condition(world, 'late', 'Accepted')?.status === 'True')).toBe(true);
    world.run(3000);
    const told = world.events.filter(
      ({ reason, regarding }) => reason === 'Conflicting' && regarding.name === 'latest',
    );
    expect(told.map(({ message }) => /EgressPolicy (\w+),/.exec(message)?.[1])).toEqual(['p', 'late']);
  });

  test('both are named where both say that they share it', () => {
    const world = new World();
    world.addGateway('gw-1');
    world.addPolicy(policyOf('a', [10], { shared: true }));
    world.addPolicy(policyOf('b', [10], { shared: true }));
    world.start();
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.policies.map(({ name }) => name)).toEqual(['a', 'b']);
    const epoch = world.egressIp(IP)?.egressIp.epoch;
    world.deletePolicy('a');
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.policies.map(({ name }) => name)).toEqual(['b']);
    expect(world.egressIp(IP)?.egressIp.epoch).toBe(epoch);
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

  test('waits for a gateway that fell silent until it is proven dead', () => {
    const world = worldWith();
    world.run(3000);
    const holder = holderOf(world);
    world.deletePolicy('p');
    world.run(LINGER_MS);
    world.kill(holder);
    expect(world.run(VERDICT_MS, () => world.egressIp(IP)?.egressIp.order.length === 0)).toBe(true);
    world.addPolicy(policyOf('next', [10], { createdAtMs: 2000 }));
    world.run(SESSION_MS);
    // Its kernel does not answer any more, but nobody can know.
    expect(world.answering(IP)).toEqual([]);
    expect(world.policy('p')?.deleting).toBe(true);
    expect(world.egressIp(IP)?.egressIp.policies).toEqual([]);
    expect(world.run(VERDICT_MS, () => world.policy('p') === undefined)).toBe(true);
    expect(world.run(5000, () => settled(world))).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('waits for a gateway that does not hear of it, however long that answers', () => {
    const world = worldWith();
    world.run(3000);
    const holder = holderOf(world);
    world.setConnected(holder, false);
    world.deletePolicy('p');
    world.run(60_000);
    expect(world.answering(IP)).toEqual([holder]);
    expect(world.policy('p')?.deleting).toBe(true);
    expect(world.egressIp(IP)?.egressIp).toMatchObject({ order: [], fence: [{ gateway: holder }] });
    world.setConnected(holder, true);
    expect(world.run(2000, () => world.policy('p') === undefined)).toBe(true);
    expect(world.answering(IP)).toEqual([]);
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

  test('and wanted again: what agents remember of the old object neither hinders nor helps anybody', () => {
    const cordon = (world: World, name: string, unschedulable: boolean) =>
      world.addNode(name, { [GATEWAY_LABEL]: '' }, { unschedulable });
    const world = new World();
    for (const name of ['gw-1', 'gw-2', 'gw-3']) world.addGateway(name);
    cordon(world, 'gw-1', true);
    cordon(world, 'gw-3', true);
    world.addPolicy(policyOf('p', [10]));
    world.start();
    world.run(3000);
    // The death of a standby is a new assignment: gw-2 reads that gw-1 will never use the one before.
    world.kill('gw-3');
    world.run(2000);
    world.deletePolicy('p');
    expect(world.run(3000, () => world.egressIps().length === 0)).toBe(true);
    world.run(1000);
    cordon(world, 'gw-1', false);
    cordon(world, 'gw-2', true);
    world.addPolicy(policyOf('next', [10]));
    expect(world.run(3000, () => settled(world))).toBe(true);
    expect(world.answering(IP)).toEqual(['gw-1']);
    cordon(world, 'gw-1', true);
    cordon(world, 'gw-2', false);
    expect(world.run(3000, () => settled(world) && holderOf(world) === 'gw-2')).toBe(true);
    expect(world.violations).toEqual([]);
  });
});

describe('voters', () => {
  /** Every configuration there was, as text, while the world ran. */
  function watch(world: World, ms: number): readonly string[] {
    const seen = [JSON.stringify(world.voters()?.sets)];
    world.run(ms, () => {
      const now = JSON.stringify(world.voters()?.sets);
      if (now !== seen.at(-1)) seen.push(now);
      return false;
    });
    return seen;
  }
  function votersOf(...workers: readonly number[]): World {
    const world = new World();
    for (const name of ['gw-1', 'gw-2', 'gw-3']) world.addGateway(name);
    for (const number of workers) world.addWorker(`w-${number}`);
    world.start();
    return world;
  }
  const majority = (world: World, names: readonly string[], ready: boolean) => {
    for (const name of names.slice(0, 3)) world.addNode(name, {}, { ready });
  };

  test('are the nodes that are no gateways, five of them, from the first moment that so many are there', () => {
    const world = votersOf(1, 2, 3, 4, 5, 6);
    expect(world.run(1000, () => world.voters() !== undefined)).toBe(true);
    expect(world.voters()?.version).toBe(1);
    expect(world.voters()?.sets[0]).toHaveLength(5);
    expect(world.voters()?.sets[0]?.filter((name) => name.startsWith('gw'))).toEqual([]);
  });

  test('one that is lost is replaced through a joint configuration that stands until it is known and old grants ran out', () => {
    const world = votersOf(1, 2, 3, 4, 5);
    world.run(3000);
    const [before = []] = world.voters()?.sets ?? [];
    const lost = before[2] ?? '';
    world.addNode(lost, {}, { ready: false });
    expect(world.run(1000, () => world.voters()?.sets.length === 2)).toBe(true);
    const sinceMs = world.nowMs;
    const [old, next = []] = world.voters()?.sets ?? [];
    expect(old).toEqual(before);
    expect(next).toHaveLength(5);
    expect(next).not.toContain(lost);
    expect(world.run(3000, () => world.voters()?.sets.length === 1)).toBe(true);
    expect(world.nowMs - sinceMs).toBeGreaterThanOrEqual(VOTER_SETTLE_MS);
    expect(world.voters()).toEqual({ version: 3, sets: [next] });
    expect(watch(world, 20_000)).toHaveLength(1);
    expect(world.violations).toEqual([]);
  });

  test('stay in their joint configuration while no majority of the old ones is known to know it', () => {
    const world = votersOf(1, 2, 3, 4, 5);
    world.run(3000);
    const [before = []] = world.voters()?.sets ?? [];
    majority(world, before, false);
    world.run(30_000);
    expect(world.voters()?.sets.length).toBe(2);
    majority(world, before, true);
    expect(world.run(5000, () => world.voters()?.sets.length === 1)).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('that are lost together go one after the other', () => {
    const world = votersOf(1, 2, 3, 4, 5, 6, 7);
    world.run(3000);
    const [before = []] = world.voters()?.sets ?? [];
    for (const name of before.slice(0, 2)) world.addNode(name, {}, { ready: false });
    const seen = watch(world, 10_000);
    // Stable, joint, stable, joint, stable: the world checks that each step changes one voter.
    expect(seen).toHaveLength(5);
    expect(world.voters()?.sets[0]).toEqual(expect.not.arrayContaining(before.slice(0, 2)));
    expect(world.voters()?.sets[0]).toHaveLength(5);
    expect(world.violations).toEqual([]);
  });
});
