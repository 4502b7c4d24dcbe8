/**
 * The whole way of a pod's packet, twice on the same topology: through the product's data plane on every node, and through
 * source NAT with connection tracking on the gateway, which the pod's node reaches by a tunnel of the same kind. The sum of
 * all nodes' work, on the processors of one machine.
 */
import type { NodeDataPlane } from '../../failover/core/dataPlane.ts';
import { tunnelMac } from '../../failover/core/dataplane/tunnelMac.ts';
import { address, createDataPlaneFixture, EGRESS, planFor } from '../../test/lab/dataPlaneFixture.ts';
import {
  createDataPlaneLab,
  type DataPlaneLab,
  NODE_NAMES,
  NODES,
  type NodeName,
  OUTSIDE,
  PODS,
} from '../../test/lab/dataPlaneLab.ts';
import type { LoadProgram } from './loadProgram.ts';

export const PATH_LOADS = ['stream', 'echo', 'connect'] as const;
/** Bytes through one TCP connection, datagrams of 64 bytes there and back, connections made. */
export type PathLoad = (typeof PATH_LOADS)[number];

export interface PathRig {
  /** A second. */
  rate(load: PathLoad, seconds: number): Promise<number>;
  down(): Promise<void>;
}

const PORTS = { first: 1024, last: 65_535 } as const;

export async function openOurPath(load: LoadProgram): Promise<PathRig> {
  const fixture = createDataPlaneFixture('bench', { fastPath: true });
  await fixture.reset();
  for (const node of NODE_NAMES) {
    const outcome = await fixture.plane(node).apply(allPortsTo('w1', planFor(node, { holder: 'gw1' })));
    if (outcome.kind !== 'ok') throw new Error(outcome.message);
  }
  return openPath(fixture.lab, load, () => fixture.end());
}

/** The peer's one pod has all ports as well. */
function allPortsTo(owner: NodeName, plan: NodeDataPlane): NodeDataPlane {
  return {
    ...plan,
    addresses: plan.addresses.map((egress) => ({
      ...egress,
      blocks: [{ node: owner, ...PORTS }],
      usable: plan.self.node === owner ? [PORTS] : [],
    })),
  };
}

export async function openPeerPath(load: LoadProgram): Promise<PathRig> {
  const lab = createDataPlaneLab('benchpeer');
  const pod = PODS.p1.address;
  for (const [node, other] of [
    ['w1', 'gw1'],
    ['gw1', 'w1'],
  ] as const) {
    const [mac, otherMac] = [node, other].map((it) => tunnelMac(address(NODES[it])));
    const lines = [
      `link add egress0 address ${mac} mtu 1450 type vxlan id 7777 dstport 4790 local ${NODES[node]} nolearning`,
      'link set egress0 arp off up',
      'addr add 169.254.77.1/32 dev egress0 scope link',
      ...(node === 'w1'
        ? [
            'route add default via 169.254.77.2 dev egress0 onlink table 7777',
            `neigh replace 169.254.77.2 lladdr ${otherMac} dev egress0 nud permanent`,
            `rule add pref 77 from ${pod} iif cni0 lookup 7777`,
          ]
        : [
            `route add ${pod}/32 dev egress0`,
            `neigh replace ${pod} lladdr ${otherMac} dev egress0 nud permanent`,
            `addr add ${EGRESS}/32 dev eth0`,
          ]),
    ];
    for (const line of lines) lab.run(node, 'ip', ...line.split(' '));
    lab.run(node, 'bridge', 'fdb', 'replace', otherMac ?? '', 'dev', 'egress0', 'dst', NODES[other]);
    lab.run(node, 'sysctl', '-qw', 'net.ipv4.conf.egress0.rp_filter=2');
  }
  lab.run(
    'gw1',
    'nft',
    'add table ip peer; add chain ip peer post { type nat hook postrouting priority srcnat - 1; }',
  );
  lab.run('gw1', 'nft', `add rule ip peer post ip saddr ${pod} oifname eth0 snat to ${EGRESS}`);
  // The pod's own node leaves its address alone, as with a peer's policy.
  lab.run('w1', 'nft', `insert rule ip cni post oifname egress0 accept`);
  return openPath(lab, load, async () => lab.down());
}

async function openPath(lab: DataPlaneLab, load: LoadProgram, end: () => Promise<void>): Promise<PathRig> {
  // Ports of closed connections are free at once on both sides: what is asked is the rate, not the number of ports.
  for (const node of ['w1', 'gw1'] as const)
    for (const state of ['close', 'time_wait'])
      lab.run(node, 'sysctl', '-qw', `net.netfilter.nf_conntrack_tcp_timeout_${state}=1`);
  const server = await load.serve(lab.prefix('ext'), OUTSIDE);
  return {
    rate: async (which, seconds) => (await load.run(lab.prefix('p1'), which, OUTSIDE, seconds)) / seconds,
    async down() {
      server.stop();
      await end();
    },
  };
}
