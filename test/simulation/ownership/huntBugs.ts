/** How many seeds each planted bug needs until it is found. */
import { REAL_CORE } from './coreModule.ts';
import type { PlantedBug } from './plantedBugs.ts';
import { plantCore } from './plantedCore.ts';
import { simulate } from './simulate.ts';

export interface Found {
  readonly name: string;
  /** Undefined: not within the limit. */
  readonly seeds: number | undefined;
  readonly message: string;
}

/** By the last seed that found it, else by as many as it takes. */
export async function isFound(bug: PlantedBug, seedsMax: number): Promise<boolean> {
  const core = bug.patch === undefined ? REAL_CORE : await plantCore(bug.patch);
  const seeds = Array.from({ length: seedsMax }, (_, index) => index + 1);
  const tried = bug.lastSeen === undefined ? seeds : [bug.lastSeen, ...seeds];
  return tried.some((seed) => simulate({ seed, core, bug: bug.world }).violation !== undefined);
}

export async function huntBug(bug: PlantedBug, seedsMax: number): Promise<Found> {
  const core = bug.patch === undefined ? REAL_CORE : await plantCore(bug.patch);
  for (let seed = 1; seed <= seedsMax; seed += 1) {
    const { violation } = simulate({ seed, core, bug: bug.world });
    if (violation !== undefined) return { name: bug.name, seeds: seed, message: violation.message };
  }
  return { name: bug.name, seeds: undefined, message: 'not found' };
}
