/**
 * Says what of somebody else's keeps a gateway from forwarding, and what helps: strict reverse-path filtering, or a base chain
 * of the forward hook that drops what no rule accepts, in a table without rules for our tunnel's device. Packets of egress IPs
 * pass a gateway untracked, so "established" does not mean them. Read from `nft -j`, so rules of iptables-nft are seen, and those
 * of iptables-legacy are not.
 */
import { TABLE } from './kernelState.ts';
import { TUNNEL_DEVICE } from './staticRuleset.ts';

export interface ForwardChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
}

type Json = Readonly<Record<string, unknown>>;

/** @param listing of `nft -j list chains` */
export function findClosedChains(listing: unknown): readonly ForwardChain[] {
  return entries(listing, 'chain').flatMap(({ family, table, name, hook, policy }) => {
    const forwards = hook === 'forward' && ['ip', 'ip6', 'inet'].includes(String(family));
    if (!forwards || policy !== 'drop' || table === TABLE) return [];
    return [{ family: String(family), table: String(table), name: String(name) }];
  });
}

/** @param listing of `nft -j list table`: whether some rule accepts what comes by the tunnel, and some what leaves by it */
export function knowsTunnel(listing: unknown): boolean {
  const accepting = entries(listing, 'rule')
    .map(({ expr }) => objects(expr))
    .filter((expr) => expr.some((it) => 'accept' in it));
  return ['iifname', 'oifname'].every((key) => accepting.some((expr) => expr.some((it) => names(it, key))));
}

/** What to do about it, for people. */
export function adviseOn(chains: readonly ForwardChain[]): string {
  const [first] = chains;
  if (first === undefined) return '';
  const { family, table, name } = first;
  const others = chains.length === 1 ? '' : ` (and ${chains.length - 1} more)`;
  const rule = (key: string): string =>
    `nft insert rule ${family} ${table} ${name} ${key} ${TUNNEL_DEVICE} accept`;
  return `the chain ${family} ${table} ${name}${others} drops what it does not accept, and knows nothing of ${TUNNEL_DEVICE}; if it is to forward for egress IPs: ${rule('iifname')}; ${rule('oifname')}`;
}

/** @param devices uplinks with strict reverse-path filtering, by which the default route does not lead */
export function adviseOnStrict(devices: readonly string[]): string {
  const [first] = devices;
  if (first === undefined) return '';
  return `strict reverse-path filtering on ${devices.join(', ')} drops answers from the outside to egress IPs there; make it loose: sysctl -w net.ipv4.conf.${first}.rp_filter=2`;
}

function names(expression: Json, key: string): boolean {
  const [match] = objects([expression.match]);
  const [left] = objects([match?.left]);
  const [meta] = objects([left?.meta]);
  return meta?.key === key && match?.op === '==' && match.right === TUNNEL_DEVICE;
}

function entries(listing: unknown, kind: string): readonly Json[] {
  const [document] = objects([listing]);
  return objects(document?.nftables).flatMap((it) => objects([it[kind]]));
}

function objects(value: unknown): readonly Json[] {
  if (!Array.isArray(value)) return [];
  return value.filter((it): it is Json => typeof it === 'object' && it !== null);
}
