import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Policy } from '../../../policy/model.ts';
import { GATEWAY_LABEL } from '../../../policy/names.ts';
import { address, policyOf, World } from '../../../test/simulation/controllerWorld.ts';

/** Each step of a random history; the world checks itself after every 100 ms. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.oneof(fc.integer({ min: 100, max: 900 }), fc.integer({ min: 100, max: 6000 })),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('kill' as const), who: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('thaw' as const), who: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('restart' as const), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), who: fc.nat(2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('connect' as const), who: fc.nat(2), on: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('cordon' as const), who: fc.nat(2), on: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('ready' as const), who: fc.nat(2), on: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('health' as const), who: fc.nat(2), on: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('label' as const), who: fc.nat(2), on: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('api' as const), on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lead' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('policy' as const),
      name: fc.nat(2),
      hosts: fc.uniqueArray(fc.nat(3)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), name: fc.nat(2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('worker' as const), who: fc.nat(1), ports: fc.nat(2000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose-worker' as const), who: fc.nat(1) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function take(world: World, action: Step, at: number): void {
  const gateway = 'who' in action ? `gw-${action.who + 1}` : '';
  switch (action.kind) {
    case 'wait':
      world.run(action.ms);
      return;
    case 'kill':
      return world.kill(gateway);
    case 'thaw':
      return world.thaw(gateway);
    case 'restart':
      return world.restart(gateway);
    case 'close':
      return world.close(gateway);
    case 'connect':
      return world.setConnected(gateway, action.on);
    case 'cordon':
      return world.addNode(gateway, { [GATEWAY_LABEL]: '' }, { unschedulable: action.on });
    case 'health':
      return world.setHealthy(gateway, action.on);
    case 'label':
      return world.addNode(gateway, action.on ? { [GATEWAY_LABEL]: '' } : {});
    case 'ready':
      return world.setReady(gateway, action.on);
    case 'api':
      return world.setApiUp(action.on);
    case 'lead':
      return world.restartController();
    case 'policy':
      if (world.policy(`p${action.name}`) !== undefined || action.hosts.length === 0) return;
      return world.addPolicy(policyInLife(at, action.name, action.hosts));
    case 'delete':
      return world.deletePolicy(`p${action.name}`);
    case 'worker':
      return world.addWorker(
        `w-${action.who}`,
        [0, 1, 2, 3].map((host) => ({ address: address(host), ports: action.ports })),
      );
    case 'lose-worker':
      return world.removeNode(`w-${action.who}`);
    default:
      return action satisfies never;
  }
}

/** A name that is used again is another object: what an EgressIP says of the one before is not about it. */
function policyInLife(life: number, name: number, hosts: readonly number[]): Policy {
  // One in two returns, and one in three asks for an even spread.
  const returns = { returnPolicy: life % 2 === 0 ? 'Return' : 'Stay', returnAfterMs: 1000 } as const;
  const asks = life % 3 === 0 ? { rebalance: `${life}` } : {};
  const policy = policyOf(`p${name}`, hosts, { createdAtMs: name, ...returns, ...asks });
  return { ...policy, ref: { ...policy.ref, uid: `uid-p${name}-${life}` } };
}

test('whatever happens: one answerer, one programmed policy, one holder of a port; and once it stops all is served', () => {
  const history = fc.record({
    steps: fc.array(step, { maxLength: 40 }),
    loseEachAnswer: fc.integer({ min: 2, max: 9 }),
    refuseEach: fc.integer({ min: 2, max: 9 }),
    quarantineMs: fc.constantFrom(0, 5000),
  });
  fc.assert(
    fc.property(history, ({ steps, ...options }) => {
      const world = new World(options);
      for (const name of ['gw-1', 'gw-2', 'gw-3']) world.addGateway(name);
      world.start();
      for (const [at, action] of steps.entries()) take(world, action, at);
      world.setApiUp(true);
      for (const name of ['gw-1', 'gw-2', 'gw-3']) {
        world.restart(name);
        world.setConnected(name, true);
        world.setReady(name, true);
        world.setHealthy(name, true);
        world.addNode(name, { [GATEWAY_LABEL]: '' });
      }
      world.run(30_000);
      expect(world.violations).toEqual([]);
      for (const { egressIp, status } of world.egressIps()) {
        expect(status?.phase).toBe('Announced');
        expect(world.answering(egressIp.name)).toEqual([egressIp.order[0]?.gateway]);
      }
      expect(world.voters()?.sets).toHaveLength(1);
      // A status whose write is refused again and again may be late for as long as that goes on.
      world.endFaults();
      // Nor does a leader's first minute see any address return.
      world.run(40_000);
      const before = world.written;
      world.run(15_000);
      expect(world.written).toBe(before);
    }),
    { numRuns: 40 },
  );
}, 120_000);
