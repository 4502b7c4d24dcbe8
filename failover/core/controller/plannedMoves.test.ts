/** What makes addresses move although nobody died, and what stops them, in a small world of gateways. */
import { describe, expect, test, vi } from 'vitest';
import type { NodeFacts, Policy } from '../../../policy/model.ts';
import { GATEWAY_LABEL } from '../../../policy/names.ts';
import { LEASE_MS, VERDICT_MS } from '../../../test/simulation/controllerGateways.ts';
import { policyOf, STEP_MS, World } from '../../../test/simulation/controllerWorld.ts';
import type { WriteEffect } from './controllerEvents.ts';
import { LEAVE_PATIENCE_MS } from './leaving.ts';
import { VOLUNTARY_MOVES_PER_MINUTE } from './voluntaryMoves.ts';

/** Minutes of the world take seconds, and more on a machine that others use too. */
vi.setConfig({ testTimeout: 60_000 });

const IP = '203.0.113.10';
const MINUTE_MS = 60_000;

function worldOf(
  gateways: readonly string[],
  hosts: readonly number[],
  change: Partial<Policy> = {},
  options: ConstructorParameters<typeof World>[0] = {},
): World {
  const world = new World(options);
  for (const name of gateways) world.addGateway(name);
  world.addPolicy(policyOf('p', hosts, change));
  world.start();
  world.run(3000);
  return world;
}

const hostsTo = (count: number) => Array.from({ length: count }, (_, at) => 10 + at);
const change = (world: World, name: string, facts: Parameters<World['addNode']>[2]) =>
  world.addNode(name, { [GATEWAY_LABEL]: '' }, facts);
const holderOf = (world: World, name = IP) => world.egressIp(name)?.egressIp.order[0]?.gateway ?? '';
const orderOf = (world: World, name = IP) =>
  world.egressIp(name)?.egressIp.order.map(({ gateway }) => gateway) ?? [];
const heldBy = (world: World, gateway: string) =>
  world.egressIps().filter(({ egressIp }) => egressIp.order[0]?.gateway === gateway).length;
const namesAt = (world: World, gateway: string) =>
  world
    .egressIps()
    .flatMap(({ egressIp }) => (egressIp.order[0]?.gateway === gateway ? [egressIp.name] : []));
const answeredBy = (world: World, gateway: string) =>
  world.egressIps().filter(({ egressIp }) => `${world.answering(egressIp.name)}` === gateway).length;
const calm = (world: World) =>
  world
    .egressIps()
    .every(
      ({ egressIp, status }) =>
        status?.phase === 'Announced' && status.gateway === egressIp.order[0]?.gateway,
    );

