import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GATEWAY_LABEL, ZONE_LABEL } from '../../../policy/names.ts';
import { emptyGatewayNode } from '../../../test/simulation/controllerGateways.ts';
import { hasMajority, majorityOf, type VoterConfig } from '../ownership/voterConfig.ts';
import type { ControllerView } from './controllerView.ts';
import { NO_WAITS, planVoters, type VoterPlan, type VoterWaits } from './planVoters.ts';

const SETTLED_MS = 300;
/** The first configuration waits for so long if not all nodes have an agent yet. */
const FIRST_WAIT_MS = 5000;

interface Agent {
  readonly name: string;
  readonly gateway?: boolean;
  readonly zone?: string;
  /** The cluster holds the node to be ready. */
  readonly ready?: boolean;
  /** Its data plane works. */
  readonly works?: boolean;
  /** It has reported at all. */
  readonly reported?: boolean;
  readonly knows?: number;
}

function viewOf(agents: readonly Agent[], config?: VoterConfig): ControllerView {
  return {
    policies: [],
    nodes: new Map(
      agents.map(({ name, gateway = false, zone = 'a', ready = true }) => [
        name,
        {
          name,
          labels: { [ZONE_LABEL]: zone, ...(gateway ? { [GATEWAY_LABEL]: '' } : {}) },
          addresses: [],
          podCidrs: [],
          unschedulable: false,
          drained: false,
          taints: [],
          ready,
        },
      ]),
    ),
    gatewayNodes: new Map(
      agents
        .filter(({ reported = true }) => reported)
        .map(({ name, works = true, knows = 0 }) => [
          name,
          {
            ...emptyGatewayNode(name),
            dataPlaneReady: works,
            voterConfig: { version: knows, sets: [['a', 'b', 'c']] },
          },
        ]),
    ),
    egressIps: new Map(),
    sessions: new Map(),
    silent: new Set(),
    voters: config === undefined ? undefined : { config, resourceVersion: '1' },
    asked: new Map(),
  };
}

function plan(view: ControllerView, nowMs = 0, waits: VoterWaits = NO_WAITS): VoterPlan {
  return planVoters(view, waits, { settledMs: SETTLED_MS, nowMs });
}

const workers = (count: number): readonly Agent[] =>
  Array.from({ length: count }, (_, index) => ({ name: `w-${index}` }));
const gateways = (count: number): readonly Agent[] =>
  Array.from({ length: count }, (_, index) => ({ name: `gw-${index}`, gateway: true }));
const chosen = (agents: readonly Agent[]) => plan(viewOf(agents)).next?.sets[0] ?? [];

describe('the first voters', () => {
  test.each([
    { agents: 1, voters: 1 },
    { agents: 2, voters: 1 },
    { agents: 3, voters: 3 },
    { agents: 6, voters: 3 },
    { agents: 7, voters: 5 },
    { agents: 40, voters: 5 },
  ])('of $agents agents are $voters', ({ agents, voters }) => {
    expect(plan(viewOf(workers(agents))).next).toMatchObject({ version: 1 });
    expect(chosen(workers(agents))).toHaveLength(voters);
  });

  test.each([
    { name: 'gateways last', agents: [...gateways(5), ...workers(2)], gateways: 3 },
    {
      name: 'no gateway where there are enough others',
      agents: [...gateways(4), ...workers(5)],
      gateways: 0,
    },
    { name: 'gateways alone where there is nothing else', agents: gateways(3), gateways: 3 },
  ])('are $name', ({ agents, gateways: expected }) => {
    expect(chosen(agents).filter((name) => name.startsWith('gw'))).toHaveLength(expected);
  });

  test('are those that the agents know where somebody deleted the object: the very same again', () => {
    const agents = [{ name: 'w-0', knows: 4 }, { name: 'w-1', knows: 6 }, { name: 'w-2' }];
    const known = { version: 6, sets: [['a', 'b', 'c']] };
    expect(plan(viewOf(agents, undefined), 0).next).toEqual(known);
  });

  test.each([
    { name: 'one set', config: { version: 4, sets: [['w-0', 'w-1', 'w-2']] } },
    { name: 'two sets', config: { version: 4, sets: [['w-0', 'w-1', 'w-2'], ['w-0']] } },
  ])('are those that the agents know where an older object of $name was restored', ({ config }) => {
    const agents = [{ name: 'w-0', knows: 6 }, { name: 'w-1', knows: 4 }, { name: 'w-2' }];
    const known = { version: 6, sets: [['a', 'b', 'c']] };
    expect(plan(viewOf(agents, config), 0).next).toEqual(known);
  });

  test('are spread over the zones', () => {
    const zones = ['a', 'a', 'a', 'a', 'a', 'b', 'b', 'c'];
    const agents = zones.map((zone, index) => ({ name: `w-${index}`, zone }));
    const count = (zone: string) =>
      chosen(agents).filter((name) => zones[Number(name.slice(2))] === zone).length;
    expect(['a', 'b', 'c'].map(count)).toEqual([2, 2, 1]);
  });

  test.each([
    { name: 'its node is not ready', agent: { ready: false } },
    { name: 'its data plane does not work', agent: { works: false } },
    { name: 'its agent has not reported', agent: { reported: false } },
  ])('leave one out where $name, and wait a moment for it', ({ agent }) => {
    const view = viewOf([...workers(3), { name: 'w-3', ...agent }]);
    const first = plan(view, 1000);
    expect(first).toEqual({
      next: undefined,
      waits: { wantedSinceMs: 1000, knownSinceMs: undefined },
      wakeMs: 1000 + FIRST_WAIT_MS,
    });
    expect(plan(view, 999 + FIRST_WAIT_MS, first.waits).next).toBeUndefined();
    const last = plan(view, 1000 + FIRST_WAIT_MS, first.waits);
    expect(last.next?.sets).toEqual([['w-0', 'w-1', 'w-2']]);
    expect(last.waits).toEqual(NO_WAITS);
  });

  test('wait for nobody where five are there, and are none where no agent is', () => {
    expect(plan(viewOf([...workers(5), { name: 'w-5', reported: false }])).next).toBeDefined();
    expect(plan(viewOf([{ name: 'w-0', reported: false }]), 99_999)).toEqual({
      next: undefined,
      waits: NO_WAITS,
      wakeMs: undefined,
    });
  });
});

