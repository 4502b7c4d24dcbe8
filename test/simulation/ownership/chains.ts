/** Faults that come in chains: where the protocol's waits are tight, this is how they are tried. */
import type { Fault } from './faults.ts';
import type { SimNode } from './simNode.ts';
import type { World } from './world.ts';

const LONGEST_MS = 1500;

function votersBeside({ ground, nodes }: World, gateway: SimNode): readonly SimNode[] {
  const voters = new Set(ground.api.truth.voters.sets.flat());
  return nodes.filter((it) => it !== gateway && voters.has(it.name));
}

function leftMs({ ground, chaosMs }: World): number {
  return chaosMs - 1 - ground.queue.nowMs;
}

function cut(
  world: World,
  [from, to]: readonly [SimNode, SimNode],
  times: { readonly beginMs: number; readonly endMs: number },
): void {
  const { network, queue } = world.ground;
  queue.after(times.beginMs, () => network.cut(from.index, to.index, 1));
  queue.after(times.endMs, () => network.cut(from.index, to.index, -1));
}

/** Often a gateway cannot read about itself meanwhile. */
function cutFromApi({ ground }: World, gateway: SimNode, durationMs: number): void {
  gateway.apiCuts += 1;
  ground.queue.after(durationMs, () => {
    gateway.apiCuts -= 1;
  });
}

/** Some voters lose a gateway at about the same time and hear it again one after another, in the time that a verdict takes. */
export function cutFromVoters(world: World, fault: Fault, gateway: SimNode): void {
  const draw = world.ground.draws.draw(`cut from voters at ${fault.atMs}`);
  const longestMs = Math.min(fault.durationMs, LONGEST_MS);
  for (const voter of votersBeside(world, gateway)) {
    if (!draw.chance(0.75)) continue;
    const beginMs = draw.next() * 0.2 * longestMs;
    const endMs = beginMs + draw.next() * (longestMs - beginMs);
    cut(world, draw.chance(0.7) ? [gateway, voter] : [voter, gateway], { beginMs, endMs });
  }
  if (fault.amount < 0.6) cutFromApi(world, gateway, fault.durationMs);
}

/** One voter after another calls it dead and takes it back; another gateway may hear the first one's verdict only. */
export function cutInTurn(world: World, fault: Fault, gateway: SimNode): void {
  const { ground, gateways } = world;
  const draw = ground.draws.draw(`cut in turn at ${fault.atMs}`);
  const { promiseMs } = ground.durations;
  const longestMs = Math.min(2 * LONGEST_MS, leftMs(world));
  const other = draw.pick(gateways);
  let beginMs = 0;
  for (const voter of draw.shuffled(votersBeside(world, gateway))) {
    const endMs = beginMs + promiseMs * draw.between(0.6, 1.8);
    if (endMs > longestMs) return;
    cut(world, [gateway, voter], { beginMs, endMs });
    if (other !== gateway && draw.chance(0.5))
      cut(world, draw.chance(0.5) ? [other, voter] : [voter, other], {
        beginMs: endMs * 0.9,
        endMs: longestMs,
      });
    // Sometimes the next one loses it when this one has just got it back, sometimes when this one grants it again.
    const laterMs = promiseMs * draw.next();
    beginMs = endMs + draw.pick([-0.5 * laterMs, 0, laterMs, 1.1 * promiseMs + 0.5 * laterMs]);
    beginMs = Math.max(0, beginMs);
  }
}

/**
 * The way from the voters to a gateway is slow, so that grants come when most of the session has passed already. Often it
 * ends in the gateway's not being heard any more, while what was granted before still arrives.
 */
export function answerLate(world: World, fault: Fault, gateway: SimNode): void {
  const { draws, network, queue, durations } = world.ground;
  const draw = draws.draw(`late answers at ${fault.atMs}`);
  const lengthMs = Math.min(Math.max(fault.durationMs, 2 * durations.sessionMs), LONGEST_MS, leftMs(world));
  // A grant that just comes in time for one of the kernel's windows makes it answer for the whole session.
  const window = draw.pick(durations.windows);
  const mostMs = window.withinMs - draw.between(0.5, 6);
  const leastMs = Math.max(0, mostMs - durations.sessionMs * draw.pick([0, 0.02, 0.2]));
  const slowness = { leastMs, mostMs, inOrder: draw.chance(0.5) };
  const lost = draw.chance(0.6);
  for (const voter of votersBeside(world, gateway)) {
    network.slow(voter.index, gateway.index, slowness);
    queue.after(lengthMs, () => network.slow(voter.index, gateway.index, undefined));
    if (lost) cut(world, [gateway, voter], { beginMs: lengthMs * draw.between(0.3, 0.6), endMs: lengthMs });
  }
}

/** A process that gets a moment of its processor now and then, as under a throttle. */
export function hiccup(world: World, fault: Fault, node: SimNode): void {
  const { draws, queue, durations } = world.ground;
  const draw = draws.draw(`hiccups at ${fault.atMs}`);
  const endMs = Math.min(
    queue.nowMs + Math.min(fault.durationMs, 2 * LONGEST_MS) + 2 * durations.sessionMs,
    world.chaosMs - 1,
  );
  let atMs = queue.nowMs;
  while (atMs < endMs) {
    const lengthMs = Math.min(durations.sessionMs * draw.between(0.5, 2), endMs - atMs);
    queue.at(atMs, () => node.agent?.block(lengthMs));
    atMs += lengthMs + draw.between(0.5, 40);
  }
}
