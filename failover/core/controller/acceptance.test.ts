import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../../policy/cidr.ts';
import { address, policyOf, World } from '../../../test/simulation/controllerWorld.ts';

const IP = '203.0.113.10';

function worldWith(hosts: readonly number[], other?: Parameters<World['addNode']>[2]): World {
  const world = new World();
  if (other !== undefined) world.addNode('n', {}, other);
  world.addGateway('gw-1', 'a');
  world.addGateway('gw-2', 'b');
  world.addPolicy(policyOf('p', hosts));
  world.start();
  return world;
}

function condition(world: World, type: string, policy = 'p') {
  return world.policy(policy)?.status?.conditions.find((it) => it.type === type);
}

const isServed = (world: World): boolean => condition(world, 'Available')?.status === 'True';

describe('a policy that is not served yet', () => {
  test.each([
    { name: "has a node's address", change: { addresses: [address(10)] }, says: 'the address of node n' },
    {
      name: 'lies in the network of pods',
      change: { podCidrs: [network('203.0.113.0/28')] },
      says: 'the pod network of node n',
    },
  ])('is refused where its pool $name, and taken up when that is over', ({ change, says }) => {
    const world = worldWith([10], change);
    world.run(5000);
    expect(condition(world, 'Accepted')).toMatchObject({ status: 'False', reason: 'Invalid' });
    expect(condition(world, 'Accepted')?.message).toContain(says);
    expect(world.egressIp(IP)).toBeUndefined();
    world.removeNode('n');
    expect(world.run(5000, () => isServed(world))).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('is served whatever its size, up to what no controller serves', () => {
    const world = worldWith([10]);
    const base = policyOf('large', [20]);
    const range = { family: 4 as const, first: address(20).value, last: address(20).value + 1024n };
    world.addPolicy({ ...base, pools: base.pools.map((entry) => ({ ...entry, range })) });
    world.run(3000);
    expect(condition(world, 'Accepted', 'large')).toMatchObject({ status: 'False', reason: 'Invalid' });
    expect(condition(world, 'Accepted', 'large')?.message).toContain('at most 1024');
  });
});

describe('a policy that is served', () => {
  test('says, once, whose nodes could get no more ports', () => {
    const world = worldWith([10]);
    expect(world.run(5000, () => isServed(world))).toBe(true);
    world.addWorker('w-1', [{ address: address(10), ports: 64_512 }]);
    world.run(2000);
    expect(condition(world, 'Available')?.reason).not.toBe('PortsExhausted');
    world.addWorker('w-2', [{ address: address(10), ports: 64 }]);
    world.run(5000);
    expect(condition(world, 'Available')).toMatchObject({ status: 'True', reason: 'PortsExhausted' });
    expect(world.events.filter(({ reason }) => reason === 'PortsExhausted')).toMatchObject([
      { type: 'Warning', message: 'no free ports for nodes w-2' },
    ]);
    expect(world.violations).toEqual([]);
  });

  test('keeps its address when a node gets the same, and says so until that is over', () => {
    const world = worldWith([10]);
    expect(world.run(5000, () => isServed(world))).toBe(true);
    const { epoch, policies } = world.egressIp(IP)?.egressIp ?? {};
    const answering = world.answering(IP);
    world.addNode('n', {}, { addresses: [address(10)] });
    world.run(5000);
    expect(world.egressIp(IP)?.egressIp).toMatchObject({ epoch, policies });
    expect(world.answering(IP)).toEqual(answering);
    expect(condition(world, 'Accepted')).toMatchObject({ status: 'True' });
    expect(condition(world, 'Available')).toMatchObject({ status: 'True' });
    expect(condition(world, 'Contested')).toMatchObject({ status: 'True', reason: 'AddressTaken' });
    expect(condition(world, 'Contested')?.message).toContain('the address of node n');
    expect(world.events.filter(({ reason }) => reason === 'Contested')).toHaveLength(1);
    const before = world.written;
    world.run(30_000);
    expect(world.written).toBe(before);
    world.removeNode('n');
    world.run(3000);
    expect(condition(world, 'Contested')).toBeUndefined();
    expect(world.violations).toEqual([]);
  });

  test('keeps it under a new controller, which knows of its past by the EgressIP alone', () => {
    const world = worldWith([10]);
    world.run(5000, () => isServed(world));
    world.addNode('n', {}, { addresses: [address(10)] });
    world.run(3000);
    world.restartController();
    world.run(5000);
    expect(condition(world, 'Accepted')).toMatchObject({ status: 'True' });
    expect(world.answering(IP)).toHaveLength(1);
    expect(world.violations).toEqual([]);
  });

  test('is given no further address that a node has, and keeps those it has', () => {
    const world = worldWith([10]);
    world.run(5000, () => isServed(world));
    world.addNode('n', {}, { addresses: [address(11)] });
    world.addPolicy(policyOf('p', [10, 11, 12]));
    world.run(5000);
    expect(world.answering(IP)).toHaveLength(1);
    expect(world.answering('203.0.113.12')).toHaveLength(1);
    expect(world.egressIp('203.0.113.11')).toBeUndefined();
    expect(condition(world, 'Accepted')).toMatchObject({ status: 'True' });
    expect(condition(world, 'Contested')?.message).toContain('203.0.113.11');
    world.removeNode('n');
    world.run(5000);
    expect(world.answering('203.0.113.11')).toHaveLength(1);
    expect(world.violations).toEqual([]);
  });
});

function network(text: string) {
  const parsed = parseCidr(text);
  if (parsed.kind === 'refused') throw new Error(parsed.error.message);
  return parsed.value;
}
