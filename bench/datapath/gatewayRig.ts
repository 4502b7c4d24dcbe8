/**
 * One gateway alone on a wire whose other end is everything else: the sources' nodes and the outside, as a generator and a
 * sink. Either the product's own data plane stands on the gateway, programmed by the product's own code, or what a gateway
 * has elsewhere: decapsulation by a VXLAN device and source NAT with connection tracking.
 *
 * All of the gateway's work is done by one kernel thread, that of its uplink (threaded NAPI), and what is measured is packets
 * by this thread's own time on a processor: other load on the machine takes time away, and warmth of the caches.
 */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { NodeDataPlane } from '../../failover/core/dataPlane.ts';
import { tunnelMac } from '../../failover/core/dataplane/tunnelMac.ts';
import { soleUplink } from '../../failover/core/uplinks.ts';
import { createKernelDataPlane, type KernelDataPlane } from '../../failover/io/kernelDataPlane.ts';
import { parseAddress } from '../../policy/address.ts';
import type { Address, Family } from '../../policy/model.ts';
import type { LoadProgram } from './loadProgram.ts';

export type GatewayKind = 'ours' | 'oursInTheStack' | 'peer';

export const FIRST_PORT = 1024;
const LAST_PORT = 65_535;
const GATEWAY = '10.50.0.2';
const WORKER = '10.50.0.3';
const ROUTER = '10.50.0.1';
const GATEWAY6 = '2001:db8:50::2';
const ROUTER6 = '2001:db8:50::1';
/** The tunnel itself goes over IPv4. */
const EGRESS: Readonly<Record<Family, string>> = { 4: '10.50.1.100', 6: '2001:db8:1::100' };
const POD: Readonly<Record<Family, string>> = { 4: '10.244.21.5', 6: 'fd00:244:21::5' };
const TUNNEL = { port: 4790, vni: 7777 } as const;
/** The load has one processor, what is measured the other. */
const LOAD_CPU = '0';
const GATEWAY_CPU = '1';
/** What is still on its way when the load ends. */
const SETTLE_MS = 50;

export interface Passed {
  readonly packets: number;
  /** Processor time of the gateway's threads. */
  readonly seconds: number;
}

export interface Flows {
  /** 0: each packet is a new one. */
  readonly flows: number;
  readonly family: Family;
}

export interface GatewayRig {
  out(flows: Flows, seconds: number): Promise<Passed>;
  back(flows: Flows, seconds: number): Promise<Passed>;
  conntrackEntries(): number;
  forgetFlows(): void;
  /** Packets by named reason; empty for the peer. */
  counters(): Promise<Readonly<Record<string, number>>>;
  down(): Promise<void>;
}

export const addressOf = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};
const endpoint = (node: string, address: string) => ({
  node,
  address: addressOf(address),
  mac: tunnelMac(addressOf(address)),
});

/** All ports of both egress IPs are one worker's. */
const PLAN: NodeDataPlane = {
  self: endpoint('gateway', GATEWAY),
  uplinks: soleUplink('dpw0'),
  peers: [endpoint('worker', WORKER)],
  direct: [],
  addresses: Object.values(EGRESS).map((egress) => ({
    address: addressOf(egress),
    holder: 'gateway',
    blocks: [{ node: 'worker', first: FIRST_PORT, last: LAST_PORT }],
    usable: [],
  })),
  pods: [],
};

export async function openGatewayRig(kind: GatewayKind, load: LoadProgram): Promise<GatewayRig> {
  const name = (side: string): string => `bench-dp-${process.pid}-${kind}-${side}`;
  const remove = (): void => {
    for (const side of ['g', 'w']) execFileSync('ip', ['netns', 'del', name(side)]);
  };
  try {
    return await openRig(kind, load, { name, remove });
  } catch (error) {
    remove();
    throw error;
  }
}

