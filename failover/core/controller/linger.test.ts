/** Addresses that no policy wants any more, as the world around the controller sees them go. */
import { describe, expect, test } from 'vitest';
import { LEASE_MS, VERDICT_MS } from '../../../test/simulation/controllerGateways.ts';
import { address, policyOf, STEP_MS, World } from '../../../test/simulation/controllerWorld.ts';
import type { EgressIp } from '../egressIp.ts';
import { LINGER_MS } from './linger.ts';

const IP = '203.0.113.10';
const OTHER = '203.0.113.11';
/** A write takes effect one step after it was asked for, and is seen another step later. */
const WRITE_MS = 2 * STEP_MS;
/** Until who let go has said so, and that is written down. */
const RELEASE_MS = 10 * STEP_MS;

/** With ports for one node, and all of it settled. */
function worldWith(
  hosts: readonly number[] = [10],
  options: ConstructorParameters<typeof World>[0] = {},
): World {
  const world = new World(options);
  for (const name of ['gw-1', 'gw-2', 'gw-3']) world.addGateway(name);
  world.addPolicy(policyOf('p', hosts));
  world.addWorker('w-1', [{ address: address(10), ports: 64 }]);
  world.start();
  world.run(3000);
  return world;
}

function specOf(world: World, name = IP): EgressIp {
  const spec = world.egressIp(name)?.egressIp;
  if (spec === undefined) throw new Error(`there is no EgressIP ${name}`);
  return spec;
}

/** Who may answer for it, and whose its ports are. */
function held({ epoch, order, blocks, blocksVersion }: EgressIp) {
  return { epoch, order, blocks, blocksVersion };
}

const isUnwanted = (world: World, name = IP): boolean => specOf(world, name).policies.length === 0;
const isOver = (world: World): boolean => world.policy('p') === undefined && world.egressIps().length === 0;

describe('an address that no policy wants any more', () => {
  test.each([
    { name: 'its policy was deleted', go: (world: World) => world.deletePolicy('p') },
    { name: 'it was taken out of its policy', go: (world: World) => world.addPolicy(policyOf('p', [11])) },
  ])('stays held and mapped for the linger, and goes then: $name', ({ go }) => {
    const world = worldWith([10, 11]);
    const [before, holders] = [held(specOf(world)), world.answering(IP)];
    expect(before.blocks).toHaveLength(1);
    go(world);
    expect(world.run(WRITE_MS, () => isUnwanted(world))).toBe(true);
    world.run(LINGER_MS - STEP_MS, () => {
      expect(held(specOf(world))).toEqual(before);
      expect(world.answering(IP)).toEqual(holders);
      return false;
    });
    expect(world.egressIp(IP)?.status).toMatchObject({
      phase: 'Announced',
      message: expect.stringContaining('no policy wants it'),
    });
    expect(world.run(3 * WRITE_MS, () => world.answering(IP).length === 0)).toBe(true);
    expect(world.run(RELEASE_MS, () => world.egressIp(IP) === undefined)).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('is what a policy that is deleted waits for', () => {
    const world = worldWith();
    world.deletePolicy('p');
    world.run(LINGER_MS);
    expect(world.policy('p')?.deleting).toBe(true);
    expect(world.run(RELEASE_MS, () => world.policy('p') === undefined)).toBe(true);
    expect(world.answering(IP)).toEqual([]);
  });

  test('goes at once where nobody is there to hold it', () => {
    const world = new World();
    world.addPolicy(policyOf('p', [10]));
    world.start();
    world.run(3000);
    world.deletePolicy('p');
    expect(world.run(RELEASE_MS, () => isOver(world))).toBe(true);
  });

  test('passes to its standby when its holder dies meanwhile, and goes in its time', () => {
    const world = worldWith();
    const holder = world.answering(IP)[0] ?? '';
    world.kill(holder);
    world.deletePolicy('p');
    expect(world.run(VERDICT_MS + WRITE_MS, () => world.answering(IP).some((it) => it !== holder))).toBe(
      true,
    );
    expect(specOf(world).order[0]?.gateway).toBe(holder);
    expect(world.run(LINGER_MS + RELEASE_MS, () => isOver(world))).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('goes when agents can have heard of it, where the API server was away meanwhile', () => {
    const world = worldWith();
    world.deletePolicy('p');
    world.run(WRITE_MS, () => isUnwanted(world));
    world.run(WRITE_MS);
    world.setApiUp(false);
    world.run(LEASE_MS);
    world.setApiUp(true);
    world.run(LINGER_MS - STEP_MS);
    expect(specOf(world).order).not.toEqual([]);
    expect(world.run(RELEASE_MS, () => isOver(world))).toBe(true);
  });
});

describe('an address that is wanted again', () => {
  test.each([
    { name: 'by the policy itself', again: 'p', go: (world: World) => world.addPolicy(policyOf('p', [11])) },
    { name: 'by another policy', again: 'next', go: (world: World) => world.deletePolicy('p') },
  ])('$name while it lingers is had as it is held, without a moment in between', ({ again, go }) => {
    const world = worldWith([10, 11]);
    const [before, holders] = [held(specOf(world)), world.answering(IP)];
    go(world);
    world.run(LINGER_MS);
    expect(isUnwanted(world)).toBe(true);
    world.addPolicy(policyOf(again, [10, 11]));
    const isServed = (): boolean => specOf(world).policies.some(({ name }) => name === again);
    expect(world.run(2 * WRITE_MS, isServed)).toBe(true);
    world.run(2 * LINGER_MS, () => {
      expect(held(specOf(world))).toEqual(before);
      expect(world.answering(IP)).toEqual(holders);
      return false;
    });
    if (again !== 'p') expect(world.policy('p')).toBeUndefined();
    expect(world.violations).toEqual([]);
  });

  test('and given up again lingers anew', () => {
    const world = worldWith();
    world.deletePolicy('p');
    world.run(LINGER_MS);
    world.addPolicy(policyOf('next', [10]));
    world.run(2 * WRITE_MS);
    world.deletePolicy('next');
    expect(world.run(2 * WRITE_MS, () => isUnwanted(world))).toBe(true);
    world.run(LINGER_MS - STEP_MS);
    expect(specOf(world).order).not.toEqual([]);
    expect(world.run(RELEASE_MS, () => isOver(world))).toBe(true);
  });

  test('when its release has begun is had when that is over', () => {
    const world = worldWith([10, 11]);
    world.deletePolicy('p');
    world.run(LINGER_MS + RELEASE_MS, () => specOf(world).order.length === 0);
    world.addPolicy(policyOf('next', [10]));
    expect(world.run(2 * RELEASE_MS, () => world.answering(IP).length === 1)).toBe(true);
    expect(specOf(world).policies.map(({ name }) => name)).toEqual(['next']);
    expect(world.answering(OTHER)).toEqual([]);
    expect(world.violations).toEqual([]);
  });
});

const MOMENTS = Array.from({ length: (LINGER_MS + RELEASE_MS) / STEP_MS }, (_, at) => at * STEP_MS);

test.each([1, 3])(
  'a controller that ends at any moment, %i times, is followed by one that goes on from the objects',
  (times) => {
    for (const moment of MOMENTS) {
      const world = worldWith([10, 11]);
      world.deletePolicy('p');
      for (let at = 0; at < times; at += 1) {
        world.run(moment);
        world.restartController();
      }
      expect(world.run(LINGER_MS + 2 * RELEASE_MS, () => isOver(world))).toBe(true);
      expect(world.violations).toEqual([]);
    }
  },
);
