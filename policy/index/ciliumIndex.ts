/** cilium.io/v2 policies by their selectors. */
import type { CiliumPolicyFacts } from '../facts.ts';
import type { WorkloadSelector } from '../model.ts';
import { workloadKey } from '../selectorKey.ts';

export class CiliumIndex {
  readonly #bySelector = new Map<string, Set<CiliumPolicyFacts>>();

  add(policy: CiliumPolicyFacts): void {
    for (const key of keysOf(policy)) {
      const set = this.#bySelector.get(key) ?? new Set();
      this.#bySelector.set(key, set.add(policy));
    }
  }

  remove(policy: CiliumPolicyFacts): void {
    for (const key of keysOf(policy)) {
      const set = this.#bySelector.get(key);
      set?.delete(policy);
      if (set?.size === 0) this.#bySelector.delete(key);
    }
  }

  withSelector(selector: WorkloadSelector): readonly CiliumPolicyFacts[] {
    return [...(this.#bySelector.get(workloadKey([selector])) ?? [])];
  }
}

function keysOf({ selectors }: CiliumPolicyFacts): ReadonlySet<string> {
  return new Set(selectors.map((selector) => workloadKey([selector])));
}
