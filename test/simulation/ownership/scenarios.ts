/**
 * Directed scenarios: each a chain of mishaps that the protocol survives by one of its rules, which random seeds reach too
 * seldom. With that rule taken away the same chain breaks it. X holds the address, Y is the other gateway.
 */
import { REFRESH_MS } from '../../../failover/core/ownership/announceArmed.ts';
import { CLOCK_RATE_ERROR } from '../../../failover/core/ownership/durations.ts';
import { Violation } from './checker.ts';
import { BEGIN_MS, type Scenario, type Stage } from './playScenario.ts';
import type { SimNode } from './simNode.ts';

const FAR_MS = 5000;

function otherGateway({ world, holder }: Stage): SimNode {
  return world.gateways.find((it) => it !== holder) ?? holder;
}

export const A_VOTER_FORGETS_ITS_VERDICT: Scenario = {
  name: 'a voter calls a session dead, restarts and hears it again while another calls it dead',
  play(stage) {
    const { holder: x, node, at, cut } = stage;
    const y = otherGateway(stage);
    cut(x.name, 'w0', 0, 240);
    at(225, () => node('w0').crash(1));
    // Y knows of w0 only what it said in its former life.
    cut(y.name, 'w0', 222, FAR_MS);
    cut(x.name, 'w1', 170, FAR_MS);
  },
};

export const ONE_HALF_LEARNS_OF_NEW_VOTERS: Scenario = {
  name: 'two of the old voters and the holder do not learn that the voters change',
  shape: { others: 4 },
  play(stage) {
    const { world, holder: x, node, at, cut } = stage;
    for (const name of ['w0', 'w1']) node(name).agent?.stallWatch(2500);
    x.agent?.stallWatch(2500);
    cut(x.name, 'w2', 0, 2500);
    at(10, () => world.wishVoters(0, 1));
  },
};

export const OLD_VOTERS_LEARN_AT_THE_LAST_MOMENT: Scenario = {
  name: 'the holder is granted by the old voters until the moment they learn of the new ones',
  shape: { others: 4 },
  play(stage) {
    const { world, holder: x, node, at, cut } = stage;
    for (const name of ['w0', 'w1']) node(name).agent?.stallWatch(700);
    x.agent?.stallWatch(2500);
    cut(x.name, 'w2', 0, FAR_MS);
    // What w0 and w1 answer when they know is lost: the holder goes on by what they granted before.
    for (const name of ['w0', 'w1']) cut(name, x.name, 705, FAR_MS);
    at(10, () => world.wishVoters(0, 1));
  },
};

export const RESTARTED_AGENTS_KNOW_OLD_VOTERS: Scenario = {
  name: 'the holder and two of the old voters restart after the voters have changed',
  shape: { others: 4 },
  play(stage) {
    const { world, holder: x, node, at, cut } = stage;
    world.wishVoters(0, 1);
    cut(x.name, 'w2', 1500, FAR_MS);
    at(1600, () => x.crash(20));
    for (const name of ['w0', 'w1']) at(1600, () => node(name).crash(20));
    for (let atMs = 1900; atMs < 4000; atMs += 150)
      at(atMs, () => {
        for (const each of world.controllers) each.moves.add(world.addresses[0] ?? '');
      });
  },
};

export const HEARD_BY_ONE_THAT_CALLED_IT_DEAD: Scenario = {
  name: 'a lapsed session is granted by a voter that had called it dead and by one that had not',
  play(stage) {
    const { holder: x, at, cut } = stage;
    x.apiCuts += 1;
    cut(x.name, 'w0', 0, 340);
    cut(x.name, 'w1', 0, FAR_MS);
    // It gets so little of its processor that it hardly beats, but often enough for w2.
    const runs = [26, 145, 342, 450, 556];
    runs.forEach((run, index) => {
      const next = runs[index + 1];
      if (next !== undefined) at(run + 4, () => x.agent?.block(next - run - 4));
    });
  },
};

