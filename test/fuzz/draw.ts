/** Draws of one case: the same for the same seed and number, whatever was drawn for others. */
import { seededRandom } from '../../bench/seededRandom.ts';

export interface Draw {
  /** 0 … below − 1 */
  int(below: number): number;
  chance(probability: number): boolean;
  pick<T>(list: readonly [T, ...T[]]): T;
  pick<T>(list: readonly T[]): T | undefined;
  bytes(length: number): Buffer;
}

/** Odd, so that neighbouring cases begin far apart. */
const CASE_STRIDE = 0x9e37_79b1;

export function createDraw(seed: number, at: number): Draw {
  const random = seededRandom((Math.imul(at + 1, CASE_STRIDE) ^ seed) >>> 0);
  const int = (below: number): number => Math.floor(random() * below);
  function pick<T>(list: readonly [T, ...T[]]): T;
  function pick<T>(list: readonly T[]): T | undefined;
  function pick<T>(list: readonly T[]): T | undefined {
    return list[int(list.length)];
  }
  return {
    int,
    pick,
    chance: (probability) => random() < probability,
    bytes: (length) => Buffer.from(Array.from({ length }, () => int(256))),
  };
}
