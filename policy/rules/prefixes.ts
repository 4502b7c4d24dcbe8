import type { Cidr } from '../model.ts';

/** The destinations of one policy, asked about those of thousands of others. */
export class Prefixes {
  readonly #prefixes = new Map<bigint, readonly Cidr[]>();

  constructor(cidrs: readonly Cidr[]) {
    for (const cidr of cidrs)
      this.#prefixes.set(cidr.network, [...(this.#prefixes.get(cidr.network) ?? []), cidr]);
  }

  /** The first of `others` that is the very same prefix as one of these. */
  firstIn(others: readonly Cidr[]): Cidr | undefined {
    return others.find(({ family, network, prefix }) =>
      this.#prefixes.get(network)?.some((it) => it.family === family && it.prefix === prefix),
    );
  }
}
