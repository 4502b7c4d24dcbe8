/**
 * Decides which flows the kernel has to forget. A flow without connections (UDP, ping) that may not leave any more as it began
 * is refused packet by packet, but whoever goes on sending from the same port keeps the kernel's entry alive and would be refused
 * for ever. Without the entry its next packet begins anew, as the routes say now. TCP needs none of this: it is reset.
 *
 * Says the same of a flow as the rules do (staticRuleset.ts, renderRoutes.ts), of which it leaves alone whatever is in doubt.
 */
import { formatAddress, makeAddress, parseAddress } from '../../../policy/address.ts';
import { cidrRange, rangeContains } from '../../../policy/cidr.ts';
import type { Address } from '../../../policy/model.ts';
import type { EgressAddressPlan, NodeDataPlane, PodRoute, PortRange } from '../dataPlane.ts';
import { TRANSLATED_FLAG } from './marks.ts';

/** What the kernel finds an entry by: its original direction. */
export interface Flow {
  /** IP protocol number. */
  readonly protocol: number;
  readonly source: Address;
  readonly destination: Address;
  /** Ports of source and destination; of an echo request its type, code and id. */
  readonly numbers: readonly number[];
}

interface KnownFlow extends Flow {
  /** Where its answers come to: the address that it has outside. */
  readonly answersTo: Address;
  /** And the port there; undefined: a ping. */
  readonly port: number | undefined;
  /** By us, to what was an egress IP then. */
  readonly isTranslated: boolean;
}

const [ICMP, TCP, UDP, ICMPV6, SCTP, UDP_LITE] = [1, 6, 17, 58, 132, 136];
const WITHOUT_CONNECTIONS = [ICMP, UDP, ICMPV6, UDP_LITE];
const PORTS = / sport=(\d+) dport=(\d+) /;
const ECHO = / type=(\d+) code=(\d+) id=(\d+) /;
/** `ipv4 2 udp 17 29 src=… dst=… sport=… dport=… [UNREPLIED] src=… dst=… …`: the answers' addresses come last. */
const LINE =
  /^ipv[46] +\d+ \S+ +(\d+) .*?src=(\S+) dst=(\S+) .* src=\S+ dst=(\S+) (?:sport=\d+ dport=(\d+) )?/;
const MARK = / mark=(\d+) /;

/** A line of /proc/net/nf_conntrack; undefined: of a protocol that needs no forgetting, or of a shape that is not known. */
export function parseFlow(line: string, protocols = WITHOUT_CONNECTIONS): KnownFlow | undefined {
  const [, protocolText, ...words] = LINE.exec(line) ?? [];
  const protocol = Number(protocolText);
  if (!protocols.includes(protocol)) return undefined;
  const [, ...numbers] = (protocol === ICMP || protocol === ICMPV6 ? ECHO : PORTS).exec(line) ?? [];
  const [source, destination, answersTo] = words.slice(0, 3).map(parseKernelAddress);
  if (source === undefined || destination === undefined || answersTo === undefined || numbers.length === 0)
    return undefined;
  const port = words[3] === undefined ? undefined : Number(words[3]);
  const isTranslated = (Number(MARK.exec(line)?.[1] ?? 0) & TRANSLATED_FLAG) !== 0;
  return { protocol, source, destination, answersTo, port, isTranslated, numbers: numbers.map(Number) };
}

/** A line of what no rule of ours is left for, whatever its protocol; undefined: it never was one of ours. */
export function parseTranslated(line: string): KnownFlow | undefined {
  const flow = parseFlow(line, [...WITHOUT_CONNECTIONS, TCP, SCTP]);
  return flow?.isTranslated === true ? flow : undefined;
}

/** The node has all ports of each egress IP that it had before. */
export function keepsPorts(before: NodeDataPlane, after: NodeDataPlane): boolean {
  if (before.addresses === after.addresses) return true;
  const next = new Map(after.addresses.map((it) => [formatAddress(it.address), it]));
  return before.addresses.every((it) => {
    const now = next.get(formatAddress(it.address));
    if (it === now) return true;
    const kept = ownRanges(now, after);
    return ownRanges(it, before).every(({ first, last }) =>
      kept.some((range) => range.first === first && range.last === last),
    );
  });
}

function ownRanges(
  plan: EgressAddressPlan | undefined,
  { self }: Pick<NodeDataPlane, 'self'>,
): readonly PortRange[] {
  return plan?.blocks.filter(({ node }) => node === self.node) ?? [];
}

/** Tells of one flow after the other whether it has to be forgotten under this plan. */
export function endedUnder(plan: NodeDataPlane): (flow: KnownFlow) => boolean {
  const { direct, addresses, pods } = plan;
  const untouched = direct.map(cidrRange);
  const routes = new Map(pods.map((pod) => [formatAddress(pod.address), pod.routes]));
  const egress = new Map(addresses.map((it) => [formatAddress(it.address), ownRanges(it, plan)]));
  return ({ source, destination, answersTo, port, isTranslated }) => {
    const ruled = routes.get(formatAddress(source));
    const outside = formatAddress(answersTo);
    const isOurs = isTranslated || egress.has(outside);
    // The most are of pods without a policy.
    if (ruled === undefined && !isOurs) return false;
    if (untouched.some((range) => rangeContains(range, destination))) return isOurs;
    const action = ruled?.find(({ range }) => rangeContains(range, destination))?.action;
    return !mayStay(action, outside, isOurs) || (isOurs && !hasPort(egress.get(outside), port));
  };
}

function hasPort(own: readonly PortRange[] | undefined, port: number | undefined): boolean {
  if (own === undefined || port === undefined) return true;
  return own.some(({ first, last }) => first <= port && port <= last);
}

function mayStay(action: PodRoute['action'] | undefined, outside: string, isOurs: boolean): boolean {
  switch (action?.kind) {
    case 'egress':
      return (action.keeps ?? action.addresses).some((it) => formatAddress(it) === outside);
    case 'refuse':
      return false;
    case 'direct':
    case undefined:
      return !isOurs;
    default:
      return action satisfies never;
  }
}

/** IPv6 comes in full, with all zeros. */
function parseKernelAddress(text: string): Address | undefined {
  if (!text.includes(':')) {
    const parsed = parseAddress(text);
    return parsed.kind === 'ok' ? parsed.value : undefined;
  }
  return /^(?:[0-9a-f]{4}:){7}[0-9a-f]{4}$/.test(text)
    ? makeAddress(6, BigInt(`0x${text.replaceAll(':', '')}`))
    : undefined;
}
