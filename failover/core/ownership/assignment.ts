import type { SessionRef } from '../egressIp.ts';

/** What the API says of one address. */
export interface Assignment {
  /** Object name of the EgressIP. */
  readonly address: string;
  readonly epoch: number;
  readonly order: readonly SessionRef[];
  readonly fence: readonly SessionRef[];
  /** The `blocksVersion` that the own kernel forwards; undefined: its port map is not in the kernel yet. */
  readonly blocksVersion: number | undefined;
}

/** Addresses that a gateway may have to answer for: some session of it is in their order. */
export function addressesNaming(
  gateway: string,
  assignments: ReadonlyMap<string, Assignment>,
): readonly string[] {
  return [...assignments.values()]
    .filter(({ order }) => order.some((it) => it.gateway === gateway))
    .map(({ address }) => address);
}
