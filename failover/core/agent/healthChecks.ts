/**
 * Decides what a gateway checks: the carrier of its uplink, its next hops by ARP and neighbour discovery, the same of each
 * further uplink that an egress IP lies on, and those of the configured probes that are meant for its class, that is, for its
 * labels; and from which of its addresses it asks. Leaves the verdict to `health`.
 */
import { formatAddress, parseAddress } from '../../../policy/address.ts';
import type { Address, Family, LabelSelector } from '../../../policy/model.ts';
import { type Labels, matchesSelector } from '../../../policy/selector.ts';
import { uplinkOf } from '../uplinks.ts';
import type { CheckRule } from './health.ts';
import { chooseProbeSource, chooseSolicitationSource, type OwnAddress } from './probeSource.ts';
import type { ObservedNode } from './reportNode.ts';

/** How a configured probe asks. */
export type ProbeMethod =
  | { readonly kind: 'tcp'; readonly port: number }
  | { readonly kind: 'http'; readonly port: number; readonly path: string }
  | { readonly kind: 'icmp' };

export interface HealthProbe {
  readonly name: string;
  readonly method: ProbeMethod;
  /** Of either family; no link-local one, which is another host on each link. */
  readonly target: Address;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly failures: number;
  readonly successes: number;
  /** Gateways that it is for; without requirements: all. */
  readonly nodes: LabelSelector;
}

export interface HealthSettings {
  readonly probes: readonly HealthProbe[];
  readonly nextHopCheck: boolean;
}

/** What whoever probes does, once per interval. `from`: the node's own address that it asks from. */
export type Question =
  | { readonly kind: 'carrier'; readonly device: string }
  | {
      readonly kind: 'arp' | 'nd';
      readonly device: string;
      readonly address: string;
      readonly from: string;
    }
  | ({ readonly address: string; readonly from: string } & ProbeMethod)
  /** There is nothing to ask from: that is no word about who would be asked. */
  | { readonly kind: 'unaskable'; readonly why: string };

/** What the checks of one node follow from. */
export interface CheckedNode {
  readonly labels: Labels;
  /** The first: where the node's address is, and what configured probes leave by. */
  readonly uplink: string;
  /** What the node is known by, and where its end of the tunnel is. */
  readonly address: Address;
  /** All that there are, wherever they are answered. */
  readonly egressIps: readonly Address[];
  readonly observed: Pick<ObservedNode, 'nextHops' | 'ownAddresses' | 'uplinks'>;
}

