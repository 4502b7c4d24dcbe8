/** The order that a simulated controller wants: whoever answers first, then those that stand, then what is new. */
import type { EgressIp, SessionRef } from '../../../failover/core/egressIp.ts';
import { compareRights, type Right } from '../../../failover/core/ownership/messages.ts';
import type { ApiView } from './apiModel.ts';
import type { Stream } from './draws.ts';

const STANDBYS_MAX = 3;

export function decideOrder(
  current: EgressIp,
  context: {
    readonly view: ApiView;
    readonly cordoned: ReadonlySet<string>;
    readonly pick: Stream;
    /** Addresses to be moved; taken off when the move is decided. */
    readonly moves: Set<string>;
    readonly isDead: (session: SessionRef) => boolean;
  },
): readonly SessionRef[] {
  const { view, cordoned, pick, moves, isDead } = context;
  const live = [...view.leases]
    .filter(([, { holding }]) => holding)
    .map(([gateway, { session }]): SessionRef => ({ gateway, session }))
    // Only sessions that the voters granted once are named.
    .filter((it) => view.nodes.get(it.gateway)?.session === it.session && !isDead(it));
  const uncordoned = live.filter(({ gateway }) => !cordoned.has(gateway));
  const usable = uncordoned.length > 0 ? uncordoned : live;
  if (usable.length === 0) return current.order;
  const isLive = (it: SessionRef | undefined): it is SessionRef =>
    it !== undefined && live.some(({ gateway, session }) => gateway === it.gateway && session === it.session);
  const answering = answererOf(current, view)?.session;
  const standing = [answering, ...current.order].find(isLive);
  const stays = standing !== undefined && usable.some(({ gateway }) => gateway === standing.gateway);
  const others = usable.filter(({ gateway }) => gateway !== standing?.gateway);
  const away = moves.has(current.name) && others.length > 0;
  if (stays && !away) return withStandbys(standing, current, usable);
  moves.delete(current.name);
  const ranked = current.order.find(
    (it) => isLive(it) && others.some(({ gateway }) => gateway === it.gateway),
  );
  const holder = ranked !== undefined && !away ? ranked : pick.pick(others.length > 0 ? others : usable);
  return withStandbys(holder, current, usable);
}

/** Who is not to be used any more is no standby either, so that what it may still hold stands in the fence alone. */
function withStandbys(
  holder: SessionRef,
  { order }: EgressIp,
  usable: readonly SessionRef[],
): readonly SessionRef[] {
  const isUsable = (it: SessionRef): boolean =>
    usable.some(({ gateway, session }) => gateway === it.gateway && session === it.session);
  const kept = order.filter((it) => it.gateway !== holder.gateway && isUsable(it));
  const added = usable.filter(
    ({ gateway }) => gateway !== holder.gateway && !kept.some((it) => it.gateway === gateway),
  );
  return [holder, ...[...kept, ...added].slice(0, STANDBYS_MAX)];
}

export interface Answerer {
  readonly session: SessionRef;
  readonly right: Right;
}

/** Whoever states to answer by the highest right. */
export function answererOf({ address }: EgressIp, view: ApiView): Answerer | undefined {
  let best: Answerer | undefined;
  for (const { name, addresses } of view.nodes.values()) {
    for (const { address: stated, state, epoch, index, session } of addresses) {
      if (stated.value !== address.value || state !== 'Answering') continue;
      const right = { epoch, index };
      if (best === undefined || compareRights(right, best.right) > 0)
        best = { session: { gateway: name, session }, right };
    }
  }
  return best;
}
