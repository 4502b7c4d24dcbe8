/**
 * Decides where the fast path may send, for each family by itself: through the one next hop of the uplink's default route, and
 * only what no other route would take. Reads the JSON of `ip -j route show table all` and `ip -j rule show` of the family.
 * Where its routing is more than that one picture can hold (a choice by source or mark, several paths), nothing of it is
 * sent the fast way.
 *
 * Everything else is a detour: hosts on the link, pods, the node's own addresses, what is no unicast. The way back asks the
 * same of the source address, which is what strict reverse-path filtering would ask.
 */
import { addressBits, formatAddress, parseAddress } from '../../../policy/address.ts';
import { parseCidr } from '../../../policy/cidr.ts';
import type { Cidr, Family } from '../../../policy/model.ts';
import { mergedRanges } from './addressRanges.ts';
import { BOTH_FAMILIES } from './familyWords.ts';
import { type Elements, type ManagedName, NO_ELEMENTS, ofFamily } from './kernelState.ts';
import { ANSWER_TABLE, TUNNEL_TABLE } from './staticRuleset.ts';

/** A node with more routes is a router of its own kind: its table changes too often to be copied. */
const DETOURS_MAX = 4096;
/** The kernel's own rules: local, main and default table, and ours. */
const PLAIN_RULES: ReadonlySet<number> = new Set([
  0,
  32_766,
  32_767,
  TUNNEL_TABLE.preference,
  ANSWER_TABLE.preference,
]);
const PLAIN_TABLES: ReadonlySet<unknown> = new Set([undefined, 'main', 'local', 'default']);
/**
 * Not for the outside, whatever the routes say: this network, the node itself, its links, multicast and above; of IPv6 also
 * what only spells an address of IPv4.
 */
const NEVER: Readonly<Record<Family, readonly Cidr[]>> = {
  4: ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(cidr),
  6: ['::/80', 'fe80::/10', 'ff00::/8'].map(cidr),
};
const EVERYTHING: Readonly<Record<Family, Cidr>> = { 4: cidr('0.0.0.0/0'), 6: cidr('::/0') };

type Json = Readonly<Record<string, unknown>>;

export type FastRoutes = Readonly<Record<Family, FamilyFastRoutes>>;

export type FamilyFastRoutes =
  | { readonly kind: 'on'; readonly nextHop: string; readonly detours: readonly Cidr[] }
  /** The reason is for people. */
  | { readonly kind: 'off'; readonly reason: string };

export interface SeenRouting {
  readonly family: Family;
  readonly routes: readonly Json[];
  readonly rules: readonly Json[];
  readonly uplink: string;
  readonly uplinkMtu: number;
  /** What the uplink carries of this family: of IPv6 it may have been told less. */
  readonly familyMtu: number;
}

export function decideFastRoutes(seen: SeenRouting): FamilyFastRoutes {
  const { family, rules, uplink, uplinkMtu, familyMtu } = seen;
  const routes = seen.routes.filter(({ table }) => PLAIN_TABLES.has(table));
  const odd = rules.find(({ priority }) => !PLAIN_RULES.has(Number(priority)));
  if (odd !== undefined) return off(`routing rule ${String(odd.priority)} may choose another way`);
  if (rules.length === 0) return off('the routing rules cannot be read');
  if (routes.some(({ from }) => from !== undefined)) return off('a route is for some sources only');
  const defaults = routes.filter(({ dst }) => dst === 'default').toSorted((a, b) => metric(a) - metric(b));
  const [best, second] = defaults;
  if (best === undefined) return off('there is no default route');
  if (second !== undefined && metric(second) === metric(best)) return off('there are several default routes');
  if (best.dev !== uplink) return off(`the default route does not lead through ${uplink}`);
  const hop = parseAddress(String(best.gateway));
  if (hop.kind !== 'ok' || hop.value.family !== family)
    return off('the default route has no single next hop');
  if (routeMtu(best) < uplinkMtu) return off('the default route has an MTU of its own');
  if (!(familyMtu >= uplinkMtu)) return off(`${uplink} has a smaller MTU for this family`);
  if (Array.isArray(best.flags) && best.flags.some((flag) => flag === 'dead' || flag === 'linkdown'))
    return off('the default route is down');
  const others = routes.flatMap(({ dst }) => (dst === 'default' ? [] : [String(dst)]));
  const parsed = others.map((dst) => parseCidr(dst.includes('/') ? dst : `${dst}/${addressBits(family)}`));
  if (parsed.length > DETOURS_MAX) return off(`there are more than ${DETOURS_MAX} routes`);
  if (parsed.some(({ kind }) => kind !== 'ok')) return off('a route cannot be read');
  const detours = [...NEVER[family], ...parsed.flatMap((it) => (it.kind === 'ok' ? [it.value] : []))];
  return { kind: 'on', nextHop: formatAddress(hop.value), detours };
}

function off(reason: string): FamilyFastRoutes {
  return { kind: 'off', reason };
}

function metric({ metric: value }: Json): number {
  return typeof value === 'number' ? value : 0;
}

function routeMtu({ metrics }: Json): number {
  const values = Array.isArray(metrics) ? metrics.map((it: unknown) => Number((it as Json | null)?.mtu)) : [];
  return Math.min(Number.POSITIVE_INFINITY, ...values.filter((value) => value > 0));
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed.kind !== 'ok') throw new Error(parsed.error.message);
  return parsed.value;
}

/** What is off has everything for a detour, so that the first chains mark nothing of it. */
export function renderFastRoutes(fast: FastRoutes): readonly (readonly [ManagedName, Elements])[] {
  return BOTH_FAMILIES.flatMap(({ family }) => {
    const routes = fast[family];
    const detours = routes.kind === 'on' ? routes.detours : [EVERYTHING[family]];
    const nextHops = routes.kind === 'on' ? new Map([['0', routes.nextHop]]) : NO_ELEMENTS;
    return [
      [ofFamily('inet detours', family), mergedRanges(detours, family)],
      [ofFamily('netdev next_hops', family), nextHops],
    ] as const;
  });
}
