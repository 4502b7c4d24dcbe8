/**
 * What befalls a world and what its people do to it: a list drawn from the seed before the run, so that a failing run is
 * shrunk by leaving entries out. Every fault ends with the safety phase.
 */
import type { Draws, Stream } from './draws.ts';
import type { Shape } from './shape.ts';

/** Drawn as often as its weight says. */
const WEIGHTS = {
  pause: 6,
  stalls: 2,
  crash: 4,
  'power cut': 3,
  terminate: 4,
  'cut one way': 5,
  isolate: 3,
  'cut from voters': 5,
  'cut from one voter after another': 6,
  'late answers': 5,
  hiccups: 4,
  swizzle: 1,
  loss: 2,
  delay: 2,
  doubled: 1,
  'kernel stall': 4,
  'kernel failures': 2,
  'api outage': 2,
  'api cut': 3,
  'api lost answers': 2,
  'api slow': 2,
  'watch stall': 3,
  'watch goes back': 1,
  'controller stall': 2,
  'two leaders': 1,
  'other leader': 2,
  'no leader': 2,
  'lease deleted': 1,
  move: 6,
  cordon: 3,
  uncordon: 3,
  'policy gone': 2,
  'replace a voter': 4,
} as const;

export type FaultKind = keyof typeof WEIGHTS | 'freeze' | 'etcd restored';

export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly durationMs: number;
  /** Which node, address or replica; taken modulo how many there are. */
  readonly whom: number;
  readonly other: number;
  /** In [0, 1): how bad. */
  readonly amount: number;
}

/** Seeds divisible by this have their virtual machines frozen now and then, and nothing else that is worse. */
export const FREEZE_SEEDS = 10;
/** In these etcd is restored from a snapshot, once or twice. */
export const RESTORE_SEEDS = 5;
const CALM_SEEDS = 8;
const FIRST_MS = 1500;
/** Before the end of the safety phase; an agent that ends may take its grace period, and starts again. */
const LAST_MS = 500;
const STOP_AND_START_MS = 4600;

export function drawFaults(draws: Draws, shape: Shape, seed: number): readonly Fault[] {
  const draw = draws.draw('faults');
  const count = seed % CALM_SEEDS === 1 ? draw.integer(12) : 20 + draw.integer(40);
  const freezes = seed % FREEZE_SEEDS === 0 ? 4 : 0;
  const kinds = Object.entries(WEIGHTS).flatMap(([kind, weight]) =>
    Array.from({ length: weight }, () => kind as FaultKind),
  );
  const faults = Array.from({ length: count + freezes }, (_, index) => {
    const kind = index < freezes ? 'freeze' : draw.pick(kinds);
    return drawFault(draw, shape, kind);
  });
  const restores = draws.draw('restores');
  const restored = Array.from({ length: seed % RESTORE_SEEDS === 2 ? 1 + restores.integer(2) : 0 }, () =>
    drawFault(restores, shape, 'etcd restored'),
  );
  return [...faults, ...restored].toSorted((a, b) => a.atMs - b.atMs);
}

function drawFault(draw: Stream, shape: Shape, kind: FaultKind): Fault {
  const lastMs = kind === 'terminate' ? STOP_AND_START_MS : LAST_MS;
  const atMs = draw.between(FIRST_MS, shape.chaosMs - lastMs);
  // Most faults are short beside the durations of the protocol, some are long.
  const longest = draw.pick([300, 800, 800, 2500, 8000]);
  const durationMs = Math.min(draw.between(50, longest), shape.chaosMs - 1 - atMs);
  return {
    kind,
    atMs: Math.round(atMs),
    durationMs: Math.max(1, Math.round(durationMs)),
    whom: draw.integer(1 << 16),
    other: draw.integer(1 << 16),
    amount: draw.next(),
  };
}

export function showFault({ kind, atMs, durationMs, whom, other, amount }: Fault): string {
  return `${atMs} ms: ${kind} for ${durationMs} ms (${whom}, ${other}, ${amount.toFixed(2)})`;
}
