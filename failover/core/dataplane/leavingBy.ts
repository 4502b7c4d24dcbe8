/**
 * The rules that mark what leaves by an uplink other than the first, which the routing tables of uplinkRoutes.ts then carry there:
 * what a gateway forwards out of the tunnel, and its answers to pings. A node with one uplink has none of them. What its own pods
 * send to an address that it holds itself is marked by the address's element (renderAddresses.ts).
 */
import { formatCidr } from '../../../policy/cidr.ts';
import { networksByLength, type Uplinks } from '../uplinks.ts';
import { WORDS } from './familyWords.ts';
import { leavingBy } from './marks.ts';

/** Of what comes out of the tunnel and may leave: the first rule that finds its source decides. */
export function leavingRules(uplinks: Uplinks): string {
  return bySource(uplinks, ({ source, mark }) => `${source} meta mark set ${mark} notrack accept`);
}

/** An egress IP is never local, so the kernel's answer to a ping would take the default route. */
export function leavingPongs(uplinks: Uplinks): string {
  return bySource(
    uplinks,
    ({ source, held, icmp, mark }) =>
      `${held} ${icmp} type echo-reply ${source} meta mark set ${mark} accept`,
  );
}

interface Leaving {
  readonly source: string;
  /** That it is an egress IP. */
  readonly held: string;
  readonly icmp: string;
  readonly mark: number;
}

function bySource(uplinks: Uplinks, rule: (leaving: Leaving) => string): string {
  if (uplinks.length === 1) return '';
  return networksByLength(uplinks)
    .map(({ network, at }) => {
      const { ip, icmp, suffix } = WORDS[network.family];
      const [source, held] = [`${ip} saddr ${formatCidr(network)}`, `${ip} saddr @egress_ips${suffix}`];
      return `\n    ${rule({ source, held, icmp, mark: leavingBy(0, at) })}`;
    })
    .join('');
}
