/** A chain of what becomes of packets of pods, named after its content. */
import { contentHash } from './contentHash.ts';
import type { NamedChain } from './rendered.ts';

export function routesChain(rules: readonly string[]): NamedChain {
  return [`routes_${contentHash(rules.join('\n'))}`, rules];
}
