/** What a seed decides before anything happens: how many nodes of which kind, durations, addresses, the first voters. */
import type { Draws } from './draws.ts';
import type { Settings } from './ground.ts';

export interface Shape {
  readonly gateways: number;
  readonly others: number;
  readonly voters: readonly string[];
  readonly addresses: number;
  readonly settings: Settings;
  /** The safety phase ends then, and with it every fault. */
  readonly chaosMs: number;
  readonly quietMs: number;
}

/** The first row is the default; all are allowed by checkDurations. */
const SETTINGS: readonly Settings[] = [
  { heartbeatMs: 25, sessionMs: 200 },
  { heartbeatMs: 50, sessionMs: 200 },
  { heartbeatMs: 50, sessionMs: 250 },
  { heartbeatMs: 60, sessionMs: 300 },
];
const CHAOS_MS = 15_500;
const QUIET_MS = 4500;

export function gatewayName(index: number): string {
  return `g${index}`;
}

export function otherName(index: number): string {
  return `w${index}`;
}

export function drawShape(draws: Draws): Shape {
  const draw = draws.draw('shape');
  const gateways = draw.pick([2, 2, 2, 3, 3, 3, 4, 5, 6]);
  const size = draw.pick([3, 3, 3, 3, 5]);
  const others = Math.max(2, size + 1 - gateways);
  return {
    gateways,
    others,
    voters: drawVoters(draw.shuffled(namesOf({ gateways, others })), size),
    addresses: draw.pick([1, 2, 2, 3]),
    settings: draw.chance(0.3) ? (SETTINGS[0] ?? draw.pick(SETTINGS)) : draw.pick(SETTINGS),
    chaosMs: CHAOS_MS,
    quietMs: QUIET_MS,
  };
}

export function namesOf({ gateways, others }: Pick<Shape, 'gateways' | 'others'>): readonly string[] {
  return [
    ...Array.from({ length: gateways }, (_, index) => gatewayName(index)),
    ...Array.from({ length: others }, (_, index) => otherName(index)),
  ];
}

/** At least one that is no gateway. */
function drawVoters(shuffled: readonly string[], size: number): readonly string[] {
  const outside = shuffled.find((name) => name.startsWith('w')) ?? '';
  return [outside, ...shuffled.filter((name) => name !== outside)].slice(0, size);
}