describe('a gateway that is to leave hands over', () => {
  const cases: readonly {
    readonly name: string;
    readonly reason: string;
    readonly leave: (world: World, gateway: string) => void;
    readonly stay: (world: World, gateway: string) => void;
  }[] = [
    ...(
      [
        { name: 'cordoned', facts: { unschedulable: true }, reason: 'cordoned' },
        { name: 'drained by its annotation', facts: { drained: true }, reason: 'drained' },
        {
          name: 'tainted by the autoscaler',
          facts: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] },
          reason: 'tainted',
        },
      ] satisfies { name: string; facts: Partial<NodeFacts>; reason: string }[]
    ).map(({ facts, ...rest }) => ({
      ...rest,
      leave: (world: World, gateway: string) => change(world, gateway, facts),
      stay: (world: World, gateway: string) => change(world, gateway, {}),
    })),
    {
      name: 'unhealthy',
      reason: 'unhealthy',
      leave: (world, gateway) => world.setHealthy(gateway, false),
      stay: (world, gateway) => world.setHealthy(gateway, true),
    },
  ];

  test.each(cases)(
    'when it is $name: to a fit one, with reason and event, and stays away',
    ({ leave, stay, reason }) => {
      const world = worldOf(['gw-1', 'gw-2', 'gw-3'], [10]);
      const before = holderOf(world);
      leave(world, before);
      expect(world.run(3000, () => calm(world) && holderOf(world) !== before)).toBe(true);
      expect(world.moves).toMatchObject([{ reason }]);
      expect(world.events.at(-1)?.message).toContain(reason);
      expect(world.egressIp(IP)?.status?.lastFailover).toMatchObject({ from: before, reason });
      // Behind every fit one, and back at nobody's cost.
      expect(orderOf(world).at(-1)).toBe(before);
      stay(world, before);
      world.run(5000);
      expect(world.moves).toHaveLength(1);
      expect(world.violations).toEqual([]);
    },
  );

  test.each(cases)(
    'as a standby that is $name it goes behind the fit ones, and nothing moves',
    ({ leave }) => {
      const world = worldOf(['gw-1', 'gw-2', 'gw-3', 'gw-4'], [10]);
      const [holder, standby = ''] = orderOf(world);
      leave(world, standby);
      let isAnswered = true;
      world.run(3000, () => {
        isAnswered &&= `${world.answering(IP)}` === holder;
        return false;
      });
      expect(isAnswered).toBe(true);
      expect([orderOf(world)[0], orderOf(world).at(-1)]).toEqual([holder, standby]);
      expect(world.moves).toEqual([]);
    },
  );

  test.each(cases)('once all are $name nothing moves any more, and all is answered', ({ leave }) => {
    const world = worldOf(['gw-1', 'gw-2', 'gw-3'], [10, 11, 12]);
    for (const name of ['gw-1', 'gw-2', 'gw-3']) leave(world, name);
    world.run(3000);
    const moved = world.moves.length;
    world.run(30_000);
    expect(world.moves).toHaveLength(moved);
    expect(calm(world)).toBe(true);
  });

  test('from an unhealthy one to one that is only cordoned, where nobody is fit', () => {
    const world = worldOf(['gw-1', 'gw-2'], [10]);
    const before = holderOf(world);
    change(world, before === 'gw-1' ? 'gw-2' : 'gw-1', { unschedulable: true });
    world.run(2000);
    world.setHealthy(before, false);
    expect(world.run(3000, () => calm(world) && holderOf(world) !== before)).toBe(true);
    expect(world.moves).toMatchObject([{ reason: 'unhealthy' }]);
  });

  test('and the policy says so where the unhealthy one goes on answering', () => {
    const world = worldOf(['gw-1'], [10]);
    world.setHealthy('gw-1', false);
    world.run(2000);
    const available = world.policy('p')?.status?.conditions.find(({ type }) => type === 'Available');
    expect(available).toMatchObject({ status: 'True', reason: 'GatewayUnhealthy' });
    expect(world.egressIp(IP)?.status?.message).toContain('stays (unhealthy)');
  });
});

