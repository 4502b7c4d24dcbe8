/**
 * The rules, the same on every node and whatever the number of pods, addresses and nodes: only the contents of maps
 * differ. Decides what happens to each packet; relies on renderElements.ts for the contents and on the routing tables
 * that iproute.ts sets up (a mark with ROUTE_FLAG goes into the tunnel, with LOCAL_FLAG to this node).
 *
 * Two roles live side by side: the source (translates its pods' connections with connection tracking) and the gateway
 * (forwards both ways untracked, by address and port alone; gatewayChains.ts). Both do the same for IPv4 and IPv6: what
 * differs is in familyWords.ts. Who answers ARP and neighbour discovery is the guard's, guardRuleset.ts.
 */
import { formatAddress } from '../../../policy/address.ts';
import type { Address } from '../../../policy/model.ts';
import { soleUplink, type Uplinks } from '../uplinks.ts';
import { contentHash } from './contentHash.ts';
import { BOTH_FAMILIES, type FamilyWords, tunnelOverhead, WORDS } from './familyWords.ts';
import { FAST_COUNTERS, type FastPathText, fastPathText, NO_FAST_PATH } from './fastPath.ts';
import { gatewayChains, NEIGHBOUR_DISCOVERY } from './gatewayChains.ts';
import { commandChains, replaceIn, STEERING_COMMANDS_ADDRESS } from './kernelCommands.ts';
import { CONTENT_CHAIN, GRANULE_MAPS, MANAGED, TABLE } from './kernelState.ts';
import { leavingPongs } from './leavingBy.ts';
import { EGRESS_FLAG, INDEX_MAX, LOCAL_FLAG, RETURN_FLAG, ROUTE_FLAG, TRANSLATED_FLAG } from './marks.ts';
import { limitChains, limitSets } from './portLimits.ts';
import { GRANULE_MASK } from './portRanges.ts';
import { NOBODY } from './renderUnknown.ts';

export const TUNNEL_DEVICE = 'egress0';

export const INET_COUNTERS = [
  'unmapped',
  'spoofed',
  'no_block',
  'unsolicited',
  'refused',
  'ended',
  'held',
  'exhausted',
  'unknown_peer',
] as const;
export const NETDEV_COUNTERS = ['no_holder', ...FAST_COUNTERS] as const;

export interface StaticOptions {
  readonly uplink: string;
  /** Absent: there is no other. */
  readonly uplinks?: Uplinks;
  readonly uplinkMtu: number;
  readonly self: Address;
  readonly tunnelPort: number;
  readonly tunnelVni: number;
  /** The rules of fastPath.ts as well. */
  readonly fastPath: boolean;
}

export interface StaticRuleset {
  /** Makes both tables anew, without an element. */
  readonly text: string;
  /** The empty chain that tells these rules from any others. */
  readonly fingerprint: string;
  /** The empty chain that tells which sets and maps there are. */
  readonly layout: string;
  /**
   * Replaces the rules alone, where sets and maps are those of `layout`: nothing that is looked up in them is ever missing.
   * @param chains those that there are, by family and name. The rules of all of them go.
   */
  renewal(chains: ReadonlySet<string>): string;
}

export function renderStaticRuleset(options: StaticOptions): StaticRuleset {
  const fast = fastPath(options);
  const tables = [
    { family: 'inet', sets: setDeclarations('inet'), body: inetTable(options) + fast.inet },
    { family: 'netdev', sets: setDeclarations('netdev'), body: netdevTable() + fast.netdev },
  ] as const;
  const layout = `layout_${contentHash(tables.map(({ sets }) => sets).join(''))}`;
  const fingerprint = `version_${contentHash(tables.map(({ sets, body }) => sets + body).join(''))}`;
  const markers = `\n  chain ${fingerprint} {\n  }\n  chain ${layout} {\n  }`;
  const made = tables.map(
    ({ family, sets, body }) =>
      `table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\ntable ${family} ${TABLE} {${markers}${sets}${body}\n}\n`,
  );
  return {
    text: made.join(''),
    fingerprint,
    layout,
    renewal: (chains) =>
      tables
        .map(({ family, body }) => {
          const gone = [...chains]
            .filter((it) => it.startsWith(`${family} `))
            .map((it) => it.split(' ')[1] ?? '');
          const deletions = gone
            .filter((name) => !CONTENT_CHAIN.test(name))
            .map((name) => `delete chain ${family} ${TABLE} ${name}\n`);
          return `flush table ${family} ${TABLE}\n${deletions.join('')}table ${family} ${TABLE} {${markers}${body}\n}\n`;
        })
        .join(''),
  };
}

function fastPath({ fastPath: wanted, uplink, uplinkMtu, self }: StaticOptions): FastPathText {
  if (!wanted) return NO_FAST_PATH;
  const tunnelMtu = uplinkMtu - tunnelOverhead(self.family);
  return fastPathText({ tunnel: TUNNEL_DEVICE, uplink, uplinkMtu, tunnelMtu });
}

