/** How long failovers take and how often nothing but a stall moves an address: measured on the model, for the docs. */
import type { Settings } from './ground.ts';
import { CLEAR, type Weather } from './network.ts';
import { percentiles } from './percentiles.ts';
import type { Shape } from './shape.ts';
import { World } from './world.ts';

/** What the first simulator measured at: 5% loss, up to 20 ms. */
export const LOSSY: Weather = { loss: 0.05, delayMs: 20, doubled: 0 };
/** A scheduler under load. */
export const STALLS = { probability: 0.001, leastMs: 50, mostMs: 150 } as const;
const BEGIN_MS = 2500;
const AFTER_MS = 1500;
const HOUR_MS = 3_600_000;

function shapeOf(settings: Settings, chaosMs: number): Shape {
  return {
    gateways: 3,
    others: 3,
    voters: ['w0', 'w1', 'g0'],
    addresses: 1,
    settings,
    chaosMs,
    quietMs: 0,
  };
}

/** From the power cut of whoever answers to the next kernel's answering, milliseconds; one a seed. */
export function failoverMs(seed: number, settings: Settings, weather: Weather): number | undefined {
  const world = new World({ seed, shape: shapeOf(settings, BEGIN_MS), faults: [], weather });
  const { queue, checker } = world.ground;
  const address = world.addresses[0] ?? '';
  queue.runUntil(BEGIN_MS + (seed % 97));
  const [holder] = checker.answerersOf(address);
  if (holder === undefined) return undefined;
  const cutMs = queue.nowMs;
  holder.powerOff(AFTER_MS);
  queue.runUntil(cutMs + AFTER_MS);
  const next = checker.answered.find(({ atMs, to }) => atMs > cutMs && to !== holder.name);
  return next === undefined ? undefined : next.atMs - cutMs;
}

/** Moves after the beginning in a world where nothing happens but that. */
export function movesWithout(
  seed: number,
  world: {
    readonly settings: Settings;
    readonly weather: Weather;
    readonly stalls: World['calmStalls'];
    readonly lengthMs: number;
  },
): number {
  const { settings, weather, stalls, lengthMs } = world;
  const calm = new World({ seed, shape: shapeOf(settings, lengthMs), faults: [], weather });
  calm.ground.queue.runUntil(BEGIN_MS);
  calm.stall(stalls);
  calm.ground.queue.runUntil(BEGIN_MS + lengthMs);
  return calm.ground.checker.answered.filter(({ atMs }) => atMs > BEGIN_MS).length;
}

export function printFigures(seeds: number): void {
  const settings = { heartbeatMs: 25, sessionMs: 200 };
  for (const [name, weather] of [
    ['clean', CLEAR],
    ['loss 5%, delay ≤ 20 ms', LOSSY],
  ] as const) {
    const times = Array.from({ length: seeds }, (_, index) => failoverMs(index + 1, settings, weather));
    const known = times.filter((it) => it !== undefined);
    console.log(
      `H/L 25/200, ${name}: power cut to the new kernel answering ${percentiles(known)}, ${seeds - known.length} without`,
    );
  }
  const lengthMs = HOUR_MS / 12;
  const moves = Array.from({ length: 12 }, (_, index) =>
    movesWithout(index + 1, { settings, weather: CLEAR, stalls: STALLS, lengthMs }),
  );
  console.log(
    `H/L 25/200, stalls of 50–150 ms at every 1000th step: ${moves.reduce((a, b) => a + b, 0)} moves in an hour`,
  );
}
