/**
 * One seed: a safety phase full of faults, then a liveness phase without any. Ends with figures, or with the rule that
 * was broken and when.
 */
import { REFRESH_MS } from '../../../failover/core/ownership/announceArmed.ts';
import { Violation } from './checker.ts';
import type { CoreModule } from './coreModule.ts';
import type { Coverage } from './coverage.ts';
import { Draws } from './draws.ts';
import { drawFaults, type Fault } from './faults.ts';
import type { WorldBug } from './ground.ts';
import type { Weather } from './network.ts';
import { drawShape } from './shape.ts';
import { World } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  readonly core?: CoreModule;
  readonly bug?: WorldBug | undefined;
  /** Indices of the faults that are kept; absent: all. */
  readonly keep?: readonly number[];
  readonly trace?: ((line: string) => void) | undefined;
}

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly faults: readonly Fault[];
  readonly coverage: Coverage;
  /** From the end of all faults until every address was answered by exactly one, for good. */
  readonly recoveryMs: number;
  /** The same until the router sent each address to whoever answers. */
  readonly routeMs: number;
  readonly moves: number;
  readonly thawOverlaps: readonly number[];
  readonly events: number;
}

/** Sessions that ended start again after 250 ms, leases and lists take some calls, and a failed call is retried. */
export const RECOVERY_MAX_MS = 3500;
/** The holder tells of itself again, and once more should that word be lost. */
const MISLED_MAX_MS = 2 * REFRESH_MS + RECOVERY_MAX_MS;
const SAMPLE_MS = 10;
/** At the end nothing may move any more for so long. */
const STILL_MS = 800;

export function drawRun(seed: number) {
  const draws = new Draws(seed);
  const shape = drawShape(draws);
  const draw = draws.draw('weather');
  const rough = draw.chance(0.5);
  const weather: Weather = {
    loss: rough ? 0.05 * draw.next() : 0,
    delayMs: rough ? 10 * draw.next() : 0.5,
    doubled: rough ? 0.02 : 0,
  };
  const stalls = draw.chance(0.3) ? { probability: 0.001, leastMs: 20, mostMs: 150 } : undefined;
  return { shape, weather, stalls, faults: drawFaults(draws, shape, seed) };
}

export function simulate(options: RunOptions): RunResult {
  const { seed, core, bug, keep, trace } = options;
  const { shape, weather, stalls, faults: drawn } = drawRun(seed);
  const faults = keep === undefined ? drawn : drawn.filter((_, index) => keep.includes(index));
  const world = new World({
    seed,
    shape,
    faults,
    weather,
    bug,
    trace,
    ...(core === undefined ? {} : { core }),
  });
  const { queue, checker, coverage } = world.ground;
  let recovered: Recovered = { recoveryMs: 0, routeMs: 0 };
  let violation: Violation | undefined;
  try {
    if (stalls !== undefined) world.stall(stalls);
    queue.runUntil(shape.chaosMs);
    calm(world);
    recovered = recover(world, shape.chaosMs + shape.quietMs);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error;
  }
  const { thawOverlaps, answered } = checker;
  return {
    seed,
    violation,
    faults,
    coverage,
    ...recovered,
    moves: answered.length,
    thawOverlaps,
    events: queue.executed,
  };
}

/** Every fault is over; what remains of the weather is what a network has. */
function calm(world: World): void {
  world.stall({ probability: 0, leastMs: 0, mostMs: 0 });
  world.ground.network.weather = { loss: 0, delayMs: 0.5, doubled: 0 };
  for (const node of world.nodes) {
    node.on = true;
    if (node.agent === undefined) node.crash(1);
  }
}

type Recovered = Pick<RunResult, 'recoveryMs' | 'routeMs'>;

/** When every address was answered by exactly one for good, and the router knew by whom. */
function recover(world: World, endMs: number): Recovered {
  const { queue, checker, api, segment } = world.ground;
  const beginMs = queue.nowMs;
  let [recoveryMs, routeMs, untilMs] = [0, 0, endMs];
  while (queue.nowMs < untilMs) {
    queue.runUntil(Math.min(untilMs, queue.nowMs + SAMPLE_MS));
    const passedMs = queue.nowMs - beginMs;
    const wrong = [...api.truth.wanted].filter((address) => checker.answerersOf(address).length !== 1);
    const astray = [...api.truth.wanted].filter(
      (address) => segment.routeOf(address) !== checker.answerersOf(address)[0],
    );
    if (wrong.length > 0) recoveryMs = passedMs;
    if (astray.length > 0) routeMs = passedMs;
    if (recoveryMs > RECOVERY_MAX_MS)
      throw new Violation('L1', queue.nowMs, `nobody answers for ${wrong.join(', ')} long after all faults`);
    const late = astray.filter((it) => passedMs > (segment.isMisled(it) ? MISLED_MAX_MS : RECOVERY_MAX_MS));
    if (late.length > 0)
      throw new Violation('L1', queue.nowMs, `the router sends ${late.join(', ')} where nobody answers`);
    if (astray.length > 0) untilMs = Math.max(untilMs, queue.nowMs + STILL_MS);
  }
  const late = checker.answered.find(({ atMs }) => atMs > untilMs - STILL_MS);
  if (late !== undefined)
    throw new Violation(
      'L2',
      late.atMs,
      `${late.address} moved from ${late.from} to ${late.to} without a reason`,
    );
  const astray = world.nodes.find((node) =>
    [...api.truth.wanted].some((it) => node.agent?.holderOf(it) !== checker.answerersOf(it)[0]?.name),
  );
  if (astray !== undefined) throw new Violation('L2', untilMs, `${astray.name} sends where nobody answers`);
  return { recoveryMs, routeMs };
}
