/**
 * The rules, the same on every node and whatever the number of pods, addresses and nodes: only the contents of maps
 * differ. Decides what happens to each packet; relies on renderElements.ts for the contents and on the routing tables
 * that iproute.ts sets up (a mark with ROUTE_FLAG goes into the tunnel, with LOCAL_FLAG to this node).
 *
 * Two roles live side by side: the source (translates its pods' connections with connection tracking) and the gateway
 * (forwards both ways untracked, by address and port alone). Who answers ARP is the guard's, guardRuleset.ts.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { Address } from '../../../policy/model.ts';
import { contentHash } from './contentHash.ts';
import { commandChains, replaceIn, STEERING_COMMANDS_ADDRESS } from './kernelCommands.ts';
import { MANAGED, MANAGED_NAMES, TABLE } from './kernelState.ts';
import { EGRESS_FLAG, INDEX_MAX, LOCAL_FLAG, ROUTE_FLAG, returnMark, SELF_INDEX } from './marks.ts';

export const TUNNEL_DEVICE = 'egress0';
/** Outer IPv4, UDP, VXLAN and inner Ethernet: what the tunnel takes from the uplink's MTU. */
export const TUNNEL_OVERHEAD = 50;
/** Pings to an egress IP that are answered per second: enough for people and monitors, useless as a reflector. */
const PINGS_PER_SECOND = 50;
/** IPv4 and TCP headers without options: what a maximum segment leaves of an MTU. */
const TCP_HEADERS = 40;

export const INET_COUNTERS = [
  'unmapped',
  'spoofed',
  'no_block',
  'unsolicited',
  'refused',
  'unknown_peer',
] as const;
export const NETDEV_COUNTERS = ['no_holder'] as const;

export interface StaticOptions {
  readonly uplink: string;
  readonly uplinkMtu: number;
  readonly self: Address;
  readonly tunnelPort: number;
}

/** The text that replaces both tables, and the name of the empty chain that tells this text from any other. */
export function renderStaticRuleset(options: StaticOptions): {
  readonly text: string;
  readonly fingerprint: string;
} {
  const inet = inetTable(options);
  const netdev = netdevTable();
  const fingerprint = `version_${contentHash(inet + netdev)}`;
  const whole = (family: string, body: string): string =>
    `table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\ntable ${family} ${TABLE} {\n  chain ${fingerprint} {\n  }${body}\n}\n`;
  return { text: whole('inet', inet) + whole('netdev', netdev), fingerprint };
}

function declarations(family: 'inet' | 'netdev', counters: readonly string[]): string {
  const sets = MANAGED_NAMES.filter((name) => name.startsWith(`${family} `)).map((name) => {
    const declaration = MANAGED[name];
    const kind = declaration.includes(' : ') ? 'map' : 'set';
    return `\n  ${kind} ${name.slice(family.length + 1)} { ${declaration}\n  }`;
  });
  return [...sets, ...counters.map((name) => `\n  counter ${name} {\n  }`)].join('');
}

function inetTable({ uplink, uplinkMtu, self, tunnelPort }: StaticOptions): string {
  const own = formatAddress(self);
  const selfMark = returnMark(SELF_INDEX);
  const segment = uplinkMtu - TUNNEL_OVERHEAD - TCP_HEADERS;
  return `${declarations('inet', INET_COUNTERS)}
  chain tunnel_in { type filter hook prerouting priority raw;
    iifname "${TUNNEL_DEVICE}" goto from_tunnel
    iifname "${uplink}" ip daddr ${own} udp dport ${tunnelPort} goto outer
    ip daddr @egress_ips goto to_egress
  }
  chain outer {
    ip saddr . @th,176,48 @peers notrack accept
    counter name unknown_peer drop
  }
  chain node_out { type route hook output priority raw;
    ip saddr ${own} udp dport ${tunnelPort} notrack accept
    ip daddr @egress_ips goto to_egress
  }
  chain from_tunnel {
    ip saddr @egress_ips goto from_node
    ip daddr @egress_ips accept
    counter name spoofed drop
  }
${gatewayChains(selfMark)}
  chain keep_off { type filter hook input priority filter - 1;
    ip daddr @egress_ips meta mark & ${LOCAL_FLAG} == 0 counter name unsolicited drop
  }
  chain choose { type filter hook prerouting priority mangle;
    ct state untracked return
    iifname "${TUNNEL_DEVICE}" ip daddr @egress_ips ct state new,invalid counter name unsolicited drop
    iifname "${TUNNEL_DEVICE}" return
    ct direction reply return
    ip daddr @direct return
    fib daddr type != unicast return
    meta mark set ct reply ip daddr map @egress_marks goto steer
    ct state new ip saddr vmap @pods
  }
  chain steer {
    meta mark set meta mark map @steering
  }
  chain refuse {
    counter name refused
    meta l4proto tcp reject with tcp reset
    reject with icmp admin-prohibited
  }
  chain segment_size { type filter hook forward priority mangle;
    oifname "${TUNNEL_DEVICE}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
    meta mark & ${EGRESS_FLAG} == ${EGRESS_FLAG} tcp flags syn / syn,rst tcp option maxseg size set ${segment}
  }
  chain translate { type nat hook postrouting priority srcnat - 1;
    meta mark & ${EGRESS_FLAG} == ${EGRESS_FLAG} goto translate_marked
  }
  chain translate_marked {
    meta mark & ${EGRESS_FLAG | INDEX_MAX} vmap @translations
    counter name no_block drop
  }`;
}

