/**
 * The gateway's fast path: whole packets that fit are forwarded where a device hands them to the kernel, before routing,
 * connection tracking and the forward hook. It only ever lets through what the rules of staticRuleset.ts would: a packet
 * that is not certain to be such a one falls through to them, and they decide and count.
 *
 * Two chains for each direction, since sets are a table's own and `fwd` is the netdev family's: the first, beside the maps,
 * looks the packet up and marks it; the second, at the next priority, forwards what is marked. `fwd` lowers the TTL, and
 * drops what it would lower to 0.
 *
 * IPv4 only: IPv6 takes the stack. Which destinations are reached by the one next hop is fastRoutes.ts's to say; with no next hop nothing is forwarded here.
 */
import { WORDS } from './familyWords.ts';
import { RETURN_FLAG, returnMark, SELF_INDEX } from './marks.ts';

export const FAST_COUNTERS = ['fast_out', 'fast_back'] as const;
/** Any address will do on a device without neighbours; its own egress hook writes the MAC. */
const TUNNEL_NEIGHBOUR = '169.254.77.1';
/** IPv4 without options, not a fragment, TTL to spare, and with ports. Fragments and options are the stack's work. */
const WHOLE = '@nh,0,8 0x45 ip frag-off & 0x3fff == 0 ip ttl > 1 ip protocol { tcp, udp, sctp }';
const MARKED = `meta mark & ${RETURN_FLAG} == ${RETURN_FLAG}`;

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
  const inet = `
  chain fast_out { type filter hook ingress device "${tunnel}" priority 0;
    ${WHOLE} ip length <= ${uplinkMtu} ip daddr != @detours meta mark set ip saddr . (th sport & 0xffc0) map @blocks meta mark . ether saddr @senders accept
    meta mark set 0
  }
  chain fast_back { type filter hook ingress device "${uplink}" priority 0;
    ip daddr @egress_ips ${WHOLE} ip length <= ${tunnelMtu} ip saddr != @detours meta mark set ip daddr . (th dport & 0xffc0) map @blocks goto fast_back_to
  }
  chain fast_back_to {
    meta mark ${returnMark(SELF_INDEX)} meta mark set 0 accept
    tcp flags syn / syn,rst tcp option maxseg size set ${tunnelMtu - WORDS[4].tcpHeaderBytes}
  }`;
  const netdev = `
  chain fast_out_send { type filter hook ingress device "${tunnel}" priority 1;
    ${MARKED} meta mark set 0 counter name fast_out fwd ip to meta mark map @next_hops device "${uplink}"
  }
  chain fast_back_send { type filter hook ingress device "${uplink}" priority 1;
    ${MARKED} counter name fast_back fwd ip to ${TUNNEL_NEIGHBOUR} device "${tunnel}"
  }`;
  return { inet, netdev };
}

/** `nft --check` of it asks whether this kernel and this nft can do it all. */
export function fastPathProbe(uplink: string): string {
  return `table inet sallyport_probe {
 chain probe { type filter hook ingress device "${uplink}" priority 0;
 }
}
table netdev sallyport_probe {
 map next_hops { type mark : ipv4_addr;
 }
 chain probe { type filter hook ingress device "${uplink}" priority 1;
  fwd ip to meta mark map @next_hops device "${uplink}"
 }
}
`;
}
