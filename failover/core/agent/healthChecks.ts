/**
 * Decides what a gateway checks: the carrier of its uplink, its next hop by ARP, and those of the configured probes that
 * are meant for its class, that is, for its labels. Leaves the verdict to `health`.
 */
import { formatAddress, parseAddress } from '../../../policy/address.ts';
import type { Address, LabelSelector } from '../../../policy/model.ts';
import { type Labels, matchesSelector } from '../../../policy/selector.ts';
import type { CheckRule } from './health.ts';
import type { ObservedNode } from './reportNode.ts';

/** How a configured probe asks. */
export type ProbeMethod =
  | { readonly kind: 'tcp'; readonly port: number }
  | { readonly kind: 'http'; readonly port: number; readonly path: string }
  | { readonly kind: 'icmp' };

export interface HealthProbe {
  readonly name: string;
  readonly method: ProbeMethod;
  /** IPv4: probes leave from the node's own address, which is of this family. */
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

/** What whoever probes does, once per interval. */
export type Question =
  | { readonly kind: 'carrier'; readonly device: string }
  | { readonly kind: 'arp'; readonly address: string }
  | ({ readonly address: string } & ProbeMethod);

export interface HealthCheck extends CheckRule {
  readonly question: Question;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** A file is read. Down at once but for one bad look; up only when a port has stopped bouncing. */
const CARRIER = { intervalMs: 250, timeoutMs: 1000, failures: 2, successes: 8 } as const;
/** Three in a row are no lost frames any more, and a router that restarts its control plane answers within that. */
const NEXT_HOP = { intervalMs: 1000, timeoutMs: 1000, failures: 3, successes: 3 } as const;

export function planChecks(
  { probes, nextHopCheck }: HealthSettings,
  node: { readonly labels: Labels; readonly uplink: string; readonly nextHop: string | undefined },
): readonly HealthCheck[] {
  const { labels, uplink, nextHop } = node;
  return [
    {
      id: `carrier ${uplink}`,
      reason: 'NoCarrier',
      subject: `the uplink ${uplink}`,
      question: { kind: 'carrier', device: uplink },
      ...CARRIER,
    },
    ...(nextHopCheck && nextHop !== undefined ? [nextHopCheckOf(nextHop)] : []),
    ...probes.filter((probe) => matchesSelector(probe.nodes, labels)).map(probeCheckOf),
  ];
}

/** The first IPv4 next hop on the uplink: where what the gateway forwards goes. Undefined: there is none to ask. */
export function nextHopOf({ nextHops }: Pick<ObservedNode, 'nextHops'>, uplink: string): string | undefined {
  return nextHops.find(({ address, interfaceName }) => {
    const parsed = parseAddress(address);
    return interfaceName === uplink && parsed.kind === 'ok' && parsed.value.family === 4;
  })?.address;
}

function nextHopCheckOf(address: string): HealthCheck {
  return {
    id: `next-hop ${address}`,
    reason: 'NextHopSilent',
    subject: `the next hop ${address}`,
    question: { kind: 'arp', address },
    ...NEXT_HOP,
  };
}

function probeCheckOf({ name, method, target, nodes: _, ...pace }: HealthProbe): HealthCheck {
  const address = formatAddress(target);
  const where = method.kind === 'icmp' ? address : `${address}:${method.port}`;
  return {
    id: `probe ${name}`,
    reason: 'ProbeFailed',
    subject: `the probe ${name} (${method.kind} ${where})`,
    question: { address, ...method },
    ...pace,
  };
}