describe('gateways leave one after the other', () => {
  const movesOf = (names: ReadonlySet<string>) => (effect: WriteEffect) =>
    effect.kind === 'replace-egress-ip' && names.has(effect.egressIp.name);
  const GATEWAYS = ['gw-1', 'gw-2', 'gw-3', 'gw-4'];

  /** Runs until they hold nothing; returns how many of them were midway at once, at the most. */
  function watchDrain(world: World, leaving: readonly string[], ms: number): number {
    const before = leaving.map((gateway) => ({ gateway, names: namesAt(world, gateway) }));
    const stays = (gateway: string, name: string) =>
      holderOf(world, name) === gateway && `${world.answering(name)}` === gateway;
    // Who has it now may be to leave too, and hand it on.
    const gone = new Set<string>();
    const look = (gateway: string, name: string) => {
      const [answering] = world.answering(name);
      if (answering !== undefined && answering !== gateway && holderOf(world, name) !== gateway)
        gone.add(name);
    };
    let most = 0;
    world.run(ms, () => {
      for (const { gateway, names } of before) for (const name of names) look(gateway, name);
      const midway = before.filter(
        ({ gateway, names }) =>
          !names.every((name) => stays(gateway, name)) && !names.every((name) => gone.has(name)),
      );
      most = Math.max(most, midway.length);
      return before.every(({ names }) => names.every((name) => gone.has(name)));
    });
    return most;
  }

  test.each([
    { max: 1, expected: 1 },
    { max: 2, expected: 2 },
  ])('at most $max at a time', ({ max, expected }) => {
    const world = worldOf(GATEWAYS, hostsTo(16), {}, { maxGatewaysLeaving: max });
    const leaving = ['gw-1', 'gw-2', 'gw-3'];
    expect(leaving.map((name) => heldBy(world, name))).toEqual([4, 4, 4]);
    for (const name of leaving) change(world, name, { unschedulable: true });
    expect(watchDrain(world, leaving, 20_000)).toBe(expected);
    world.run(3000);
    expect(heldBy(world, 'gw-4')).toBe(16);
    expect(world.violations).toEqual([]);
  });

  test('the next says that it waits, and goes on answering', () => {
    let refusing = false;
    const world = worldOf(
      GATEWAYS,
      hostsTo(8),
      {},
      {
        refuse: ({ kind }) => refusing && kind === 'replace-egress-ip',
      },
    );
    refusing = true;
    change(world, 'gw-1', { drained: true });
    change(world, 'gw-2', { unschedulable: true });
    world.run(2000);
    const waiting = world.egressIps().find(({ egressIp }) => egressIp.order[0]?.gateway === 'gw-2');
    expect(waiting?.status?.message).toBe('gw-2 answers: waits for its turn to leave it (cordoned)');
    expect([answeredBy(world, 'gw-1'), answeredBy(world, 'gw-2')]).toEqual([2, 2]);
    refusing = false;
    expect(world.run(5000, () => heldBy(world, 'gw-1') + heldBy(world, 'gw-2') === 0)).toBe(true);
  });

  test('a label that is taken away waits for its turn too', () => {
    const world = worldOf(GATEWAYS, hostsTo(8));
    change(world, 'gw-1', { unschedulable: true });
    world.addNode('gw-2', {});
    expect(watchDrain(world, ['gw-1', 'gw-2'], 10_000)).toBe(1);
    world.run(3000);
    expect([heldBy(world, 'gw-1'), heldBy(world, 'gw-2')]).toEqual([0, 0]);
    expect(world.violations).toEqual([]);
  });

  test('who dies is not waited with: its addresses move at once, whoever leaves', () => {
    const stuck = new Set<string>();
    const world = worldOf(GATEWAYS, hostsTo(8), {}, { refuse: movesOf(stuck) });
    for (const name of namesAt(world, 'gw-1')) stuck.add(name);
    change(world, 'gw-1', { unschedulable: true });
    change(world, 'gw-2', { unschedulable: true });
    world.run(1000);
    world.kill('gw-2');
    expect(world.run(VERDICT_MS + 1000, () => heldBy(world, 'gw-2') === 0)).toBe(true);
    expect(heldBy(world, 'gw-1')).toBe(2);
  });

  test('who cannot be emptied hinders nobody', () => {
    const world = new World();
    world.addGateway('gw-1');
    world.addGateway('gw-2');
    world.addGateway('gw-3', 'a', 3);
    world.addNode('gw-1', { [GATEWAY_LABEL]: '', only: 'here' });
    const here = { requirements: [{ key: 'only', operator: 'In', values: ['here'] }] } as const;
    world.addPolicy(policyOf('bound', [10], { gatewaySelector: here }));
    world.addPolicy(policyOf('free', [20, 21, 22]));
    world.start();
    world.run(3000);
    world.addNode('gw-1', { [GATEWAY_LABEL]: '', only: 'here' }, { unschedulable: true });
    change(world, 'gw-2', { unschedulable: true });
    // Long before anybody's patience ends.
    expect(world.run(LEAVE_PATIENCE_MS / 2, () => heldBy(world, 'gw-2') === 0 && calm(world))).toBe(true);
    expect(holderOf(world)).toBe('gw-1');
    expect(world.egressIp(IP)?.status?.message).toContain('no better gateway has room');
  });

  test('who is stuck is waited for only so long', () => {
    const stuck = new Set<string>();
    const world = worldOf(GATEWAYS, hostsTo(8), {}, { refuse: movesOf(stuck) });
    for (const name of namesAt(world, 'gw-1')) stuck.add(name);
    change(world, 'gw-1', { unschedulable: true });
    world.run(500);
    change(world, 'gw-2', { unschedulable: true });
    world.run(LEAVE_PATIENCE_MS - 2000);
    expect([heldBy(world, 'gw-1'), heldBy(world, 'gw-2')]).toEqual([2, 2]);
    expect(world.run(5000, () => heldBy(world, 'gw-2') === 0)).toBe(true);
  });

  test('while an agent that restarts has handed over and nobody answers yet, nobody else begins', () => {
    let refusing = false;
    const world = worldOf(
      GATEWAYS,
      hostsTo(8),
      {},
      {
        refuse: ({ kind }) => refusing && kind === 'replace-egress-ip',
      },
    );
    refusing = true;
    world.close('gw-1');
    change(world, 'gw-2', { unschedulable: true });
    world.run(1000);
    refusing = false;
    expect(watchDrain(world, ['gw-2'], 10_000)).toBe(1);
    expect([heldBy(world, 'gw-1'), heldBy(world, 'gw-2')]).toEqual([0, 0]);
    expect(world.violations).toEqual([]);
  });

  test('and it goes on under a new controller', () => {
    const world = worldOf(GATEWAYS, hostsTo(8));
    for (const name of ['gw-1', 'gw-2']) change(world, name, { unschedulable: true });
    world.run(2 * STEP_MS);
    world.restartController();
    expect(world.run(10_000, () => calm(world) && heldBy(world, 'gw-1') + heldBy(world, 'gw-2') === 0)).toBe(
      true,
    );
    expect(world.violations).toEqual([]);
  });
});

