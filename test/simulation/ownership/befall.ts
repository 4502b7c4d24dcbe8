/** Does one fault to a world and takes it back when its time is over. */

import { answerLate, cutFromVoters, cutInTurn, hiccup } from './chains.ts';
import type { ControllerModel } from './controllerModel.ts';
import type { Fault } from './faults.ts';
import type { SimNode } from './simNode.ts';
import type { World } from './world.ts';

/** How old a snapshot is: some of them are from before the first address was placed. */
const SNAPSHOT_CHANGES_MAX = 400;

export function befall(world: World, fault: Fault): void {
  const { ground } = world;
  const node = pick(world.nodes, fault.whom);
  const gateway = pick(world.gateways, fault.whom);
  const after = (undo: () => void): void => ground.queue.after(fault.durationMs, undo);
  ground.coverage.hit(`fault: ${fault.kind}`);
  ground.trace?.(() => `FAULT ${fault.kind} for ${fault.durationMs} ms on ${node.name}`);
  switch (fault.kind) {
    case 'late answers':
      return answerLate(world, fault, gateway);
    case 'hiccups':
      return hiccup(world, fault, gateway);
    case 'pause':
      return node.agent?.block(Math.max(fault.durationMs, 200));
    case 'stalls':
      node.stalls = { probability: 0.002 + 0.05 * fault.amount, leastMs: 5, mostMs: 150 };
      return after(() => {
        node.stalls = world.calmStalls;
      });
    case 'crash':
      // Often enough whoever looks after it starts it again at once.
      return node.crash(fault.amount < 0.3 ? fault.durationMs / 10 : fault.durationMs);
    case 'power cut':
      return node.powerOff(fault.durationMs);
    case 'terminate':
      return node.agent?.stop(() => node.crash(Math.min(50 + fault.durationMs, 1500)));
    case 'freeze':
      return gateway.freeze(Math.min(fault.durationMs, 2000));
    case 'cut one way':
    case 'isolate':
    case 'swizzle':
      return befallNetwork(world, fault, node);
    case 'cut from voters':
      return cutFromVoters(world, fault, gateway);
    case 'cut from one voter after another':
      return cutInTurn(world, fault, gateway);
    case 'loss':
    case 'delay':
    case 'doubled':
      return befallWeather(world, fault);
    case 'kernel stall':
      node.kernel.stalledUntilMs = ground.queue.nowMs + Math.min(fault.durationMs, 1200);
      return;
    case 'kernel failures':
      node.kernel.failures = 0.1 + 0.8 * fault.amount;
      return after(() => {
        node.kernel.failures = 0;
      });
    case 'api outage':
    case 'api cut':
    case 'api lost answers':
    case 'api slow':
    case 'watch stall':
    case 'watch goes back':
    case 'etcd restored':
      return befallApi(world, fault, node);
    default:
      return befallPeople(world, fault);
  }
}

function befallNetwork({ ground, nodes }: World, fault: Fault, node: SimNode): void {
  const { network, queue, draws } = ground;
  const cut = (from: SimNode, to: SimNode, durationMs: number): void => {
    network.cut(from.index, to.index, 1);
    queue.after(durationMs, () => network.cut(from.index, to.index, -1));
  };
  const others = nodes.filter((it) => it !== node);
  if (fault.kind === 'cut one way') return cut(node, pick(others, fault.other), fault.durationMs);
  if (fault.kind === 'isolate') {
    for (const other of others) {
      cut(node, other, fault.durationMs);
      if (fault.amount < 0.6) cut(other, node, fault.durationMs);
    }
    return;
  }
  // Nodes are cut off one after another and come back in another order.
  const draw = draws.draw(`swizzle at ${fault.atMs}`);
  for (const first of nodes)
    for (const second of nodes) {
      if (first === second || !draw.chance(0.5)) continue;
      const delayMs = draw.next() * fault.durationMs;
      queue.after(delayMs, () => cut(first, second, draw.next() * (fault.durationMs - delayMs)));
    }
}

function befallWeather({ ground, weather }: World, { kind, amount, durationMs }: Fault): void {
  const { network, queue } = ground;
  if (kind === 'loss') network.weather = { ...network.weather, loss: 0.3 * amount };
  if (kind === 'delay') network.weather = { ...network.weather, delayMs: 80 * amount };
  if (kind === 'doubled') network.weather = { ...network.weather, doubled: 0.3 * amount };
  queue.after(durationMs, () => {
    network.weather = weather;
  });
}

function befallApi({ ground }: World, { kind, amount, durationMs }: Fault, node: SimNode): void {
  const { api, queue } = ground;
  switch (kind) {
    case 'api outage':
      api.outages += 1;
      return queue.after(durationMs, () => {
        api.outages -= 1;
      });
    case 'api cut':
      node.apiCuts += 1;
      return queue.after(durationMs, () => {
        node.apiCuts -= 1;
      });
    case 'api lost answers':
      api.lostAnswers = 0.5 * amount;
      return queue.after(durationMs, () => {
        api.lostAnswers = 0;
      });
    case 'api slow':
      api.slow = 0.5 * amount;
      return queue.after(durationMs, () => {
        api.slow = 0;
      });
    case 'watch stall':
      return node.agent?.stallWatch(durationMs);
    case 'etcd restored':
      api.outages += 1;
      return queue.after(durationMs, () => {
        api.restore(Math.floor(SNAPSHOT_CHANGES_MAX * amount));
        api.outages -= 1;
      });
    default:
      return node.agent?.goBack(Math.floor(40 * amount));
  }
}

function befallPeople(world: World, fault: Fault): void {
  const { ground, controllers, addresses, cordoned } = world;
  const { queue, api } = ground;
  const replica = pick(controllers, fault.whom);
  const address = pick(addresses, fault.whom);
  const gateway = pick(world.gateways, fault.whom);
  switch (fault.kind) {
    case 'controller stall':
      replica.thread.block(queue.nowMs + fault.durationMs);
      return replica.watch.stall(fault.durationMs);
    case 'two leaders':
      for (const each of controllers) each.leads = true;
      return queue.after(fault.durationMs, () => lead(controllers, fault.other));
    case 'no leader':
      for (const each of controllers) each.leads = false;
      return queue.after(fault.durationMs, () => lead(controllers, fault.other));
    case 'other leader':
      return lead(controllers, fault.whom);
    case 'lease deleted':
      // A number that stands nowhere else would be forgotten with it, and used again after a restart.
      if (api.truth.nodes.get(gateway.name)?.session !== api.truth.leases.get(gateway.name)?.session) return;
      return api.commit({ kind: 'lease', name: gateway.name, value: undefined });
    case 'move':
      // People and drains change their mind before a move is over.
      for (let again = 0; again < (fault.amount < 0.5 ? 1 : 4); again += 1)
        queue.after(again * 40 * fault.amount, () => {
          for (const each of controllers) each.moves.add(address);
        });
      return;
    case 'cordon':
      cordoned.add(gateway.name);
      return;
    case 'uncordon':
      cordoned.clear();
      return;
    case 'policy gone':
      api.commit({ kind: 'wanted', name: address, value: false });
      return queue.after(fault.durationMs, () => api.commit({ kind: 'wanted', name: address, value: true }));
    case 'replace a voter':
      return world.wishVoters(fault.whom, fault.other);
    default:
      throw new Error(`befall: nobody does ${fault.kind}`);
  }
}

function lead(controllers: readonly ControllerModel[], whom: number): void {
  controllers.forEach((each, index) => {
    each.leads = index === whom % controllers.length;
  });
}

function pick<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length];
  if (item === undefined) throw new Error('pick: nothing to pick from');
  return item;
}
