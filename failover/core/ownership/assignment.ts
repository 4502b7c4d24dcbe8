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

/**
 * An assignment that agents go on by and the API does not show any more, or not whole: etcd was restored from a snapshot.
 * Stated in the agent's GatewayNode, so that the controller begins above it and waits for whoever it names.
 */
export interface LostAssignment {
  readonly epoch: number;
  /** Its order, and behind it its fence where it has an epoch of its own. */
  readonly sessions: readonly SessionRef[];
}

/**
 * Neither an epoch nor an order that grew goes back for an agent: a watch that starts anew may show an older object for a
 * moment, and one that was restored from a snapshot stands until the controller has heard of what was lost. It may be given
 * again until then.
 */
export function supersedes(
  { epoch, order }: Pick<Assignment, 'epoch' | 'order'>,
  known: Pick<Assignment, 'epoch' | 'order'>,
): boolean {
  if (epoch !== known.epoch) return epoch > known.epoch;
  return known.order.every(({ gateway, session }, at) => {
    const entry = order[at];
    return entry?.gateway === gateway && entry.session === session;
  });
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
