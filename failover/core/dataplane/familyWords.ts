/**
 * All that differs between the rules of IPv4 and of IPv6, as words to put into them: a rule is written once, and a new one
 * comes for both. Names of sets, maps and chains of IPv6 are those of IPv4 with a 6 behind.
 */
import type { Family } from '../../../policy/model.ts';

/** Where the packet that an ICMP error quotes has what tells whose it is, as nft counts: bits behind the error's own start. */
export interface QuotedPacket {
  /** What else must hold for these places to be right; with a space behind, or empty. */
  readonly given: string;
  readonly protocol: string;
  /** Where its transport header starts. */
  readonly transportBit: number;
}

export interface FamilyWords {
  readonly family: Family;
  readonly ip: 'ip' | 'ip6';
  readonly icmp: 'icmp' | 'icmpv6';
  readonly suffix: '' | '6';
  readonly nfproto: 'ipv4' | 'ipv6';
  /** IP and TCP headers without options: what a maximum segment leaves of an MTU. */
  readonly tcpHeaderBytes: number;
  /** Errors that quote a packet, of those types that say something about a connection. */
  readonly errors: string;
  /** The number of the family's ICMP, as a header of the family has it. */
  readonly icmpNumber: number;
  readonly quoted: readonly QuotedPacket[];
  /** No fragment, ports right behind a header without options, and life to spare: what the fast path takes. */
  readonly whole: string;
  /** Not longer than this, headers included. */
  readonly fits: (mtu: number) => string;
}

/** Quoted headers with options are left out: their port is at no known place. */
const IPV4: FamilyWords = {
  family: 4,
  ip: 'ip',
  icmp: 'icmp',
  suffix: '',
  nfproto: 'ipv4',
  tcpHeaderBytes: 40,
  errors: 'icmp type { destination-unreachable, time-exceeded, parameter-problem } @th,64,8 0x45',
  icmpNumber: 1,
  quoted: [{ given: '', protocol: '@th,136,8', transportBit: 224 }],
  whole: '@nh,0,8 0x45 ip frag-off & 0x3fff == 0 ip ttl > 1 ip protocol { tcp, udp, sctp }',
  fits: (mtu) => `ip length <= ${mtu}`,
};

const IPV6_HEADER_BYTES = 40;

/** Of extension headers the fragment's is known, where the fragment is the first: what is too big may be one. */
const IPV6: FamilyWords = {
  family: 6,
  ip: 'ip6',
  icmp: 'icmpv6',
  suffix: '6',
  nfproto: 'ipv6',
  tcpHeaderBytes: 60,
  errors: 'icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }',
  icmpNumber: 58,
  quoted: [
    { given: '', protocol: '@th,112,8', transportBit: 384 },
    { given: '@th,112,8 44 @th,400,13 0 ', protocol: '@th,384,8', transportBit: 448 },
  ],
  whole: 'ip6 version 6 ip6 hoplimit > 1 ip6 nexthdr { tcp, udp, sctp }',
  // The field leaves the header out, and says 0 of what is too long for it.
  fits: (mtu) => `ip6 length 1-${mtu - IPV6_HEADER_BYTES}`,
};

export const WORDS: Readonly<Record<Family, FamilyWords>> = { 4: IPV4, 6: IPV6 };
export const BOTH_FAMILIES: readonly FamilyWords[] = [IPV4, IPV6];

/** Outer IP, UDP, VXLAN and inner Ethernet: what a tunnel over this family takes from the uplink's MTU. */
export function tunnelOverhead(underlay: Family): number {
  return underlay === 4 ? 50 : 70;
}
