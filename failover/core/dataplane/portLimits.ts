/**
 * How new connections are held against the ports that a node has of an egress IP. A port serves any number of connections to
 * different places, so they are counted by protocol, destination and its port. The kernel would drop in silence what finds no
 * port; here it is refused before, and long before that the agent is told to ask for more.
 *
 * An element of the counting sets keeps the limit that it was made with. So the number of granules is part of its key, in bits
 * of the mark that are not ours and that the packet carries only while it is counted.
 */
import type { PortRange } from '../dataPlane.ts';
import { contentHash } from './contentHash.ts';
import { BOTH_FAMILIES } from './familyWords.ts';
import { EGRESS_FLAG, INDEX_MAX } from './marks.ts';
import type { NamedChain } from './rendered.ts';

/**
 * Part of the ports that may be in use towards one place before more are asked for. The newest block gets three of four
 * connections (renderAddresses.ts) and is half of all ports: it is nine tenths full then.
 */
const PRESSED = 0.6;
const PRESSED_SECONDS = 60;
/** Places that are counted at a time; connections to more are translated uncounted. */
const PLACES_MAX = 65_536;
const GRANULE_PORTS = 64;
/** The kernel walks all that it counts of one place, at most every jiffy that a new connection goes there: more would cost too much. */
const COUNTED_PORTS_MAX = 8_192;
const UPPER_OCTET = 2 ** 24;

export interface PressedPorts {
  /** Of the egress IP: marks.ts. */
  readonly index: number;
  /** How many ports, in whole granules, this node had of it then. */
  readonly ports: number;
}

/** Sets that the kernel fills: none of them is read or written as a whole. */
export function limitSets(): string {
  const counted = BOTH_FAMILIES.flatMap(({ ip, suffix }) =>
    ['nearly_used', 'used'].map(
      (name) =>
        `\n  set ${name}${suffix} { typeof meta mark . ${ip} daddr . meta l4proto . th dport; size ${PLACES_MAX}; flags dynamic;\n  }`,
    ),
  );
  return `${counted.join('')}\n  set pressed { type mark; size ${PLACES_MAX}; flags dynamic,timeout;\n  }`;
}

export function limitChains(): string {
  return `
  chain pressed_ports {
    update @pressed { meta mark timeout ${PRESSED_SECONDS}s }
  }
  chain exhausted {
    meta mark set 0 counter name exhausted
    meta l4proto tcp reject with tcp reset${BOTH_FAMILIES.map(({ icmp }) => `\n    reject with ${icmp} admin-prohibited`).join('')}
  }`;
}

/** The chain that counts the connections of a node that has these ports; undefined where there are none, or too many to count. */
export function limitChain(family: 4 | 6, usable: readonly PortRange[]): NamedChain | undefined {
  const ports = usable.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  if (ports === 0 || ports > COUNTED_PORTS_MAX) return undefined;
  const [words] = BOTH_FAMILIES.filter((it) => it.family === family);
  const key = `meta mark . ${words?.ip} daddr . meta l4proto . th dport`;
  const counted = (set: string, most: number, verdict: string): string =>
    `add @${set}${words?.suffix} { ${key} ct count over ${most} } ${verdict}`;
  const rules = [
    'meta l4proto != { tcp, udp, sctp } return',
    `meta mark set meta mark | ${granuleBits(Math.ceil(ports / GRANULE_PORTS))}`,
    counted('nearly_used', Math.floor(ports * PRESSED), 'jump pressed_ports'),
    counted('used', ports, 'goto exhausted'),
    `meta mark set meta mark & ${EGRESS_FLAG | INDEX_MAX}`,
  ];
  return [`limit_${contentHash(rules.join('\n'))}`, rules];
}

/** The upper octet of the mark. */
function granuleBits(granules: number): number {
  return granules * UPPER_OCTET;
}

/** What an element of `pressed` says. */
export function parsePressed(mark: number): PressedPorts {
  return { index: mark & INDEX_MAX, ports: Math.floor(mark / UPPER_OCTET) * GRANULE_PORTS };
}
