/**
 * The gateway's fast path: whole packets that fit are forwarded where a device hands them to the kernel, before routing,
 * connection tracking and the forward hook. It only ever lets through what the rules of staticRuleset.ts would: a packet
 * that is not certain to be such a one falls through to them, and they decide and count.
 *
 * Two chains for each direction, since sets are a table's own and `fwd` is the netdev family's: the first, beside the maps,
 * looks the packet up and marks it; the second, at the next priority, forwards what is marked. `fwd` passes by what is of the
 * other family, lowers the TTL or hop limit, and drops what it would lower to 0 (net/netfilter/nft_fwd_netdev.c).
 *
 * Which destinations are reached by a family's one next hop is fastRoutes.ts's to say; of a family without one nothing is
 * forwarded here.
 */
import type { Family } from '../../../policy/model.ts';
import { BOTH_FAMILIES, type FamilyWords } from './familyWords.ts';
import { RETURN_FLAG, returnMark, SELF_INDEX } from './marks.ts';
import { GRANULE_MASK } from './portRanges.ts';

export const FAST_COUNTERS = ['fast_out', 'fast_back'] as const;
/**
 * Any unicast address will do on a device without ARP: the kernel makes a neighbour of it that needs no answer, and the
 * device's own egress hook writes the MAC.
 */
const TUNNEL_NEIGHBOURS: Readonly<Record<Family, string>> = { 4: '169.254.77.1', 6: 'fe80::1' };
/** Over a narrower device the kernel carries no IPv6 at all (RFC 8200, 5). */
const IPV6_MTU_MIN = 1280;
/** What a promiscuous uplink shows of others' frames is nobody's business here, as in the stack. */
const OURS = 'meta pkttype host';
const NOT_MARKED = `meta mark & ${RETURN_FLAG} != ${RETURN_FLAG}`;

export interface FastPathText {
  readonly inet: string;
  readonly netdev: string;
}

export const NO_FAST_PATH: FastPathText = { inet: '', netdev: '' };

export interface FastPathOptions {
  readonly tunnel: string;
  readonly uplink: string;
  readonly uplinkMtu: number;
  readonly tunnelMtu: number;
}

export function fastPathText({ tunnel, uplink, uplinkMtu, tunnelMtu }: FastPathOptions): FastPathText {
  const families = BOTH_FAMILIES.filter(({ family }) => family === 4 || tunnelMtu >= IPV6_MTU_MIN);
  const each = (text: (words: FamilyWords) => string): string => families.map(text).join('');
  const inet = `
  chain fast_out { type filter hook ingress device "${tunnel}" priority 0;${each(
    ({ ip, suffix, whole, fits }) => `
    ${whole} ${fits(uplinkMtu)} ${ip} daddr != @detours${suffix} meta mark set ${ip} saddr . (th sport & ${GRANULE_MASK}) map @blocks${suffix} meta mark . ether saddr @senders accept`,
  )}
    meta mark set 0
  }
  chain fast_back { type filter hook ingress device "${uplink}" priority 0;${each(
    ({ ip, suffix, whole, fits }) => `
    ${ip} daddr @egress_ips${suffix} ${OURS} ${whole} ${fits(tunnelMtu)} ${ip} saddr != @detours${suffix} meta mark set ${ip} daddr . (th dport & ${GRANULE_MASK}) map @blocks${suffix} goto fast_back_to${suffix}`,
  )}
  }${each(
    ({ suffix, tcpHeaderBytes }) => `
  chain fast_back_to${suffix} {
    meta mark ${returnMark(SELF_INDEX)} meta mark set 0 accept
    tcp flags syn / syn,rst tcp option maxseg size set ${tunnelMtu - tcpHeaderBytes}
  }`,
  )}`;
  const netdev = `
  chain fast_out_send { type filter hook ingress device "${tunnel}" priority 1;
    ${NOT_MARKED} accept
    meta mark set 0 counter name fast_out${each(
      ({ ip, suffix }) => `
    fwd ${ip} to meta mark map @next_hops${suffix} device "${uplink}"`,
    )}
  }
  chain fast_back_send { type filter hook ingress device "${uplink}" priority 1;
    ${NOT_MARKED} accept
    counter name fast_back${each(
      ({ family, ip }) => `
    fwd ${ip} to ${TUNNEL_NEIGHBOURS[family]} device "${tunnel}"`,
    )}
  }`;
  return { inet, netdev };
}

/** `nft --check` of it asks whether this kernel and this nft can do it all. */
export function fastPathProbe(uplink: string): string {
  const each = (text: (words: FamilyWords) => string): string => BOTH_FAMILIES.map(text).join('');
  return `table inet sallyport_probe {
 chain probe { type filter hook ingress device "${uplink}" priority 0;
 }
}
table netdev sallyport_probe {${each(
    ({ suffix, family }) => `
 map next_hops${suffix} { type mark : ipv${family}_addr;
 }`,
  )}
 chain probe { type filter hook ingress device "${uplink}" priority 1;${each(
   ({ ip, suffix }) => `
  fwd ${ip} to meta mark map @next_hops${suffix} device "${uplink}"`,
 )}
 }
}
`;
}