export const AN_ARMING_FAILS_AND_ITS_RIGHT_GOES: Scenario = {
  name: 'an arming fails after it took effect, and the address is assigned to another meanwhile',
  play(stage) {
    const { world, holder: x, at } = stage;
    const y = otherGateway(stage);
    const move = (): void => {
      for (const each of world.controllers) each.moves.add(world.addresses[0] ?? '');
    };
    y.kernel.failures = 1;
    at(1, move);
    for (let atMs = 100; atMs < 3000; atMs += 130) at(atMs, move);
    at(2500, () => {
      y.kernel.failures = 0;
      x.kernel.failures = 0;
    });
  },
};

export const ENDED_WHILE_ITS_LEASE_IS_RENEWED: Scenario = {
  name: 'the holder is told to end while a renewal of its Lease is under way and its kernel is slow',
  play({ world, holder: x, at }) {
    world.ground.api.latency = { leastMs: 20, mostMs: 30 };
    at(700, () => {
      x.kernel.stalledUntilMs = world.ground.queue.nowMs + 400;
      x.agent?.stop(() => x.crash(500));
    });
  },
};

export const THE_NEXT_HOLDER_DIES_BEFORE_IT_ASKS: Scenario = {
  name: 'an address moves twice in a row, and the second holder never came to ask the first one',
  shape: { gateways: 3 },
  play({ world, holder: x, node, at, cut }) {
    const { order } = world.ground.api.truth.ips.get(world.addresses[0] ?? '') ?? { order: [] };
    const [y = '', z = ''] = order.map(({ gateway }) => gateway).filter((name) => name !== x.name);
    // Nobody hears Y: its asks are lost.
    for (const { name } of world.nodes) if (name !== y) cut(y, name, 0, FAR_MS);
    // Z learns of both moves at once, and of the first one only by the fence of the second.
    node(z).agent?.stallWatch(700);
    at(1, () => world.cordoned.add(x.name));
    at(300, () => world.cordoned.add(y));
  },
};

export const CALLED_DEAD_BY_ONE_AND_LATER_BY_ANOTHER: Scenario = {
  name: 'a voter calls the holder dead and takes it back unheard, and later another one calls it dead',
  play(stage) {
    const { holder: x, cut } = stage;
    const y = otherGateway(stage);
    cut(x.name, 'w0', 0, 240);
    // Y knows of w0 only that it called X dead.
    cut('w0', y.name, 232, FAR_MS);
    cut(x.name, 'w1', 700, FAR_MS);
  },
};

export const GRANTED_AT_THE_LAST_MOMENT_AND_NOT_HEARD_AGAIN: Scenario = {
  name: 'grants come when a window of the kernel is nearly over, and then the holder is not heard any more',
  rateOf: (name) => (name.startsWith('g') ? 1 - CLOCK_RATE_ERROR : 1 + CLOCK_RATE_ERROR),
  play({ world, holder: x, at, cut }) {
    const { network, durations, draws } = world.ground;
    const draw = draws.draw('late grants');
    const mostMs = draw.pick(durations.windows).withinMs + draw.between(-2, 4);
    for (const { name, index } of world.nodes) {
      if (name === x.name) continue;
      at(0, () => network.slow(index, x.index, { leastMs: mostMs - 2, mostMs, inOrder: false }));
      cut(x.name, name, 600, FAR_MS);
    }
  },
};

export const A_STALL_MEETS_EVERY_STANDBY: Scenario = {
  name: 'the holder loses its power while every standby stalls, and no API server answers',
  shape: { gateways: 3 },
  play({ world, holder: x, at }) {
    world.ground.api.outages += 1;
    for (const standby of world.gateways.filter((it) => it !== x)) at(20, () => standby.agent?.block(400));
    at(30, () => x.powerOff(2 * FAR_MS));
  },
  after: oneAnswers,
};

export const NOBODY_HEARS_THE_STANDBYS: Scenario = {
  name: 'nothing of the voters reaches the standbys for a while, then the holder loses its power, without an API server',
  shape: { gateways: 3 },
  play({ world, holder: x, at, cut }) {
    world.ground.api.outages += 1;
    for (const voter of ['w0', 'w1', 'w2'])
      for (const standby of world.gateways.filter((it) => it !== x)) cut(voter, standby.name, 20, 1500);
    at(2500, () => x.powerOff(2 * FAR_MS));
  },
  after: oneAnswers,
};

