/**
 * Lets this node's own packets follow a gateway's word at once, in the ownership thread: the main thread may be busy with a
 * list. Only a higher right than any that was heard or assigned is news; the main thread hears of it in any case and has the
 * last word.
 */
import { parseAddress } from '../../policy/address.ts';
import type { Address } from '../../policy/model.ts';
import type { Assignment } from '../core/ownership/assignment.ts';
import { compareRights, type Holding, type Right } from '../core/ownership/messages.ts';

/** By address as text. */
type Assignments = ReadonlyMap<string, Assignment>;

export class SourceSteering {
  readonly #steer: (address: Address, gateway: Address) => void;
  readonly #rights = new Map<string, Right>();

  constructor(steer: (address: Address, gateway: Address) => void) {
    this.#steer = steer;
  }

  /** The main thread steers by these. What was heard of addresses that are gone is forgotten with them. */
  follow(rights: ReadonlyMap<string, Right>, assignments: Assignments): void {
    for (const name of this.#rights.keys()) if (!assignments.has(name)) this.#rights.delete(name);
    for (const [name, right] of rights) if (this.#isNews(name, right)) this.#rights.set(name, right);
  }

  /** @param gateway the tunnel's end of whoever said it; undefined: it is no peer any more */
  hear(
    holdings: readonly Holding[],
    { gateway, assignments }: { readonly gateway: Address | undefined; readonly assignments: Assignments },
  ): void {
    if (gateway === undefined) return;
    for (const { address: name, right } of holdings) {
      const address = addressNamed(name);
      const assigned = assignments.get(name);
      if (address === undefined || assigned === undefined || right.epoch < assigned.epoch) continue;
      if (!this.#isNews(name, right)) continue;
      this.#rights.set(name, right);
      this.#steer(address, gateway);
    }
  }

  #isNews(name: string, right: Right): boolean {
    const known = this.#rights.get(name);
    return known === undefined || compareRights(right, known) > 0;
  }
}

/** Undefined for what is no address. */
export function addressNamed(text: string): Address | undefined {
  const parsed = parseAddress(text);
  return parsed.kind === 'ok' ? parsed.value : undefined;
}
