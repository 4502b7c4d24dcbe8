/**
 * Decides which gateway holds which address, and who is next. A pure function of its input, the same everywhere and in
 * whatever order the input comes:
 *
 * 1. An address stays where it is while its holder is eligible. A cordoned holder counts as eligible only while nobody
 *    else is: that is how a drain moves addresses and how a cluster that is cordoned whole keeps them.
 * 2. What has to move goes to the eligible gateway with the most room (held addresses over capacity), so that a dead
 *    gateway's addresses spread over all survivors; ties go by rendezvous hash, so they do not all go the same way.
 * 3. Standbys take over by themselves, all of a dead gateway's addresses at once: so the first standbys of one gateway's
 *    addresses are chosen one after the other, each counting as held where the ones before it would go. Uncordoned before
 *    cordoned, then those with most room, then those of another zone than the holder's. One of another zone is among the
 *    standbys where there is one.
 *
 * Relies on the caller for eligibility (subnets, health, sessions, selectors). Leaves epochs and fences to planEgressIp.
 */

import { rendezvousWeight } from '../rendezvous.ts';

export interface Gateway {
  readonly name: string;
  readonly zone: string;
  /** Egress IPs it may hold. */
  readonly capacity: number;
  readonly cordoned: boolean;
}

export interface Unplaced {
  readonly name: string;
  /** Names of gateways that could hold it now. */
  readonly eligible: readonly string[];
  readonly holder?: string;
}

export interface Placement {
  /** The holder first; empty where no gateway is eligible. */
  readonly order: readonly string[];
  /** Why here, in words. */
  readonly reason: string;
}

/** More standbys than this are named by nobody's failure. */
const STANDBYS_MAX = 3;

export function place(
  addresses: readonly Unplaced[],
  gateways: readonly Gateway[],
): ReadonlyMap<string, Placement> {
  const byName = new Map(gateways.map((gateway) => [gateway.name, gateway]));
  const sorted = addresses.toSorted((a, b) => compareText(a.name, b.name));
  const load = new Map<string, number>();
  const holders = new Map<string, { readonly gateway: Gateway; readonly reason: string }>();
  const hold = (address: Unplaced, gateway: Gateway, reason: string): void => {
    holders.set(address.name, { gateway, reason });
    load.set(gateway.name, (load.get(gateway.name) ?? 0) + 1);
  };
  const moving: Unplaced[] = [];
  for (const address of sorted) {
    const kept = keepHolder(candidates(address, byName), address.holder);
    if (kept === undefined) moving.push(address);
    else hold(address, kept, 'stays where it is');
  }
  for (const address of moving) {
    const best = mostRoom(address.name, candidates(address, byName), load)[0];
    if (best !== undefined) hold(address, best, `has the most room of ${address.eligible.length} eligible`);
  }
  const standbys = rankAllStandbys(sorted, holders, { byName, load });
  return new Map(
    sorted.map((address) => {
      const held = holders.get(address.name);
      if (held === undefined) return [address.name, { order: [], reason: 'no gateway is eligible' }];
      const order = [held.gateway.name, ...(standbys.get(address.name) ?? [])];
      return [address.name, { order, reason: held.reason }];
    }),
  );
}

function candidates(address: Unplaced, byName: ReadonlyMap<string, Gateway>): readonly Gateway[] {
  return address.eligible.flatMap((name) => byName.get(name) ?? []);
}

function keepHolder(eligible: readonly Gateway[], holder: string | undefined): Gateway | undefined {
  const current = eligible.find(({ name }) => name === holder);
  if (current?.cordoned !== true) return current;
  return eligible.every(({ cordoned }) => cordoned) ? current : undefined;
}

/** Uncordoned before cordoned, then by room; full gateways are left out. */
function mostRoom(
  address: string,
  eligible: readonly Gateway[],
  load: ReadonlyMap<string, number>,
): readonly Gateway[] {
  return eligible
    .map((gateway) => ({
      gateway,
      fill: gateway.capacity > 0 ? (load.get(gateway.name) ?? 0) / gateway.capacity : 1,
      weight: rendezvousWeight(address, gateway.name),
    }))
    .filter(({ fill }) => fill < 1)
    .toSorted(
      (a, b) =>
        Number(a.gateway.cordoned) - Number(b.gateway.cordoned) ||
        a.fill - b.fill ||
        b.weight - a.weight ||
        compareText(a.gateway.name, b.gateway.name),
    )
    .map(({ gateway }) => gateway);
}

interface Known {
  readonly byName: ReadonlyMap<string, Gateway>;
  readonly load: ReadonlyMap<string, number>;
}

/** Address → its standbys. For each gateway as if it died alone. */
function rankAllStandbys(
  addresses: readonly Unplaced[],
  holders: ReadonlyMap<string, { readonly gateway: Gateway }>,
  { byName, load }: Known,
): ReadonlyMap<string, readonly string[]> {
  const expected = new Map<string, Map<string, number>>();
  const ranked = new Map<string, readonly string[]>();
  for (const address of addresses) {
    const holder = holders.get(address.name)?.gateway;
    if (holder === undefined) continue;
    const after = expected.get(holder.name) ?? new Map(load);
    expected.set(holder.name, after);
    const standbys = rankStandbys(address, holder, { byName, load: after });
    const [first] = standbys;
    if (first !== undefined) after.set(first, (after.get(first) ?? 0) + 1);
    ranked.set(address.name, standbys);
  }
  return ranked;
}

function rankStandbys(address: Unplaced, holder: Gateway, { byName, load }: Known): readonly string[] {
  const others = candidates(address, byName).filter(({ name }) => name !== holder.name);
  const fillOf = ({ name, capacity }: Gateway): number => (load.get(name) ?? 0) / capacity;
  const ranked = mostRoom(address.name, others, load)
    .map((gateway, rank) => ({ gateway, rank }))
    .toSorted(
      (a, b) =>
        Number(a.gateway.cordoned) - Number(b.gateway.cordoned) ||
        fillOf(a.gateway) - fillOf(b.gateway) ||
        Number(a.gateway.zone === holder.zone) - Number(b.gateway.zone === holder.zone) ||
        a.rank - b.rank,
    )
    .map(({ gateway }) => gateway);
  return withOtherZone(ranked, holder).map(({ name }) => name);
}

/** A whole zone may go: the last of the standbys that are named then is of another one, where there is any. */
function withOtherZone(ranked: readonly Gateway[], { zone }: Gateway): readonly Gateway[] {
  const named = ranked.slice(0, STANDBYS_MAX);
  const elsewhere = ranked.find((gateway) => gateway.zone !== zone);
  if (elsewhere === undefined || named.includes(elsewhere)) return named;
  return [...named.slice(0, -1), elsewhere];
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