export const THE_HOLDER_IS_NOT_ANSWERED: Scenario = {
  name: 'the voters hear the holder, which hears none of them, and no API server answers',
  play({ world, holder: x, cut }) {
    world.ground.api.outages += 1;
    for (const voter of ['w0', 'w1', 'w2']) cut(voter, x.name, 20, 2 * FAR_MS);
  },
  after: oneAnswers,
};

export const THAWED_AMONG_VOTERS_THAT_FORGOT: Scenario = {
  name: 'the holder is frozen with its clock, and thaws when the voters that called it dead have restarted',
  play({ holder: x, node, at }) {
    at(60, () => x.freeze(1900));
    x.agent?.stallWatch(FAR_MS);
    for (const name of ['w0', 'w1']) at(700, () => node(name).crash(20));
  },
};

export const THAWED_AMONG_NEW_VOTERS: Scenario = {
  name: 'the holder is frozen with its clock, and thaws when one of those that called it dead votes no more',
  shape: { others: 4 },
  play(stage) {
    const { world, holder: x, at, cut } = stage;
    at(60, () => x.freeze(1900));
    x.agent?.stallWatch(FAR_MS);
    // One voter does not learn that somebody waits.
    cut(otherGateway(stage).name, 'w2', 0, FAR_MS);
    at(700, () => world.wishVoters(0, 2));
  },
};

export const THAWED_WITH_THE_LAST_WORD: Scenario = {
  name: "the holder is frozen with its clock while it announces, and the rest of its words come after the next one's",
  endMs: BEGIN_MS + 2 * REFRESH_MS + 2000,
  play({ world, holder: x, at }) {
    const { segment } = world.ground;
    const [address = ''] = world.addresses;
    at(60, () => x.freeze(2900));
    at(2961, () => segment.announce(x, address));
  },
  after({ world, holder }) {
    const { queue, checker, segment } = world.ground;
    const [address = ''] = world.addresses;
    const [answerer] = checker.answerersOf(address);
    const route = segment.routeOf(address);
    if (answerer === holder || route !== answerer)
      throw new Violation('L1', queue.nowMs, `${answerer?.name} answers, the router sends to ${route?.name}`);
  },
};

/** Somebody else, since long before the end. */
function oneAnswers({ world, holder }: Stage): void {
  const { queue, checker } = world.ground;
  const names = checker.answerersOf(world.addresses[0] ?? '').map(({ name }) => name);
  if (names.length !== 1 || names[0] === holder.name)
    throw new Violation('L1', queue.nowMs, `answered by ${names.join(', ') || 'nobody'}`);
}

export const SCENARIOS: readonly Scenario[] = [
  A_VOTER_FORGETS_ITS_VERDICT,
  ONE_HALF_LEARNS_OF_NEW_VOTERS,
  OLD_VOTERS_LEARN_AT_THE_LAST_MOMENT,
  RESTARTED_AGENTS_KNOW_OLD_VOTERS,
  HEARD_BY_ONE_THAT_CALLED_IT_DEAD,
  AN_ARMING_FAILS_AND_ITS_RIGHT_GOES,
  ENDED_WHILE_ITS_LEASE_IS_RENEWED,
  THE_NEXT_HOLDER_DIES_BEFORE_IT_ASKS,
  CALLED_DEAD_BY_ONE_AND_LATER_BY_ANOTHER,
  GRANTED_AT_THE_LAST_MOMENT_AND_NOT_HEARD_AGAIN,
  A_STALL_MEETS_EVERY_STANDBY,
  NOBODY_HEARS_THE_STANDBYS,
  THE_HOLDER_IS_NOT_ANSWERED,
  THAWED_AMONG_VOTERS_THAT_FORGOT,
  THAWED_AMONG_NEW_VOTERS,
  THAWED_WITH_THE_LAST_WORD,
];