export interface HealthCheck extends CheckRule {
  readonly question: Question;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

const FAMILIES = [4, 6] as const;
/** A file is read. Down at once but for one bad look; up only when a port has stopped bouncing. */
const CARRIER = { intervalMs: 250, timeoutMs: 1000, failures: 2, successes: 8 } as const;
/** Three in a row are no lost frames any more, and a router that restarts its control plane answers within that. */
const NEXT_HOP = { intervalMs: 1000, timeoutMs: 1000, failures: 3, successes: 3 } as const;

export function planChecks(
  { probes, nextHopCheck }: HealthSettings,
  node: CheckedNode,
): readonly HealthCheck[] {
  const { labels } = node;
  const own = ownAddressesOf(node);
  return [
    ...checkedUplinks(node).flatMap((uplink) => uplinkChecks(uplink, nextHopCheck, node)),
    ...probes
      .filter((probe) => matchesSelector(probe.nodes, labels))
      .map((probe) => probeCheckOf(probe, own, node)),
  ];
}

interface CheckedUplink {
  readonly device: string;
  /** Of next hops that what this gateway forwards needs there. */
  readonly families: ReadonlySet<Family>;
}

/**
 * The first always, and the next hop of the node's own family there, for the tunnel goes there to nodes of other networks. All else
 * while there is an egress IP that it takes, anywhere, as every address may come here: a router that nobody needs makes no gateway
 * unfit, nor does a card.
 */
function checkedUplinks({ uplink, address, egressIps, observed }: CheckedNode): readonly CheckedUplink[] {
  const familiesOf = (at: number): readonly Family[] =>
    egressIps.filter((it) => uplinkOf(it, observed.uplinks) === at).map(({ family }) => family);
  const [, ...further] = observed.uplinks;
  return [
    { device: uplink, families: new Set([address.family, ...familiesOf(0)]) },
    ...further
      .map(({ device }, index) => ({ device, families: new Set(familiesOf(index + 1)) }))
      .filter(({ families }) => families.size > 0),
  ];
}

function uplinkChecks(
  { device, families }: CheckedUplink,
  nextHopCheck: boolean,
  node: CheckedNode,
): readonly HealthCheck[] {
  const { observed } = node;
  const there = observed.nextHops
    .filter(({ interfaceName }) => interfaceName === device)
    .flatMap((hop) => parsed(hop.address));
  const hops = FAMILIES.filter((family) => families.has(family)).flatMap(
    (family) => there.find((hop) => hop.family === family) ?? [],
  );
  return [
    {
      id: `carrier ${device}`,
      reason: 'NoCarrier',
      subject: `the uplink ${device}`,
      question: { kind: 'carrier', device },
      ...CARRIER,
    },
    ...(nextHopCheck ? hops.map((hop) => nextHopCheckOf(hop, device, node)) : []),
  ];
}

/**
 * Of one device. One that somebody put there although it is an egress IP is left out: answers to it may come to another
 * gateway.
 */
function ownAddressesOf(
  { uplink, egressIps, observed }: CheckedNode,
  device: string = uplink,
): readonly OwnAddress[] {
  return observed.ownAddresses
    .filter(({ interfaceName }) => interfaceName === device)
    .flatMap(({ address, prefix, dynamic }) =>
      parsed(address).map((it) => ({ address: it, prefix, dynamic })),
    )
    .filter(({ address: { family, value } }) =>
      egressIps.every((egress) => egress.family !== family || egress.value !== value),
    );
}

function parsed(text: string): readonly Address[] {
  const address = parseAddress(text);
  return address.kind === 'ok' ? [address.value] : [];
}

function nextHopCheckOf(hop: Address, device: string, checked: CheckedNode): HealthCheck {
  const { uplink, address: node } = checked;
  const address = formatAddress(hop);
  const own = ownAddressesOf(checked, device);
  const place = device === uplink ? '' : ` on ${device}`;
  const [kind, from, lacking] =
    hop.family === 4
      ? (['arp', chooseProbeSource(hop, own, node), 'IPv4'] as const)
      : (['nd', chooseSolicitationSource(own, node), 'link-local'] as const);
  return {
    id: `next-hop ${address}${place}`,
    reason: 'NextHopSilent',
    subject: `the next hop ${address}${place}`,
    question:
      from === undefined ? unaskable(device, lacking) : { kind, device, address, from: formatAddress(from) },
    ...NEXT_HOP,
  };
}

function probeCheckOf(
  { name, method, target, nodes: _, ...pace }: HealthProbe,
  own: readonly OwnAddress[],
  { uplink, address: node }: CheckedNode,
): HealthCheck {
  const address = formatAddress(target);
  const from = chooseProbeSource(target, own, node);
  return {
    id: `probe ${name}`,
    reason: 'ProbeFailed',
    subject: `the probe ${name} (${method.kind} ${placeOf(target, method)})`,
    question:
      from === undefined
        ? unaskable(uplink, `IPv${target.family}`)
        : { address, from: formatAddress(from), ...method },
    ...pace,
  };
}

function placeOf(target: Address, method: ProbeMethod): string {
  const address = formatAddress(target);
  if (method.kind === 'icmp') return address;
  return target.family === 4 ? `${address}:${method.port}` : `[${address}]:${method.port}`;
}

function unaskable(uplink: string, lacking: string): Question {
  return {
    kind: 'unaskable',
    why: `this node has no ${lacking} address of its own on ${uplink} to ask from`,
  };
}