describe('an address', () => {
  const away = (world: World): string => {
    const home = holderOf(world);
    change(world, home, { unschedulable: true });
    world.run(3000);
    expect(holderOf(world)).not.toBe(home);
    change(world, home, {});
    return home;
  };

  test('with Return goes back to where it was placed first, once that was fit for long enough', () => {
    const world = worldOf(['gw-1', 'gw-2'], [10], { returnPolicy: 'Return', returnAfterMs: 90_000 });
    const home = away(world);
    expect(world.egressIp(IP)?.egressIp.home).toBe(home);
    world.run(85_000);
    expect(holderOf(world)).not.toBe(home);
    expect(world.run(8000, () => holderOf(world) === home && calm(world))).toBe(true);
    expect(world.moves.map(({ reason }) => reason)).toEqual(['cordoned', 'returned']);
    world.run(MINUTE_MS);
    expect(world.moves).toHaveLength(2);
    expect(world.violations).toEqual([]);
  });

  test('with Return waits anew after each relapse of its home', () => {
    const world = worldOf(['gw-1', 'gw-2'], [10], { returnPolicy: 'Return', returnAfterMs: 90_000 });
    const home = away(world);
    world.run(80_000);
    world.setHealthy(home, false);
    world.run(1000);
    world.setHealthy(home, true);
    world.run(80_000);
    expect(holderOf(world)).not.toBe(home);
    expect(world.run(20_000, () => holderOf(world) === home)).toBe(true);
  });

  test('with Return goes back after a death too', () => {
    const world = worldOf(['gw-1', 'gw-2'], [10], { returnPolicy: 'Return', returnAfterMs: 90_000 });
    const home = holderOf(world);
    world.kill(home);
    world.run(LEASE_MS + 2000);
    world.restart(home);
    expect(world.run(100_000, () => holderOf(world) === home && calm(world))).toBe(true);
    expect(world.moves.map(({ reason }) => reason)).toEqual(['died', 'returned']);
  });

  test('with Stay never goes back', () => {
    const world = worldOf(['gw-1', 'gw-2'], [10], { returnAfterMs: 0 });
    away(world);
    world.run(2 * MINUTE_MS);
    expect(world.moves).toHaveLength(1);
  });

  test('that two policies share stays where one of them says Stay', () => {
    const world = new World();
    for (const name of ['gw-1', 'gw-2']) world.addGateway(name);
    const quick = { returnPolicy: 'Return', returnAfterMs: 0, shared: true } as const;
    world.addPolicy(policyOf('a', [10], quick));
    world.addPolicy(policyOf('b', [10], { shared: true, returnAfterMs: 0 }));
    world.start();
    world.run(MINUTE_MS);
    const home = away(world);
    world.run(MINUTE_MS);
    expect(holderOf(world)).not.toBe(home);
    world.deletePolicy('b');
    expect(world.run(5000, () => holderOf(world) === home)).toBe(true);
  });

  test('has another home once its home is no gateway any more', () => {
    const world = worldOf(['gw-1', 'gw-2'], [10], { returnPolicy: 'Return', returnAfterMs: 0 });
    const home = holderOf(world);
    world.addNode(home, {});
    world.run(3000);
    expect(world.egressIp(IP)?.egressIp.home).toBe(holderOf(world));
    change(world, home, {});
    world.run(3 * MINUTE_MS);
    expect(holderOf(world)).not.toBe(home);
  });
});