function setDeclarations(family: 'inet' | 'netdev'): string {
  const filledByPackets = family === 'inet' ? limitSets() : '';
  const filledByPlans = Object.entries({ ...MANAGED, ...GRANULE_MAPS })
    .filter(([name]) => name.startsWith(`${family} `))
    .map(([name, declaration]) => {
      const kind = declaration.includes(' : ') ? 'map' : 'set';
      return `\n  ${kind} ${name.slice(family.length + 1)} { ${declaration}\n  }`;
    })
    .join('');
  return filledByPlans + filledByPackets;
}

function counterDeclarations(counters: readonly string[]): string {
  return counters.map((name) => `\n  counter ${name} {\n  }`).join('');
}

/**
 * Frames for this node's tunnel, or for another's, that do not come by the uplink may be a pod's: on the way to another node they
 * would get this node's address from the CNI's masquerade, and would be believed there. They pass if they are a peer's, and
 * its address is reached by where they came from.
 */
function inetTable({
  uplink,
  uplinks = soleUplink(uplink),
  uplinkMtu,
  self,
  tunnelPort,
  tunnelVni,
}: StaticOptions): string {
  const underlay = WORDS[self.family];
  const foreign = `iifname != "${uplink}" udp dport ${tunnelPort} @th,96,24 ${tunnelVni}`;
  const outside = `${underlay.ip} daddr ${formatAddress(self)} udp dport ${tunnelPort}`;
  const inside = `${underlay.ip} saddr ${formatAddress(self)} udp dport ${tunnelPort}`;
  const innerMtu = uplinkMtu - tunnelOverhead(self.family);
  return `${counterDeclarations(INET_COUNTERS)}
  set attended { type nf_proto; flags timeout;
  }
  chain tunnel_in { type filter hook prerouting priority raw;
    iifname "${TUNNEL_DEVICE}" goto from_tunnel
    iifname "${uplink}" ${outside} goto outer${each(({ ip, suffix }) => `${ip} daddr @egress_ips${suffix} goto to_egress${suffix}`)}
    ${foreign} goto stray
  }
  chain stray {
    fib saddr . iif oif missing counter name unknown_peer drop
    goto outer
  }
  chain outer {
    ${underlay.ip} saddr . @th,176,48 @peers${underlay.suffix} notrack accept
    counter name unknown_peer drop
  }
  chain node_out { type route hook output priority raw;
    ${inside} notrack accept${each(({ ip, suffix }) => `${ip} daddr @egress_ips${suffix} goto to_egress${suffix}`)}${leavingPongs(uplinks)}
  }
  chain from_tunnel {${each(({ ip, suffix }) => `${ip} saddr @egress_ips${suffix} goto from_node${suffix}`)}${each(({ ip, suffix }) => `${ip} daddr @egress_ips${suffix} accept`)}
    counter name spoofed drop
  }${gatewayChains(uplinks)}
${sourceChains()}
  chain segment_size { type filter hook forward priority mangle;
    oifname "${TUNNEL_DEVICE}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu${each((words) => segmentSizeRules(words, innerMtu))}
  }`;
}

/** A connection of a pod on the gateway itself may have to go through the tunnel later, so its segments fit it from the start. */
function segmentSizeRules({ ip, suffix, nfproto, tcpHeaderBytes }: FamilyWords, mtu: number): string {
  const clamp = `tcp flags syn / syn,rst tcp option maxseg size set ${mtu - tcpHeaderBytes}`;
  return `meta nfproto ${nfproto} meta mark & ${EGRESS_FLAG} == ${EGRESS_FLAG} ${clamp}
    ct direction reply ct reply ${ip} daddr @egress_ips${suffix} ${clamp}`;
}

/**
 * The source's half: which of its pods' connections are translated to what, and what is refused instead. What belongs to no
 * connection cannot be translated, so it does not leave. Each packet is held against the routes of its pod (renderRoutes.ts), so a
 * connection ends when it may not leave any more as it began; of one that ended only the pod's own reset still leaves, as it began, and
 * tells the other end. The node's own errors about a pod's connection (`choose_own`) leave with the egress IP as their source, so they
 * go by its gateway as well; what it tells the pod itself does not.
 *
 * A translated connection is translated as long as the kernel tracks it, which may be days after its ports are another node's and
 * its address is nobody's. So it says of itself that it is (TRANSLATED_FLAG): it leaves by its gateway and from a port that this node
 * has, or not at all.
 */
