/** What one part of a plan puts into the kernel. Parts have no element in common; a chain may be of many, for its name is its content. */
import type { Elements, KernelState, ManagedName } from './kernelState.ts';

export type NamedElement = readonly [name: ManagedName, key: string, value: string];
export type NamedChain = readonly [name: string, rules: readonly string[]];

export interface Rendered {
  readonly elements: readonly NamedElement[];
  readonly chains: readonly NamedChain[];
}

export const NOTHING_RENDERED: Rendered = { elements: [], chains: [] };

/** All of it as one state. */
export function collect(
  parts: Iterable<Rendered>,
): KernelState & { readonly elements: Map<ManagedName, Elements> } {
  const elements = new Map<ManagedName, Map<string, string>>();
  const chains = new Map<string, readonly string[]>();
  for (const part of parts) {
    for (const [name, key, value] of part.elements) {
      const held = elements.get(name);
      if (held === undefined) elements.set(name, new Map([[key, value]]));
      else held.set(key, value);
    }
    for (const [name, rules] of part.chains) chains.set(name, rules);
  }
  return { elements, chains };
}

export function asElements(name: ManagedName, elements: Elements): readonly NamedElement[] {
  return [...elements].map(([key, value]) => [name, key, value] as const);
}
