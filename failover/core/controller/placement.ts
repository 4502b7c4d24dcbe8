/**
 * Decides which gateway holds which address, and who is next. A pure function of its input, the same everywhere and in
 * whatever order the input comes:
 *
 * 1. An address stays where it is while its holder is eligible and fit. One that is not (cordoned, say, or unhealthy) keeps
 *    it only until its turn to leave, or while nobody better has room: that is how a drain moves addresses, and how a
 *    cluster that is cordoned or ill as a whole keeps them.
 * 2. What has to move goes to the first by gatewayRank.ts: a dead gateway's addresses spread over all survivors.
 * 3. Standbys: rankStandbys.ts.
 *
 * Relies on the caller for eligibility (subnets, data plane, sessions, selectors). Leaves epochs and fences to planEgressIp.
 */
import { compareStanding, compareText, type Gateway, type Load, rankGateways } from './gatewayRank.ts';
import { rankAllStandbys } from './rankStandbys.ts';

export interface Unplaced {
  readonly name: string;
  /** Names of gateways that could hold it now. */
  readonly eligible: readonly string[];
  readonly holder?: string;
  /** Why it should be at `holder`, where that is not where it is. */
  readonly wish?: string;
}

export interface Placement {
  /** The holder first; empty where no gateway is eligible. */
  readonly order: readonly string[];
  /** Why here, in words. */
  readonly reason: string;
}

interface Choice {
  readonly gateway: Gateway;
  readonly reason: string;
}

interface Candidates extends Unplaced {
  readonly candidates: readonly Gateway[];
}

export function place(
  addresses: readonly Unplaced[],
  gateways: readonly Gateway[],
): ReadonlyMap<string, Placement> {
  const byName = new Map(gateways.map((gateway) => [gateway.name, gateway]));
  const sorted = addresses
    .toSorted((a, b) => compareText(a.name, b.name))
    .map((address) => ({ ...address, candidates: address.eligible.flatMap((it) => byName.get(it) ?? []) }));
  const load = new Map<string, number>();
  const add = (name: string, count: number): void => {
    load.set(name, (load.get(name) ?? 0) + count);
  };
  for (const address of sorted) if (holderOf(address) !== undefined) add(address.holder ?? '', 1);
  const chosen = new Map<string, Choice>();
  // Those that found no room look once more: others may have made some.
  for (const address of [...inOrder(sorted), ...sorted]) {
    if (chosen.has(address.name)) continue;
    const holder = holderOf(address);
    const choice = keepHolder(address) ?? chooseHolder(address, load);
    if (choice === undefined) continue;
    chosen.set(address.name, choice);
    if (choice.gateway === holder) continue;
    add(choice.gateway.name, 1);
    if (holder !== undefined) add(holder.name, -1);
  }
  const standbys = rankAllStandbys(sorted, { holders: chosen, load });
  return new Map(
    sorted.map(({ name, candidates }) => {
      const choice = chosen.get(name);
      if (choice !== undefined)
        return [name, { order: [choice.gateway.name, ...(standbys.get(name) ?? [])], reason: choice.reason }];
      const reason = candidates.length === 0 ? 'no gateway is eligible' : 'every eligible gateway is full';
      return [name, { order: [], reason }];
    }),
  );
}

function holderOf({ candidates, holder }: Candidates): Gateway | undefined {
  return candidates.find(({ name }) => name === holder);
}

/** What nobody can hold as it is goes first: what only should move can wait where it is. */
function inOrder(addresses: readonly Candidates[]): readonly Candidates[] {
  return addresses.toSorted((a, b) => Number(holderOf(a) !== undefined) - Number(holderOf(b) !== undefined));
}

/** The holder where the address is not to move, whoever else has room. */
function keepHolder(address: Candidates): Choice | undefined {
  const gateway = holderOf(address);
  if (gateway === undefined) return undefined;
  if (gateway.standing === 'fit') return { gateway, reason: address.wish ?? 'stays where it is' };
  return gateway.waits ? { gateway, reason: `waits for its turn to leave it (${gateway.why})` } : undefined;
}

/** Who is no better than the holder is no reason to move. */
function chooseHolder(address: Candidates, load: Load): Choice | undefined {
  const { name, candidates } = address;
  const holder = holderOf(address);
  const [best] = rankGateways(name, candidates, load);
  if (holder !== undefined && (best === undefined || compareStanding(best, holder) >= 0))
    return { gateway: holder, reason: `stays (${holder.why}): no better gateway has room` };
  if (best === undefined) return undefined;
  return { gateway: best, reason: `has the most room of ${candidates.length} eligible` };
}
