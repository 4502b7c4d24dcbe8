/**
 * The gateway's half of the rules. Return packets find their node by (address, port granule); so do ICMP errors, by the
 * packet that they quote. Forward packets are let through only from the node that holds the port they come from.
 */

import type { Uplinks } from '../uplinks.ts';
import type { FamilyWords, QuotedPacket } from './familyWords.ts';
import { BOTH_FAMILIES } from './familyWords.ts';
import { leavingRules } from './leavingBy.ts';
import { LOCAL_FLAG, returnMark, SELF_INDEX } from './marks.ts';
import { GRANULE_MASK } from './portRanges.ts';

/** Pings to an egress IP that are answered per second and family: enough for people and monitors, useless as a reflector. */
const PINGS_PER_SECOND = 50;
/** TCP, UDP and SCTP have their ports at the same place. */
const WITH_PORTS = '{ 6, 17, 132 }';
/** Neighbour discovery that asks for an address, or answers for a neighbour that was asked for. */
export const NEIGHBOUR_DISCOVERY = 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }';

export function gatewayChains(uplinks: Uplinks): string {
  const selfMark = returnMark(SELF_INDEX);
  return `${chain('to_egress', BOTH_FAMILIES, toEgress)}
  chain deliver {
    meta mark ${selfMark} meta mark set 0 accept
    notrack accept
  }${chain('from_node', BOTH_FAMILIES, fromNode)}
  chain check_sender {
    meta mark . ether saddr != @senders counter name spoofed drop${leavingRules(uplinks)}
    meta mark set 0 notrack accept
  }`;
}

function chain(
  name: string,
  families: readonly FamilyWords[],
  rules: (words: FamilyWords) => readonly string[],
): string {
  const one = (words: FamilyWords): string =>
    `\n  chain ${name}${words.suffix} {${rules(words)
      .map((rule) => `\n    ${rule}`)
      .join('')}\n  }`;
  return families.map(one).join('');
}

/** `address` is the egress IP's place in the packet: its destination on the way back, its source on the way out. */
function owner({ ip, suffix }: FamilyWords, address: 'saddr' | 'daddr', port: string, map: string): string {
  return `meta mark set ${ip} ${address} . (${port} & ${GRANULE_MASK}) map @${map}${suffix}`;
}

function toEgress(words: FamilyWords): readonly string[] {
  const { icmp } = words;
  const found = (port: string, map = 'block_ids'): string =>
    `${owner(words, 'daddr', port, map)} goto deliver`;
  return [
    // The kernel answers, by its proxy's entry, what is asked of the address itself; nothing else of the node hears of it.
    ...(words.family === 6 ? [`${NEIGHBOUR_DISCOVERY} accept`] : []),
    `meta l4proto { tcp, udp, sctp } ${found('th dport', 'blocks')}`,
    `${icmp} type echo-reply ${found(`${icmp} id`)}`,
    ...quotedBy(words, ({ transportBit }) => found(`@th,${transportBit},16`)),
    ...quotedEchoBy(words, found),
    `${icmp} type echo-request limit rate ${PINGS_PER_SECOND}/second meta mark set ${LOCAL_FLAG} notrack accept`,
    'counter name unmapped drop',
  ];
}

function fromNode(words: FamilyWords): readonly string[] {
  const { icmp } = words;
  const checked = (port: string, map = 'block_ids'): string =>
    `${owner(words, 'saddr', port, map)} goto check_sender`;
  return [
    `meta l4proto { tcp, udp, sctp } ${checked('th sport', 'blocks')}`,
    `${icmp} type echo-request ${checked(`${icmp} id`)}`,
    // A pod's error quotes what came to it, so its port is the destination's.
    ...quotedBy(words, ({ transportBit }) => checked(`@th,${transportBit + 16},16`)),
    ...quotedEchoBy(words, checked),
    'counter name spoofed drop',
  ];
}

function quotedBy(
  { errors, quoted }: FamilyWords,
  verdict: (packet: QuotedPacket) => string,
): readonly string[] {
  return quoted.map(
    (packet) => `${errors} ${packet.given}${packet.protocol} ${WITH_PORTS} ${verdict(packet)}`,
  );
}

/** The id of an echo request and of its reply are at the same place. */
function quotedEchoBy(
  { errors, quoted, icmpNumber }: FamilyWords,
  verdict: (port: string) => string,
): readonly string[] {
  return quoted.map(
    ({ given, protocol, transportBit }) =>
      `${errors} ${given}${protocol} ${icmpNumber} ${verdict(`@th,${transportBit + 32},16`)}`,
  );
}