describe('a voter is replaced', () => {
  const five: VoterConfig = { version: 4, sets: [['w-0', 'w-1', 'w-2', 'w-3', 'w-4']] };
  const with2 = (agent: Partial<Agent>, others: readonly Agent[]) =>
    plan(
      viewOf([...workers(5).map((it) => (it.name === 'w-2' ? { ...it, ...agent } : it)), ...others], five),
    );

  test.each([
    { name: 'its node is not ready and its agent is not well', agent: { ready: false, works: false } },
    { name: 'its node is not ready, whatever its agent last said', agent: { ready: false } },
  ])('where $name', ({ agent }) => {
    expect(with2(agent, [{ name: 'w-5' }]).next).toEqual({
      version: 5,
      sets: [five.sets[0], ['w-0', 'w-1', 'w-3', 'w-4', 'w-5']],
    });
  });

  test('where its node is gone', () => {
    const agents = [...workers(6)].filter(({ name }) => name !== 'w-2');
    expect(plan(viewOf(agents, five)).next?.sets[1]).toEqual(['w-0', 'w-1', 'w-3', 'w-4', 'w-5']);
  });

  test.each([
    { name: 'its agent restarts', agent: { reported: false } },
    { name: 'its data plane has a bad moment', agent: { works: false } },
  ])('not where only $name', ({ agent }) => {
    expect(with2(agent, [{ name: 'w-5' }])).toEqual({ next: undefined, waits: NO_WAITS, wakeMs: undefined });
  });

  test('by nobody where there is no other: the set shrinks, but never to none', () => {
    expect(with2({ ready: false }, []).next?.sets).toEqual([five.sets[0], ['w-0', 'w-1', 'w-3', 'w-4']]);
    const one: VoterConfig = { version: 4, sets: [['w-0']] };
    expect(plan(viewOf([{ name: 'w-0', ready: false }], one)).next).toBeUndefined();
  });

  test('and one is added where more agents have come', () => {
    const three: VoterConfig = { version: 4, sets: [['w-0', 'w-1', 'w-2']] };
    expect(plan(viewOf(workers(6), three)).next).toBeUndefined();
    const grown = plan(viewOf(workers(7), three)).next?.sets[1] ?? [];
    expect(grown).toHaveLength(4);
    expect(grown.slice(0, 3)).toEqual(three.sets[0]);
  });
});

