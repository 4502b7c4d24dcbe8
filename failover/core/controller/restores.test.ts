/** etcd restored from a snapshot, as the world around the controller lives through it. */
import { describe, expect, test } from 'vitest';
import { LEASE_MS } from '../../../test/simulation/controllerGateways.ts';
import { policyOf, STEP_MS, World } from '../../../test/simulation/controllerWorld.ts';
import { awaitsWord, isLeftAlone, nextSettledMs, RESTORE_SETTLE_MS } from './restores.ts';

const IP = '203.0.113.10';
const GATEWAYS = ['gw-1', 'gw-2', 'gw-3'];

function settledWorld(): World {
  const world = new World();
  for (const name of GATEWAYS) world.addGateway(name);
  world.addPolicy(policyOf('p', [10]));
  world.start();
  world.run(LEASE_MS);
  return world;
}

const specOf = (world: World) => world.egressIp(IP)?.egressIp ?? { epoch: 0, order: [], fence: [] };

/** Each with a newer session: the snapshot knows nobody of them. */
function restartAll(world: World): void {
  for (const name of GATEWAYS) {
    world.restart(name);
    world.run(2 * LEASE_MS);
  }
}

describe('after a restore', () => {
  test.each([0, 1500])('an address stays where it is answered, though its holder is %i ms late', (lateMs) => {
    const world = settledWorld();
    const snapshot = new Map(world.objects);
    const { epoch: saved } = specOf(world);
    restartAll(world);
    const [before, holders] = [specOf(world), world.answering(IP)];
    world.restoreEtcd(snapshot);
    expect(specOf(world).epoch).toBe(saved);
    expect(saved).toBeLessThan(before.epoch - 1);
    for (const name of holders) world.setConnected(name, lateMs === 0);
    world.run(lateMs);
    for (const name of holders) world.setConnected(name, true);
    world.run(LEASE_MS + RESTORE_SETTLE_MS, () => {
      expect(world.answering(IP)).toEqual(holders);
      return false;
    });
    expect(specOf(world).epoch).toBeGreaterThan(before.epoch);
    expect(specOf(world).order[0]).toEqual(before.order[0]);
    expect(specOf(world).fence).toEqual([]);
    expect(world.violations).toEqual([]);
  });

  test('a standby that only the lost order named takes over while the controller is away', () => {
    const world = settledWorld();
    const snapshot = new Map(world.objects);
    restartAll(world);
    const [holder = ''] = world.answering(IP);
    world.setApiUp(false);
    world.restoreEtcd(snapshot);
    world.kill(holder);
    expect(world.run(LEASE_MS, () => world.answering(IP).some((name) => name !== holder))).toBe(true);
    const [standby] = world.answering(IP);
    world.setApiUp(true);
    expect(world.run(LEASE_MS + RESTORE_SETTLE_MS, () => specOf(world).order[0]?.gateway === standby)).toBe(
      true,
    );
    expect(world.answering(IP)).toEqual([standby]);
    expect(world.violations).toEqual([]);
  });

  test('what nobody can be heard of any more is given anew when the time is over', () => {
    const world = settledWorld();
    const snapshot = new Map(world.objects);
    restartAll(world);
    const [holder = ''] = world.answering(IP);
    world.setConnected(holder, false);
    const { epoch } = specOf(world);
    world.restoreEtcd(snapshot);
    const isNew = (): boolean => specOf(world).epoch > epoch;
    expect(world.run(RESTORE_SETTLE_MS - 2 * STEP_MS, isNew)).toBe(false);
    expect(world.answering(IP)).toEqual([holder]);
    expect(world.run(LEASE_MS, isNew)).toBe(true);
    expect(world.run(LEASE_MS, () => world.answering(IP).some((name) => name !== holder))).toBe(true);
    world.setConnected(holder, true);
    expect(world.run(LEASE_MS, () => specOf(world).fence.length === 0)).toBe(true);
    expect(world.answering(IP)).toHaveLength(1);
    expect(world.violations).toEqual([]);
  });
});

describe('word is awaited', () => {
  const standing = { epoch: 5 };
  const above = { epoch: 9, sessions: [{ gateway: 'a', session: 1 }], isNamed: true };
  const grown = { ...above, epoch: standing.epoch };
  const [yes, no] = [() => true, () => false];

  test.each([
    {
      name: 'nobody says whom the epoch names',
      above: { ...above, isNamed: false },
      known: { answeredEpoch: 9, isDead: yes, hasReleased: yes },
      awaited: true,
    },
    {
      name: 'nobody who can be named answers, and somebody may',
      above,
      known: { answeredEpoch: undefined, isDead: no, hasReleased: no },
      awaited: true,
    },
    {
      name: 'somebody answered by what stands when the snapshot was made',
      above,
      known: { answeredEpoch: 5, isDead: no, hasReleased: no },
      awaited: true,
    },
    {
      name: 'somebody answers by what was lost',
      above,
      known: { answeredEpoch: 6, isDead: no, hasReleased: no },
      awaited: false,
    },
    {
      name: 'standbys alone were lost, and somebody answers by their epoch',
      above: grown,
      known: { answeredEpoch: 5, isDead: no, hasReleased: no },
      awaited: false,
    },
    {
      name: 'all that are named say that they do not answer',
      above,
      known: {
        answeredEpoch: undefined,
        isDead: no,
        hasReleased: (_: unknown, epoch: number) => epoch === 9,
      },
      awaited: false,
    },
    {
      name: 'all that are named are dead',
      above,
      known: { answeredEpoch: undefined, isDead: yes, hasReleased: no },
      awaited: false,
    },
  ])('$awaited where $name', ({ above: stated, known, awaited }) => {
    expect(awaitsWord(standing, stated, known)).toBe(awaited);
  });

  test('for so long and no longer, which the controller wakes up for', () => {
    const since = new Map([[IP, 1000]]);
    const endMs = 1000 + RESTORE_SETTLE_MS;
    expect(isLeftAlone({ name: IP }, since, endMs - 1)).toBe(true);
    expect(nextSettledMs(since, endMs - 1)).toBe(endMs);
    expect(isLeftAlone({ name: IP }, since, endMs)).toBe(false);
    expect(nextSettledMs(since, endMs)).toBeUndefined();
    expect(isLeftAlone({ name: 'other' }, since, 1000)).toBe(false);
  });
});
