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
import type { NodeDataPlane, PodRoute } from '../dataPlane.ts';

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
}

const [ICMP, UDP, ICMPV6, UDP_LITE] = [1, 17, 58, 136];
const PORTS = / sport=(\d+) dport=(\d+) /;
const ECHO = / type=(\d+) code=(\d+) id=(\d+) /;
/** `ipv4 2 udp 17 29 src=… dst=… sport=… dport=… [UNREPLIED] src=… dst=… …`: the answers' addresses come last. */
const LINE = /^ipv[46] +\d+ \S+ +(\d+) .*?src=(\S+) dst=(\S+) .* src=\S+ dst=(\S+) /;

/** A line of /proc/net/nf_conntrack; undefined: of a protocol that needs no forgetting, or of a shape that is not known. */
export function parseFlow(line: string): KnownFlow | undefined {
  const [, protocolText, ...addresses] = LINE.exec(line) ?? [];
  const protocol = Number(protocolText);
  if (![ICMP, UDP, ICMPV6, UDP_LITE].includes(protocol)) return undefined;
  const [, ...numbers] = (protocol === ICMP || protocol === ICMPV6 ? ECHO : PORTS).exec(line) ?? [];
  const [source, destination, answersTo] = addresses.map(parseKernelAddress);
  if (source === undefined || destination === undefined || answersTo === undefined || numbers.length === 0)
    return undefined;
  return { protocol, source, destination, answersTo, numbers: numbers.map(Number) };
}

/** Tells of one flow after the other whether it has to be forgotten under this plan. */
export function endedUnder({ direct, addresses, pods }: NodeDataPlane): (flow: KnownFlow) => boolean {
  const untouched = direct.map(cidrRange);
  const routes = new Map(pods.map((pod) => [formatAddress(pod.address), pod.routes]));
  const egress = new Set(addresses.map(({ address }) => formatAddress(address)));
  return ({ source, destination, answersTo }) => {
    const ruled = routes.get(formatAddress(source));
    const outside = formatAddress(answersTo);
    // The most are of pods without a policy.
    if (ruled === undefined && !egress.has(outside)) return false;
    if (untouched.some((range) => rangeContains(range, destination))) return false;
    return !mayStay(ruled?.find(({ range }) => rangeContains(range, destination))?.action, outside, egress);
  };
}

function mayStay(
  action: PodRoute['action'] | undefined,
  outside: string,
  egress: ReadonlySet<string>,
): boolean {
  switch (action?.kind) {
    case 'egress':
      return (action.keeps ?? action.addresses).some((it) => formatAddress(it) === outside);
    case 'refuse':
      return false;
    case 'direct':
    case undefined:
      return !egress.has(outside);
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