describe('one voter at least is no gateway', () => {
  const three: VoterConfig = { version: 4, sets: [['gw-0', 'gw-1', 'gw-2']] };

  test('also where the gateways were there first', () => {
    const agents = [...gateways(3), { name: 'w-0' }];
    expect(plan(viewOf(agents, three)).next?.sets).toEqual([three.sets[0], ['gw-1', 'gw-2', 'w-0']]);
    const mixed: VoterConfig = { version: 6, sets: [['gw-1', 'gw-2', 'w-0']] };
    expect(plan(viewOf([...agents, { name: 'w-1' }], mixed)).next).toBeUndefined();
  });

  test('but not for a gateway more, and not while one of them is away', () => {
    expect(plan(viewOf(gateways(4), three)).next).toBeUndefined();
    const away = [...gateways(2), { name: 'gw-2', gateway: true, reported: false }, { name: 'w-0' }];
    expect(plan(viewOf(away, three)).next).toBeUndefined();
  });
});

describe('a joint configuration', () => {
  const joint: VoterConfig = {
    version: 9,
    sets: [
      ['w-0', 'w-1', 'w-2'],
      ['w-1', 'w-2', 'w-3'],
    ],
  };
  const knowing = (...versions: readonly number[]) =>
    viewOf(
      versions.map((knows, index) => ({ name: `w-${index}`, knows })),
      joint,
    );

  test.each([
    { name: 'nobody knows it', view: knowing(8, 8, 8, 8) },
    { name: 'one of the old set and all of the new one know it', view: knowing(8, 8, 9, 9) },
  ])('stays, and no clock runs, while $name', ({ view }) => {
    const waits = { wantedSinceMs: undefined, knownSinceMs: 0 };
    expect(plan(view, 99_999, waits)).toEqual({ next: undefined, waits: NO_WAITS, wakeMs: undefined });
  });

  test('ends in the new set once a majority of the old one has known it for as long as old grants count', () => {
    const view = knowing(9, 9, 8, 8);
    const first = plan(view, 1000);
    expect(first).toMatchObject({ next: undefined, wakeMs: 1000 + SETTLED_MS });
    const before = plan(view, 999 + SETTLED_MS, first.waits);
    expect(before).toEqual(first);
    expect(plan(view, 1000 + SETTLED_MS, before.waits)).toEqual({
      next: { version: 10, sets: [joint.sets[1]] },
      waits: NO_WAITS,
      wakeMs: undefined,
    });
  });

  test('is left by nothing else: who is lost meanwhile is replaced after it', () => {
    const agents = [
      { name: 'w-0', knows: 9 },
      { name: 'w-1', knows: 9 },
      { name: 'w-3', ready: false },
    ];
    const waits = { wantedSinceMs: undefined, knownSinceMs: 0 };
    expect(plan(viewOf(agents, joint), SETTLED_MS, waits).next?.sets).toEqual([joint.sets[1]]);
  });
});

/** A cluster whose nodes come, fail and return; agents learn of configurations late, and only while they work. */
const happening = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('node' as const), which: fc.nat(8), ready: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('agent' as const), which: fc.nat(8), works: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('learn' as const), which: fc.nat(8) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 700 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('new leader' as const) }) },
);
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

function isGatewayName(name: string): boolean {
  return name.startsWith('gw');
}

class Cluster {
  readonly configs: VoterConfig[] = [];
  /** When each configuration was written. */
  readonly writtenAtMs: number[] = [];
  /** When a majority of the old set of the present joint configuration came to know it. */
  knownAtMs: number | undefined;
  readonly problems: string[] = [];
  readonly #agents: Agent[];
  #waits: VoterWaits = NO_WAITS;
  #nowMs = 0;

  /** Of three gateways and so many others. */
  constructor(others: number) {
    const all = [...gateways(3), ...workers(others)];
    this.#agents = all.map((it) => ({ ...it, ready: true, works: true, knows: 0 }));
  }

  get config(): VoterConfig | undefined {
    return this.configs.at(-1);
  }

  take(step: Happening): void {
    switch (step.kind) {
      case 'node':
        this.#change(step.which, { ready: step.ready });
        break;
      case 'agent':
        this.#change(step.which, { works: step.works });
        break;
      case 'learn':
        this.learn(step.which);
        break;
      case 'wait':
        this.#nowMs += step.ms;
        break;
      case 'new leader':
        this.#waits = NO_WAITS;
        break;
      default:
        step satisfies never;
    }
    this.decide();
  }

  learn(which: number): void {
    const { ready = true } = this.#agents[which] ?? {};
    if (ready) this.#change(which, { knows: this.config?.version ?? 0 });
  }

