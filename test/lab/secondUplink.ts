/**
 * A second card for the lab's gateways: eth1 on a link of its own, with a router of its own to the same outside host. The first
 * router forwards nothing that comes from there, so whatever takes the wrong way is lost.
 */
import { execFileSync } from 'node:child_process';
import type { Uplinks } from '../../failover/core/uplinks.ts';
import { parseAddress } from '../../policy/address.ts';
import { makeCidr } from '../../policy/cidr.ts';
import { type DataPlaneLab, OUTSIDE, OUTSIDE6 } from './dataPlaneLab.ts';

export const TWO_CARDS = ['gw1', 'gw2'] as const;
export type TwoCards = (typeof TWO_CARDS)[number];

const value = (text: string): bigint => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value.value;
};

/** As such a gateway observes them. */
export const TWO_UPLINKS: Uplinks = [
  { device: 'eth0', networks: [makeCidr(4, value('203.0.113.0'), 24), makeCidr(6, value('2001:db8::'), 64)] },
  { device: 'eth1', networks: [makeCidr(4, value('192.0.2.0'), 24), makeCidr(6, value('2001:db8:2::'), 64)] },
];
export const SECOND_EGRESS = '192.0.2.100';
export const SECOND_EGRESS6 = '2001:db8:2::100';
/** The router of the second link. */
export const SECOND_ROUTER = 'rtr2';
export const SECOND_HOP = '192.0.2.1';

/** What a flap of the second card takes with it. */
export function secondUplinkLines(node: TwoCards): readonly string[] {
  const number = node === 'gw1' ? 11 : 12;
  return [
    `addr replace 192.0.2.${number}/24 dev eth1`,
    `addr replace 2001:db8:2::${number}/64 dev eth1 nodad`,
    `route replace default via ${SECOND_HOP} dev eth1 metric 200`,
    'route replace ::/0 via 2001:db8:2::1 dev eth1 metric 2048',
  ];
}

export interface SecondUplink {
  /** The second card of a gateway that has none, with its addresses and routes. */
  plugIn(node: TwoCards): void;
  down(): void;
}

const DROPS = `table inet strangers { counter strayed { }
  chain forward { type filter hook forward priority 0; ip saddr 192.0.2.0/24 counter name strayed drop
    ip6 saddr 2001:db8:2::/64 counter name strayed drop
  }
}
`;

export function addSecondUplink(lab: DataPlaneLab): SecondUplink {
  const ns = (name: string): string => lab.prefix(name).at(-1) ?? '';
  const ip = (namespace: string, ...lines: readonly string[]): void => {
    for (const line of lines) lab.run(namespace, 'ip', ...line.split(' '));
  };
  execFileSync('ip', ['netns', 'add', ns(SECOND_ROUTER)]);
  ip('sw', 'link add br1 type bridge forward_delay 0 mcast_snooping 0', 'link set br1 up');
  ip(
    'sw',
    `link add rtr2 type veth peer name eth0 netns ${ns(SECOND_ROUTER)}`,
    'link set rtr2 master br1 up',
  );
  ip('ext', `link add eth1 type veth peer name eth1 netns ${ns(SECOND_ROUTER)}`);
  ip(
    SECOND_ROUTER,
    ...['lo', 'eth0', 'eth1'].map((device) => `link set ${device} up`),
    `addr add ${SECOND_HOP}/24 dev eth0`,
    'addr add 2001:db8:2::1/64 dev eth0 nodad',
    'addr add 198.51.101.1/24 dev eth1',
    'addr add 2001:db8:52::1/64 dev eth1 nodad',
    'route add default via 198.51.101.10',
    'route add ::/0 via 2001:db8:52::10',
  );
  ip(
    'ext',
    'link set eth1 up',
    'addr add 198.51.101.10/24 dev eth1',
    'addr add 2001:db8:52::10/64 dev eth1 nodad',
    `route add 192.0.2.0/24 via 198.51.101.1 src ${OUTSIDE}`,
    `route add 2001:db8:2::/64 via 2001:db8:52::1 src ${OUTSIDE6}`,
  );
  lab.run(SECOND_ROUTER, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  lab.run('rtr', 'nft', DROPS);
  const plugIn = (node: TwoCards): void => {
    ip(
      'sw',
      `link add ${node}b type veth peer name eth1 netns ${ns(node)}`,
      `link set ${node}b master br1 up`,
    );
    ip(node, 'link set eth1 up', ...secondUplinkLines(node));
    // What a node with two cards needs (docs/operations.md).
    lab.run(node, 'sysctl', '-qw', 'net.ipv4.conf.eth1.rp_filter=2');
  };
  for (const node of TWO_CARDS) plugIn(node);
  return { plugIn, down: () => execFileSync('ip', ['netns', 'del', ns(SECOND_ROUTER)]) };
}