function sourceChains(): string {
  const tunnel = `iifname "${TUNNEL_DEVICE}"`;
  const translated = `ct mark & ${TRANSLATED_FLAG} == ${TRANSLATED_FLAG}`;
  return `  chain keep_off { type filter hook input priority filter - 1;
    ${NEIGHBOUR_DISCOVERY} accept${each(({ ip, suffix }) => `${ip} daddr @egress_ips${suffix} meta mark & ${LOCAL_FLAG} == 0 counter name unsolicited drop`)}
  }
  chain choose { type filter hook prerouting priority mangle;
    ct state untracked return${each(({ ip, suffix }) => `${tunnel} ${ip} daddr @egress_ips${suffix} ct state new,invalid counter name unsolicited drop`)}
    ${tunnel} return
    ct direction reply return${each(({ ip, suffix }) => `${ip} daddr @direct${suffix} goto untouched`)}
    fib daddr type != unicast goto untouched${each(({ ip, suffix }) => `${ip} saddr vmap @pods${suffix}`)}${each(({ ip, suffix, family }) => `${ip} saddr & ${NOBODY[family]} vmap @pods${suffix}`)}
    goto unruled
  }
  chain untouched {
    ${translated} goto ended
  }
  chain unruled {
    ${translated} goto ended${each(({ ip, suffix }) => `ct reply ${ip} daddr @egress_ips${suffix} goto ended`)}
  }
  chain choose_own { type route hook output priority mangle;
    ct state != related return
    ct direction reply return${each(({ ip, suffix }) => `meta mark set ct reply ${ip} daddr map @egress_marks${suffix} goto steer`)}
    ${translated} counter name ended drop
  }
  chain steer {
    ct state invalid counter name no_block drop
    ct state new meta mark vmap @port_limits
    ${translated} jump keep_port
    meta mark set meta mark map @steering
    accept
  }
  chain keep_port {${each(({ ip, suffix }) => `meta l4proto { tcp, udp, sctp } ct reply ${ip} daddr . (ct reply proto-dst & ${GRANULE_MASK}) != @own_ports${suffix} counter name ended goto reject_it`)}
  }
  chain refuse {
    counter name refused goto reject_it
  }
  chain hold {
    counter name held drop
  }
  chain ended {${each(({ ip, suffix }) => `tcp flags & rst == rst meta mark set ct reply ${ip} daddr map @egress_marks${suffix} goto steer`)}
    counter name ended goto reject_it
  }
  chain reject_it {
    meta l4proto tcp reject with tcp reset${each(({ icmp }) => `reject with ${icmp} admin-prohibited`)}
  }${limitChains()}
  chain translate { type nat hook postrouting priority srcnat - 1;
    meta mark & ${EGRESS_FLAG} == ${EGRESS_FLAG} goto translate_marked
  }
  chain translate_marked {
    ct mark set ct mark | ${TRANSLATED_FLAG}
    meta mark & ${EGRESS_FLAG | INDEX_MAX} vmap @translations
    counter name no_block drop
  }`;
}

/** The same rule for each family, a line each. */
function each(rule: (words: FamilyWords) => string): string {
  return BOTH_FAMILIES.map((words) => `\n    ${rule(words)}`).join('');
}

/**
 * Frames into the tunnel get the MAC of the node that they are for: one map entry moves an address. The ownership thread
 * changes that entry by a datagram as soon as it hears of a move. What the kernel has to say to all neighbours on a device of
 * IPv6 is for nobody here, and no loss.
 */
function netdevTable(): string {
  const steer = BOTH_FAMILIES.map(
    ({ family, suffix }) => ['steer', family, replaceIn(`egress_gateways${suffix}`, family)] as const,
  );
  return `${counterDeclarations(NETDEV_COUNTERS)}${commandChains(STEERING_COMMANDS_ADDRESS, 'tokens', steer)}
  chain into_tunnel { type filter hook egress device "${TUNNEL_DEVICE}" priority 0;
    ether daddr set meta mark map @node_macs meta mark set 0 accept${each(({ ip, suffix }) => `meta mark set ${ip} saddr map @egress_gateways${suffix} ether daddr set meta mark map @gateway_macs meta mark set 0 accept`)}
    ip6 daddr ff00::/8 drop
    counter name no_holder drop
  }`;
}

/** How long a word that somebody attends to the node holds: a pod that nobody has heard of takes longer to start. */
export const ATTENDED_SECONDS = 1;
export const LEAVE_COMMAND = `flush set inet ${TABLE} attended\n`;
/** In one transaction: nft 1.0.6 does not refresh an element that it adds again. */
export const ATTEND_COMMANDS = `${LEAVE_COMMAND}add set inet ${TABLE} attended { type nf_proto; flags timeout; elements = { ${['ipv4', 'ipv6'].map((it) => `${it} timeout ${ATTENDED_SECONDS}s`).join(', ')} }; }\n`;

/** The rule of the tunnel's routing table: marks with ROUTE_FLAG. */
export const TUNNEL_TABLE = { table: 7777, preference: 77, mark: ROUTE_FLAG } as const;
/** Packets with LOCAL_FLAG find the egress IPs that this node answers for as its own here, and nowhere else. */
export const ANSWER_TABLE = { table: 7778, preference: 76, mark: LOCAL_FLAG } as const;
/**
 * Packets that leave by an uplink other than the first, by their marks (UPLINK_FLAGS): what the main table has a route of its own
 * for goes there, and all else by the uplink's own table, at the preference that follows. Both before the two above.
 */
export const OUTWARD_RULE = { preference: 74, mark: RETURN_FLAG, mask: RETURN_FLAG | ROUTE_FLAG } as const;
export const UPLINK_TABLES = [7779, 7780] as const;