async function openRig(
  kind: GatewayKind,
  load: LoadProgram,
  { name, remove }: { readonly name: (side: string) => string; readonly remove: () => void },
): Promise<GatewayRig> {
  const prefix = (side: string): readonly string[] => ['ip', 'netns', 'exec', name(side)];
  const run = (side: string, command: readonly string[], input = ''): string => {
    const [file = '', ...args] = [...prefix(side), ...command];
    return execFileSync(file, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  };
  const macs = buildWire(name, run);
  const plane = kind === 'peer' ? undefined : await programOurs(prefix('w'), kind === 'ours');
  if (plane === undefined) programPeer(run);
  for (const [side, device] of [
    ['g', 'dpg0'],
    ['w', 'dpw0'],
  ] as const)
    await load.run(prefix(side), 'gro', device);
  const threads = ownThreads(run, 'w', 'dpw0');
  if (threads.length === 0)
    throw new Error('the gateway got no thread of its own; is the kernel older than 5.12?');
  for (const thread of threads) pin(thread, GATEWAY_CPU);
  for (const thread of ownThreads(run, 'g', 'dpg0')) pin(thread, LOAD_CPU);
  const sources = kind === 'peer' ? POD : EGRESS;
  const workerMac = tunnelMac(addressOf(WORKER));
  const tunnelled = [WORKER, GATEWAY, TUNNEL.port, TUNNEL.vni, tunnelMac(addressOf(GATEWAY)), workerMac];
  const generator = [...prefix('g'), 'taskset', '-c', LOAD_CPU];
  const measured = async (counter: string, args: readonly (string | number)[]): Promise<Passed> => {
    const before = look(run, threads, counter);
    await load.run(generator, ...args);
    await delay(SETTLE_MS);
    const after = look(run, threads, counter);
    return { packets: after.packets - before.packets, seconds: after.seconds - before.seconds };
  };
  return {
    out: ({ flows, family }, seconds) =>
      measured('out', ['frames', 'dpg0', macs.gateway, ...tunnelled, sources[family], flows, seconds]),
    back: ({ flows, family }, seconds) =>
      measured('back', ['replies', 'dpg0', macs.gateway, EGRESS[family], flows, seconds]),
    conntrackEntries: () => Number(run('w', ['conntrack', '-C'])),
    forgetFlows: () => void run('w', ['conntrack', '-F']),
    counters: async () => (await plane?.readCounters())?.packets ?? {},
    async down() {
      await plane?.close();
      remove();
    },
  };
}

type Run = (side: string, command: readonly string[], input?: string) => string;

function buildWire(
  name: (side: string) => string,
  run: Run,
): { readonly gateway: string; readonly outside: string } {
  execFileSync('ip', ['-batch', '-'], {
    input: `netns add ${name('g')}\nnetns add ${name('w')}\nlink add dpg0 netns ${name('g')} type veth peer name dpw0 netns ${name('w')}\n`,
  });
  const inside = (side: string, lines: readonly string[]): void =>
    void run(side, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  const macOf = (side: string, device: string): string =>
    run(side, ['cat', `/sys/class/net/${device}/address`]).trim();
  inside('g', ['link set lo up', 'link set dpg0 up']);
  const outside = macOf('g', 'dpg0');
  inside('w', [
    'link set lo up',
    'link set dpw0 up',
    `addr add ${GATEWAY}/24 dev dpw0`,
    `addr add ${GATEWAY6}/64 dev dpw0 nodad`,
    ...[ROUTER, WORKER, ROUTER6].map((it) => `neigh replace ${it} lladdr ${outside} dev dpw0 nud permanent`),
    `route add default via ${ROUTER}`,
    `route add ::/0 via ${ROUTER6}`,
  ]);
  run('w', ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  run('g', ['nft', '-f', '-'], SINK);
  return { gateway: macOf('w', 'dpw0'), outside };
}

/** Counted and gone before the other end's stack sees it. */
const SINK = `table netdev sink {
  counter out {
  }
  counter back {
  }
  chain count { type filter hook ingress device "dpg0" priority 0;
    udp dport ${TUNNEL.port} counter name back drop
    udp dport 9000 counter name out drop
  }
}
`;

async function programOurs(execPrefix: readonly string[], fastPath: boolean): Promise<KernelDataPlane> {
  const plane = createKernelDataPlane({
    uplink: 'dpw0',
    self: addressOf(GATEWAY),
    tunnelPort: TUNNEL.port,
    tunnelVni: TUNNEL.vni,
    token: Uint8Array.from({ length: 16 }, (_, index) => index + 1),
    execPrefix,
    fastPath,
  });
  const problems = await plane.selfTest();
  if (problems.length > 0) throw new Error(problems.join(' '));
  const outcome = await plane.apply(PLAN);
  if (outcome.kind !== 'ok') throw new Error(outcome.message);
  return plane;
}

/** As keepalived's users and the peers have it. The tunnel itself is tracked by neither. */
function programPeer(run: Run): void {
  const workerMac = tunnelMac(addressOf(WORKER));
  const mac = tunnelMac(addressOf(GATEWAY));
  run(
    'w',
    ['ip', '-batch', '-'],
    [
      `link add egress0 address ${mac} mtu 1450 type vxlan id ${TUNNEL.vni} dstport ${TUNNEL.port} local ${GATEWAY} nolearning`,
      'link set egress0 arp off up',
      'addr add 169.254.77.1/32 dev egress0',
      'route add 10.244.0.0/16 dev egress0',
      'route add fd00:244::/32 dev egress0',
      ...Object.values(POD).map((it) => `neigh replace ${it} lladdr ${workerMac} dev egress0 nud permanent`),
      '',
    ].join('\n'),
  );
  run('w', ['bridge', 'fdb', 'replace', workerMac, 'dev', 'egress0', 'dst', WORKER]);
  run('w', ['sysctl', '-qw', 'net.ipv4.conf.egress0.rp_filter=0']);
  run(
    'w',
    ['nft', '-f', '-'],
    `table ip peer {
  chain tunnel { type filter hook prerouting priority raw;
    iifname "dpw0" udp dport ${TUNNEL.port} notrack
  }
  chain tunnel_out { type filter hook output priority raw;
    udp dport ${TUNNEL.port} notrack
  }
  chain post { type nat hook postrouting priority srcnat;
    ip saddr 10.244.0.0/16 oifname "dpw0" snat to ${EGRESS[4]}
  }
}
table ip6 peer {
  chain post { type nat hook postrouting priority srcnat;
    ip6 saddr fd00:244::/32 oifname "dpw0" snat to ${EGRESS[6]}
  }
}
`,
  );
}

/** Gives the device's NAPIs kernel threads of their own; those that came by it. */
function ownThreads(run: Run, side: string, device: string): readonly number[] {
  const before = new Set(napiThreads());
  run(side, ['tee', `/sys/class/net/${device}/threaded`], '1');
  return napiThreads().filter((pid) => !before.has(pid));
}

function napiThreads(): readonly number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('napi/');
      } catch {
        return false; // It ended meanwhile.
      }
    });
}

function pin(thread: number, cpu: string): void {
  execFileSync('taskset', ['-cp', cpu, `${thread}`], { stdio: 'pipe' });
}

/** What the sink did not get in time left the gateway all the same. */
function look(run: Run, threads: readonly number[], counter: string): Passed {
  const listed = run('g', ['nft', 'list', 'counter', 'netdev', 'sink', counter]);
  const dropped = Number(run('w', ['cat', '/sys/class/net/dpw0/statistics/tx_dropped']));
  const nanoseconds = threads.map((pid) =>
    Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]),
  );
  return {
    packets: Number(/packets (\d+)/.exec(listed)?.[1]) + dropped,
    seconds: nanoseconds.reduce((sum, value) => sum + value, 0) / 1e9,
  };
}
