/** What policies with `failureMode: Closed` rule, all together, kept up with one policy after the other. */
import { formatRange } from '../../../policy/cidr.ts';
import type { AddressRange, Policy } from '../../../policy/model.ts';
import { unionOf } from '../dataplane/addressRanges.ts';
import { closedRanges } from './selectPods.ts';

export class ClosedDestinations {
  /** Policy uid → its ranges. */
  readonly #ranges = new Map<string, readonly AddressRange[]>();
  /** Range as text → how many policies have it: a few, however many policies there are. */
  readonly #uses = new Map<string, { readonly range: AddressRange; readonly count: number }>();
  #union: readonly AddressRange[] | undefined;

  /** Undefined: there is none of that uid any more. */
  set(uid: string, policy: Policy | undefined): void {
    this.#count(this.#ranges.get(uid) ?? [], -1);
    const ranges = policy === undefined ? [] : closedRanges([policy]);
    if (ranges.length === 0) this.#ranges.delete(uid);
    else this.#ranges.set(uid, ranges);
    this.#count(ranges, 1);
  }

  /** The same object while it is the same. */
  union(): readonly AddressRange[] {
    this.#union ??= unionOf([...this.#uses.values()].map(({ range }) => range));
    return this.#union;
  }

  #count(ranges: readonly AddressRange[], by: 1 | -1): void {
    for (const range of ranges) {
      const text = formatRange(range);
      const count = (this.#uses.get(text)?.count ?? 0) + by;
      if (count === 0) this.#uses.delete(text);
      else this.#uses.set(text, { range, count });
      if (count === 0 || (count === 1 && by === 1)) this.#union = undefined;
    }
  }
}