describe('a rebalance', () => {
  const askFor = (world: World, hosts: readonly number[], rebalance: string) =>
    world.addPolicy(policyOf('p', hosts, { rebalance }), {
      status: world.policy('p')?.status,
      finalizers: world.policy('p')?.finalizers ?? [],
    });

  test('spreads the addresses over gateways that joined, once for each new value, and says when it is done', () => {
    const hosts = hostsTo(12);
    const world = worldOf(['gw-1', 'gw-2'], hosts);
    world.run(MINUTE_MS);
    world.addGateway('gw-3');
    world.run(3000);
    expect([heldBy(world, 'gw-3'), world.moves.length]).toEqual([0, 0]);
    askFor(world, hosts, 'monday');
    expect(world.run(10_000, () => world.policy('p')?.status?.rebalanced === 'monday')).toBe(true);
    expect(['gw-1', 'gw-2', 'gw-3'].map((name) => heldBy(world, name))).toEqual([4, 4, 4]);
    expect(world.moves.map(({ reason }) => reason)).toEqual(Array.from({ length: 4 }, () => 'rebalanced'));
    expect(world.events.filter(({ reason }) => reason === 'Rebalanced')).toHaveLength(1);
    world.addGateway('gw-4');
    world.run(5000);
    expect(heldBy(world, 'gw-4')).toBe(0);
    askFor(world, hosts, 'tuesday');
    expect(world.run(10_000, () => world.policy('p')?.status?.rebalanced === 'tuesday')).toBe(true);
    expect(heldBy(world, 'gw-4')).toBe(3);
    expect(world.egressIps().every(({ egressIp }) => egressIp.home === egressIp.order[0]?.gateway)).toBe(
      true,
    );
    expect(world.violations).toEqual([]);
  });

  test('begins no more moves in a minute than it may, also under a new controller; a failover does not wait', () => {
    const hosts = hostsTo(VOLUNTARY_MOVES_PER_MINUTE + 6);
    const world = worldOf(['gw-1'], hosts);
    world.run(MINUTE_MS);
    // So much more room that everything belongs there.
    world.addGateway('gw-2', 'a', 10_000);
    world.run(3000);
    askFor(world, hosts, 'x');
    world.run(MINUTE_MS / 2);
    expect(heldBy(world, 'gw-2')).toBe(VOLUNTARY_MOVES_PER_MINUTE);
    world.restartController();
    world.run(MINUTE_MS - 1000);
    expect(heldBy(world, 'gw-2')).toBe(VOLUNTARY_MOVES_PER_MINUTE);
    world.kill('gw-2');
    expect(world.run(LEASE_MS + 3000, () => heldBy(world, 'gw-2') === 0 && calm(world))).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test('is done where everything is even already, without a move', () => {
    const world = worldOf(['gw-1', 'gw-2'], hostsTo(4));
    askFor(world, hostsTo(4), 'x');
    expect(world.run(3000, () => world.policy('p')?.status?.rebalanced === 'x')).toBe(true);
    expect(world.moves).toEqual([]);
  });
});

describe('a takeover among the agents', () => {
  test('is told and counted although the assignment that follows cannot be written, and shown once it is', () => {
    let refusing = false;
    const refuse = ({ kind }: WriteEffect) => refusing && kind === 'replace-egress-ip';
    const world = worldOf(['gw-1', 'gw-2', 'gw-3'], [10], {}, { refuse });
    const [holder = '', standby = '', last = ''] = orderOf(world);
    refusing = true;
    world.kill(holder);
    world.run(5000);
    expect(holderOf(world)).toBe(holder);
    expect(world.events.map(({ message }) => message)).toEqual([
      expect.stringContaining(`from ${holder} to ${standby} (died)`),
    ]);
    // And once more by the same assignment.
    world.kill(standby);
    world.run(5000);
    refusing = false;
    world.run(5000);
    expect(holderOf(world)).toBe(last);
    expect(world.moves.map(({ reason }) => reason)).toEqual(['died', 'died']);
    expect(world.events.at(-1)?.message).toBe(`${last} took over from ${standby} (died)`);
    const {
      announcedAt = '',
      assignedAt = '',
      detectedAt = '',
      ...rest
    } = world.egressIp(IP)?.status?.lastFailover ?? {};
    expect(rest).toEqual({ from: standby, to: last, reason: 'died' });
    // It answered long before that could be written.
    expect([detectedAt <= announcedAt, announcedAt < assignedAt]).toEqual([true, true]);
    expect(world.violations).toEqual([]);
  });

  test('that happened while no controller looked is shown by the next, once', () => {
    const world = worldOf(['gw-1', 'gw-2', 'gw-3'], [10]);
    const [holder = '', standby = ''] = orderOf(world);
    world.setApiUp(false);
    world.kill(holder);
    world.run(5000);
    world.setApiUp(true);
    world.restartController();
    world.run(5000);
    expect(world.moves).toMatchObject([{ reason: 'died' }]);
    expect(world.egressIp(IP)?.status?.lastFailover).toMatchObject({
      from: holder,
      to: standby,
      reason: 'died',
    });
    world.restartController();
    world.run(5000);
    expect(world.moves).toHaveLength(1);
  });
});
