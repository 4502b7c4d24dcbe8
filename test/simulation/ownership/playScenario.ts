/**
 * Plays a directed scenario: a chain of mishaps that random seeds meet too seldom, on a fixed small world. Ends
 * with the rule that was broken, if one was.
 */
import { Violation } from './checker.ts';
import type { CoreModule } from './coreModule.ts';
import type { WorldBug } from './ground.ts';
import type { Shape } from './shape.ts';
import type { SimNode } from './simNode.ts';
import { World } from './world.ts';

export interface Stage {
  readonly world: World;
  /** Who answers for the first address. */
  readonly holder: SimNode;
  readonly node: (name: string) => SimNode;
  readonly at: (atMs: number, run: () => void) => void;
  readonly cut: (from: string, to: string, beginMs: number, endMs: number) => void;
}

export interface Scenario {
  readonly name: string;
  readonly shape?: Partial<Shape>;
  /** Of each node's clock; absent: drawn. */
  readonly rateOf?: (name: string) => number;
  /** Absent: long enough for most. */
  readonly endMs?: number;
  readonly play: (stage: Stage) => void;
  /** What has to hold when it is over, beyond the safety rules. */
  readonly after?: (stage: Stage) => void;
}

/** When the first address has long found its holder. */
export const BEGIN_MS = 3000;
const END_MS = 9000;

const SHAPE: Shape = {
  gateways: 2,
  others: 3,
  voters: ['w0', 'w1', 'w2'],
  addresses: 1,
  settings: { heartbeatMs: 25, sessionMs: 200 },
  chaosMs: END_MS,
  quietMs: 0,
};

export interface ScenarioOptions {
  readonly core?: CoreModule;
  readonly bug?: WorldBug | undefined;
  readonly seed?: number;
  readonly trace?: (line: string) => void;
}

export function playScenario(scenario: Scenario, options: ScenarioOptions = {}): Violation | undefined {
  const { seed = 1, core, bug, trace } = options;
  const world = new World({
    seed,
    shape: { ...SHAPE, ...scenario.shape },
    faults: [],
    rateOf: scenario.rateOf,
    bug,
    trace,
    ...(core === undefined ? {} : { core }),
  });
  const { queue, checker, network, indexOf } = world.ground;
  try {
    queue.runUntil(BEGIN_MS);
    const [holder] = checker.answerersOf(world.addresses[0] ?? '');
    if (holder === undefined) throw new Violation('L1', queue.nowMs, 'nobody answers at the beginning');
    const index = (name: string): number => indexOf.get(name) ?? -1;
    const stage: Stage = {
      world,
      holder,
      node: (name) => world.nodes[index(name)] ?? holder,
      at: (atMs, run) => queue.at(BEGIN_MS + atMs, run),
      cut(from, to, beginMs, endMs) {
        queue.at(BEGIN_MS + beginMs, () => network.cut(index(from), index(to), 1));
        queue.at(BEGIN_MS + endMs, () => network.cut(index(from), index(to), -1));
      },
    };
    scenario.play(stage);
    queue.runUntil(scenario.endMs ?? END_MS);
    scenario.after?.(stage);
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error;
    throw error;
  }
}