  #change(which: number, change: Partial<Agent>): void {
    const agent = this.#agents[which];
    if (agent !== undefined) this.#agents[which] = { ...agent, ...change };
  }

  decide(): void {
    const before = this.config;
    const [old = []] = before?.sets ?? [];
    const knows = (voter: string): boolean =>
      (this.#agents.find(({ name }) => name === voter)?.knows ?? 0) >= (before?.version ?? 0);
    if (before !== undefined && before.sets.length > 1 && old.filter(knows).length >= majorityOf(old))
      this.knownAtMs ??= this.#nowMs;
    const { next, waits } = planVoters(viewOf(this.#agents, before), this.#waits, {
      settledMs: SETTLED_MS,
      nowMs: this.#nowMs,
    });
    this.#waits = waits;
    if (next === undefined) return;
    this.#check(before, next);
    this.configs.push(next);
    this.knownAtMs = undefined;
  }

  #check(before: VoterConfig | undefined, next: VoterConfig): void {
    const story = `${JSON.stringify(before)} → ${JSON.stringify(next)} at ${this.#nowMs}`;
    const [from = [], to = from] = next.sets;
    const gone = from.filter((voter) => !to.includes(voter));
    const come = to.filter((voter) => !from.includes(voter));
    if (from.length === 0 || to.length === 0) this.problems.push(`an empty set: ${story}`);
    if (new Set(to).size !== to.length) this.problems.push(`a voter twice: ${story}`);
    if (gone.length > 1 || come.length > 1) this.problems.push(`more than one differs: ${story}`);
    if (before === undefined) return;
    if (next.version !== before.version + 1) this.problems.push(`the version leaps: ${story}`);
    const joining = before.sets.length === 1 && next.sets.length === 2;
    const ending = before.sets.length === 2 && next.sets.length === 1;
    if (!joining && !ending) this.problems.push(`neither into nor out of a joint configuration: ${story}`);
    if (`${next.sets[0]}` !== `${before.sets.at(-1)}`) this.problems.push(`the sets do not follow: ${story}`);
    if (ending && !(this.#nowMs >= (this.knownAtMs ?? Number.POSITIVE_INFINITY) + SETTLED_MS))
      this.problems.push(`left too early, known at ${this.knownAtMs}: ${story}`);
    const others = this.#agents.filter(({ gateway, ready, works }) => gateway !== true && ready && works);
    if (joining && come.some(isGatewayName) && others.some(({ name }) => !from.includes(name)))
      this.problems.push(`a gateway joined although another was fit: ${story}`);
  }

  /** All is well again, and everybody hears. */
  calm(): void {
    for (const which of this.#agents.keys()) this.#change(which, { ready: true, works: true });
    for (let round = 0; round < 60; round += 1) {
      for (const which of this.#agents.keys()) this.learn(which);
      this.#nowMs += SETTLED_MS;
      this.decide();
    }
  }
}

describe('whatever fails and returns', () => {
  const sizes = fc.integer({ min: 1, max: 6 });
  const histories = fc.array(happening, { minLength: 20, maxLength: 120, size: 'max' });

  test('each step changes one voter, through a joint configuration that stands long enough', () => {
    fc.assert(
      fc.property(sizes, histories, (others, steps) => {
        const cluster = new Cluster(others);
        for (const step of steps) cluster.take(step);
        expect(cluster.problems).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  test('two sets of voters that ever count one after the other have a voter in every majority of both', () => {
    fc.assert(
      fc.property(sizes, histories, (others, steps) => {
        const cluster = new Cluster(others);
        for (const step of steps) cluster.take(step);
        for (const [index, config] of cluster.configs.entries()) {
          const next = cluster.configs[index + 1];
          if (next === undefined) continue;
          // No majority of the one is without a majority's voter of the other: look at every set of voters that there is.
          const all = [...new Set([...config.sets.flat(), ...next.sets.flat()])];
          for (let bits = 0; bits < 2 ** all.length; bits += 1) {
            const isIn = (voter: string): boolean => (bits & (1 << all.indexOf(voter))) !== 0;
            expect(hasMajority(config, isIn) && hasMajority(next, (voter) => !isIn(voter))).toBe(false);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  test('once it is calm there are enough, one of them no gateway, and nothing changes any more', () => {
    fc.assert(
      fc.property(sizes, histories, (others, steps) => {
        const cluster = new Cluster(others);
        for (const step of steps) cluster.take(step);
        cluster.calm();
        const { config } = cluster;
        expect(config?.sets).toHaveLength(1);
        expect(config?.sets[0]?.length).toBeGreaterThanOrEqual(others + 3 >= 7 ? 5 : 3);
        expect(config?.sets[0]?.every(isGatewayName)).toBe(false);
        cluster.calm();
        expect(cluster.config).toBe(config);
      }),
      { numRuns: 500 },
    );
  });
});
