/**
 * Decides who takes over an address, in order. Standbys take over by themselves, all of a dead gateway's addresses at
 * once: so the first standbys of one gateway's addresses are chosen one after the other, each counting as held where the
 * ones before it would go. Willing before unwilling, then those with most room, then those of another zone than the
 * holder's. One of another zone is among the standbys where there is one as willing.
 */
import { compareStanding, fillOf, type Gateway, type Load, rankGateways } from './gatewayRank.ts';

/** More standbys than this are named by nobody's failure. */
const STANDBYS_MAX = 3;

interface Candidates {
  readonly name: string;
  readonly candidates: readonly Gateway[];
}

/** Address → its standbys. For each gateway as if it died alone. */
export function rankAllStandbys(
  addresses: readonly Candidates[],
  known: {
    readonly holders: ReadonlyMap<string, { readonly gateway: Gateway }>;
    readonly load: Load;
  },
): ReadonlyMap<string, readonly string[]> {
  const expected = new Map<string, Map<string, number>>();
  const ranked = new Map<string, readonly string[]>();
  for (const address of addresses) {
    const holder = known.holders.get(address.name)?.gateway;
    if (holder === undefined) continue;
    const after = expected.get(holder.name) ?? new Map(known.load);
    expected.set(holder.name, after);
    const standbys = rankStandbys(address, holder, after);
    const [first] = standbys;
    if (first !== undefined) after.set(first, (after.get(first) ?? 0) + 1);
    ranked.set(address.name, standbys);
  }
  return ranked;
}

function rankStandbys({ name, candidates }: Candidates, holder: Gateway, load: Load): readonly string[] {
  const others = candidates.filter((it) => it.name !== holder.name);
  const ranked = rankGateways(name, others, load)
    .map((gateway, rank) => ({ gateway, rank }))
    .toSorted(
      (a, b) =>
        compareStanding(a.gateway, b.gateway) ||
        fillOf(a.gateway, load) - fillOf(b.gateway, load) ||
        Number(a.gateway.zone === holder.zone) - Number(b.gateway.zone === holder.zone) ||
        a.rank - b.rank,
    )
    .map(({ gateway }) => gateway);
  return withOtherZone(ranked, holder).map((it) => it.name);
}

/** A whole zone may go: the last of the standbys that are named then is of another one, where there is any. */
function withOtherZone(ranked: readonly Gateway[], { zone }: Gateway): readonly Gateway[] {
  const named = ranked.slice(0, STANDBYS_MAX);
  const last = named.at(-1);
  if (last === undefined || named.some((gateway) => gateway.zone !== zone)) return named;
  // An unhealthy one in the place of a healthy one would stand before it.
  const elsewhere = ranked.find((gateway) => gateway.zone !== zone && compareStanding(gateway, last) <= 0);
  return elsewhere === undefined ? named : [...named.slice(0, -1), elsewhere];
}