/**
 * Return packets find their node by (address, port granule); so do ICMP errors, by the packet that they quote (only
 * quoted headers without options, where the port is at a known place). Forward packets are let through only from the
 * node that holds the port they come from.
 */
function gatewayChains(selfMark: number): string {
  const errors = 'icmp type { destination-unreachable, time-exceeded, parameter-problem } @th,64,8 0x45';
  return `  chain to_egress {
    meta l4proto { tcp, udp, sctp } meta mark set ip daddr . (th dport & 0xffc0) map @blocks goto deliver
    icmp type echo-reply meta mark set ip daddr . (icmp id & 0xffc0) map @block_ids goto deliver
    ${errors} @th,136,8 { 6, 17, 132 } meta mark set ip daddr . (@th,224,16 & 0xffc0) map @block_ids goto deliver
    ${errors} @th,136,8 1 meta mark set ip daddr . (@th,256,16 & 0xffc0) map @block_ids goto deliver
    icmp type echo-request limit rate ${PINGS_PER_SECOND}/second meta mark set ${LOCAL_FLAG} notrack accept
    counter name unmapped drop
  }
  chain deliver {
    meta mark ${selfMark} meta mark set 0 accept
    notrack accept
  }
  chain from_node {
    meta l4proto { tcp, udp, sctp } meta mark set ip saddr . (th sport & 0xffc0) map @blocks goto check_sender
    icmp type echo-request meta mark set ip saddr . (icmp id & 0xffc0) map @block_ids goto check_sender
    ${errors} @th,136,8 { 6, 17, 132 } meta mark set ip saddr . (@th,240,16 & 0xffc0) map @block_ids goto check_sender
    counter name spoofed drop
  }
  chain check_sender {
    meta mark . ether saddr != @senders counter name spoofed drop
    meta mark set 0 notrack accept
  }`;
}

/**
 * Frames into the tunnel get the MAC of the node that they are for: one map entry moves an address. The ownership thread
 * changes that entry by a datagram as soon as it hears of a move.
 */
function netdevTable(): string {
  return `${declarations('netdev', NETDEV_COUNTERS)}${commandChains(STEERING_COMMANDS_ADDRESS, 'tokens', [
    ['steer', 4, replaceIn('egress_gateways', 4)],
  ])}
  chain into_tunnel { type filter hook egress device "${TUNNEL_DEVICE}" priority 0;
    ether daddr set meta mark map @node_macs meta mark set 0 accept
    meta mark set ip saddr map @egress_gateways ether daddr set meta mark map @gateway_macs meta mark set 0 accept
    counter name no_holder drop
  }`;
}

/** The rule of the tunnel's routing table: marks with ROUTE_FLAG. */
export const TUNNEL_TABLE = { table: 7777, preference: 77, mark: ROUTE_FLAG } as const;
/** Packets with LOCAL_FLAG find the egress IPs that this node answers for as its own here, and nowhere else. */
export const ANSWER_TABLE = { table: 7778, preference: 76, mark: LOCAL_FLAG } as const;
