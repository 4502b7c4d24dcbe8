/** What a controller may conclude from its view: as core/controller/proofs.ts and sessions.ts have it. */

import type { SessionProofs } from '../../../failover/core/controller/planEgressIp.ts';
import type { SessionRef } from '../../../failover/core/egressIp.ts';
import { statedAbove } from '../../../failover/core/statedAbove.ts';
import type { Address } from '../../../policy/model.ts';
import type { ApiView } from './apiModel.ts';

/** Closed by its gateway, followed by a later one, or called dead by a majority of voters as some agent concluded. */
export function isDeadSession(view: ApiView, { gateway, session }: SessionRef): boolean {
  const lease = view.leases.get(gateway);
  if (lease !== undefined && (lease.session > session || (lease.session === session && !lease.holding)))
    return true;
  for (const { dead } of view.nodes.values())
    if (dead.some((it) => it.gateway === gateway && it.session >= session)) return true;
  return false;
}

export function proofsIn(view: ApiView, address: Address): SessionProofs {
  return {
    isDead: (session) => isDeadSession(view, session),
    hasReleased({ gateway, session }, epoch) {
      const node = view.nodes.get(gateway);
      if ((node?.session ?? 0) > session) return true;
      const statement = node?.addresses.find((it) => it.address.value === address.value);
      return (
        statement !== undefined &&
        statement.state !== 'Answering' &&
        statement.session >= session &&
        statement.epoch >= epoch
      );
    },
    statedAbove(standing) {
      const said = [...view.nodes].flatMap(([gateway, { addresses }]) =>
        addresses
          .filter((it) => it.address.value === address.value)
          .map((statement) => ({ gateway, statement })),
      );
      return statedAbove(standing, said);
    },
  };
}
