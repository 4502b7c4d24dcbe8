/**
 * One part of the test, in a process of its own: vitest reaches every import by way of a proxy, which makes the same runs
 * five times slower. Prints what is wrong as JSON, a list of sentences; `node job.ts <kind> [name]`.
 */
import { REAL_CORE } from './coreModule.ts';
import { Coverage } from './coverage.ts';
import { failoverMs, movesWithout, STALLS } from './figures.ts';
import { isFound } from './huntBugs.ts';
import { KEPT_SEEDS } from './keptSeeds.ts';
import { CLEAR } from './network.ts';
import { percentile } from './percentiles.ts';
import { DIRECTED_BUGS, PLANTED_BUGS } from './plantedBugs.ts';
import { plantCore } from './plantedCore.ts';
import { playScenario } from './playScenario.ts';
import { SCENARIOS } from './scenarios.ts';
import { simulate } from './simulate.ts';
import { World } from './world.ts';

const SEEDS = 200;
/** Each planted bug is found within so many. */
const BUG_SEEDS_MAX = 300;
/** Clock rates and delays that a scenario is tried with; more where it has to find something. */
const SCENARIO_SEEDS = 20;
const DIRECTED_SEEDS = 40;
const DEFAULTS = { heartbeatMs: 25, sessionMs: 200 } as const;

const seedsTo = (last: number): readonly number[] => Array.from({ length: last }, (_, index) => index + 1);

function batch(): readonly string[] {
  const coverage = new Coverage();
  for (const { seed, keep, story } of KEPT_SEEDS) {
    const { violation } = simulate({ seed, ...(keep === undefined ? {} : { keep }) });
    if (violation !== undefined) return [`the kept seed ${seed} (${story}): ${violation.message}`];
  }
  for (const seed of seedsTo(SEEDS)) {
    const { violation, coverage: seen } = simulate({ seed });
    if (violation !== undefined)
      return [`${violation.message}; node test/simulation/ownership/main.ts --seed ${seed} --trace`];
    coverage.add(seen);
  }
  return coverage.missing().map((name) => `never seen: ${name}`);
}

function scenarios(): readonly string[] {
  return SCENARIOS.flatMap((scenario) =>
    seedsTo(SCENARIO_SEEDS).flatMap((seed) => {
      const violation = playScenario(scenario, { seed });
      return violation === undefined ? [] : [`${scenario.name}, seed ${seed}: ${violation.message}`];
    }),
  );
}

async function bug(name: string): Promise<readonly string[]> {
  const random = PLANTED_BUGS.find((it) => it.name === name);
  const directed = DIRECTED_BUGS.find((it) => it.bug.name === name);
  if (random !== undefined) return (await isFound(random, BUG_SEEDS_MAX)) ? [] : [`${name}: not found`];
  if (directed === undefined) return [`${name}: no such bug`];
  const { patch, world } = directed.bug;
  const core = patch === undefined ? REAL_CORE : await plantCore(patch);
  const found = seedsTo(DIRECTED_SEEDS).some(
    (seed) => playScenario(directed.scenario, { seed, core, bug: world }) !== undefined,
  );
  return found ? [] : [`${name}: not found`];
}

/** S6: the addresses of the gateway that loses its power move, and no others. */
function leaving(): readonly string[] {
  return seedsTo(10).flatMap((seed) => {
    const parts = { gateways: 3, others: 3, voters: ['w0', 'w1', 'w2'], addresses: 3, settings: DEFAULTS };
    const world = new World({ seed, shape: { ...parts, chaosMs: 9000, quietMs: 0 }, faults: [] });
    const { queue, checker } = world.ground;
    const [first = '', ...others] = world.addresses;
    queue.runUntil(3000);
    for (const each of world.controllers) for (const address of others) each.moves.add(address);
    queue.runUntil(5000);
    const [holder] = checker.answerersOf(first);
    holder?.powerOff(2000);
    queue.runUntil(9000);
    const moved = checker.answered.filter(({ atMs }) => atMs > 5000);
    const wrong = moved.filter(({ from }) => from !== holder?.name);
    return [
      ...wrong.map(({ address, from }) => `seed ${seed}: ${address} moved although ${from} stayed`),
      ...(moved.length === 0 ? [`seed ${seed}: nothing moved`] : []),
    ];
  });
}

/** L3: what is below the detection threshold moves nothing. */
function below(): readonly string[] {
  const stalls = { probability: 0.005, leastMs: 20, mostMs: 90 };
  const weather = { loss: 0.05, delayMs: 5, doubled: 0.01 };
  const rough = seedsTo(5).map((seed) =>
    movesWithout(seed, { settings: DEFAULTS, weather, stalls, lengthMs: 20_000 }),
  );
  const loaded = movesWithout(1, { settings: DEFAULTS, weather: CLEAR, stalls: STALLS, lengthMs: 300_000 });
  return [...rough, loaded].flatMap((moves) => (moves === 0 ? [] : [`${moves} moves without a reason`]));
}

/** design.md §7: a power cut is over within 250 ms for half of the addresses, within 400 ms for 99 of 100. */
function failover(): readonly string[] {
  const times = seedsTo(60).map((seed) => failoverMs(seed, DEFAULTS, CLEAR) ?? Number.POSITIVE_INFINITY);
  const sorted = times.toSorted((a, b) => a - b);
  const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)];
  return p50 <= 250 && p99 <= 400 ? [] : [`p50 ${p50} ms, p99 ${p99} ms`];
}

const [kind = '', name = ''] = process.argv.slice(2);
const JOBS: Readonly<Record<string, () => readonly string[] | Promise<readonly string[]>>> = {
  batch,
  scenarios,
  leaving,
  below,
  failover,
  bug: () => bug(name),
};
console.log(JSON.stringify((await JOBS[kind]?.()) ?? [`${kind}: no such job`]));
