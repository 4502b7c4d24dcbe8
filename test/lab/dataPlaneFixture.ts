/** The lab with a real data plane on every node, one egress IP, and the few moves that tests make with it. */
import { rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import type {
  EgressAddressPlan,
  KernelOutcome,
  NodeDataPlane,
  PodAction,
} from '../../failover/core/dataPlane.ts';
import { tunnelMac } from '../../failover/core/dataplane/tunnelMac.ts';
import type { Durations } from '../../failover/core/ownership/durations.ts';
import { soleUplink, type Uplinks } from '../../failover/core/uplinks.ts';
import { createAnnouncer } from '../../failover/io/announcer.ts';
import { createAnswerGate, type KernelGate } from '../../failover/io/answerGate.ts';
import { createKernelDataPlane, type KernelDataPlane } from '../../failover/io/kernelDataPlane.ts';
import { createNftables } from '../../failover/io/nftables.ts';
import { type UplinkWatch, watchUplink } from '../../failover/io/watchUplink.ts';
import { parseAddress } from '../../policy/address.ts';
import { hostCidr, makeCidr } from '../../policy/cidr.ts';
import type { Address, AddressRange, Family } from '../../policy/model.ts';
import { EXAMPLE_TOKEN } from './dataPlaneExample.ts';
import {
  createDataPlaneLab,
  type DataPlaneLab,
  NODE_NAMES,
  NODES,
  NODES6,
  type NodeName,
  OUTSIDE,
  OUTSIDE6,
  PODS,
} from './dataPlaneLab.ts';
import { openCommandsIn } from './kernelCommandsIn.ts';

export const EGRESS = '203.0.113.100';
export const EGRESS6 = '2001:db8::100';
/** First port of each node's block. */
export const BLOCKS: Readonly<Record<NodeName, number>> = { w1: 1024, w2: 2048, gw1: 3072, gw2: 4096 };
export const BLOCK_PORTS = 1024;
export const SESSION = 7;
/** What outlives every test, for those that are not about its end. */
const LONG: Lifetimes = { windows: [{ withinMs: 600_000, answerMs: 600_000 }] };
type Lifetimes = Pick<Durations, 'windows'>;

export const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};

/** What a test that is told once for both families says of each. */
export const STACKS = [
  { name: 'IPv4', family: 4, egress: EGRESS, outside: OUTSIDE, nodes: NODES, pod: 'address', icmp: 'icmp' },
  {
    name: 'IPv6',
    family: 6,
    egress: EGRESS6,
    outside: OUTSIDE6,
    nodes: NODES6,
    pod: 'address6',
    icmp: 'icmpv6',
  },
] as const;
export type Stack = (typeof STACKS)[number];
const BOTH = [EGRESS, EGRESS6].map(address);

export interface Wish {
  readonly holder?: NodeName;
  readonly usable?: EgressAddressPlan['usable'];
  /** First port of each node's block; default `BLOCKS`. */
  readonly blocks?: Readonly<Record<NodeName, number>>;
  readonly action?: PodAction;
}

/** The family that the tunnel goes over. */
const underlayOf = (node: NodeName, underlay: Family): Address =>
  address(underlay === 4 ? NODES[node] : NODES6[node]);
const endpoint = (node: NodeName, underlay: Family) => ({
  node,
  address: underlayOf(node, underlay),
  mac: tunnelMac(underlayOf(node, underlay)),
});
const everything = (family: Family): AddressRange => ({
  family,
  first: 0n,
  last: family === 4 ? 0xffff_ffffn : (1n << 128n) - 1n,
});

/** Every pod but p2 is selected, for every destination of both families. */
export function planFor(node: NodeName, wish: Wish, underlay: Family = 4): NodeDataPlane {
  const { blocks: firsts = BLOCKS } = wish;
  const first = firsts[node];
  const blocks = NODE_NAMES.map((name) => ({
    node: name,
    first: firsts[name],
    last: firsts[name] + BLOCK_PORTS - 1,
  }));
  return {
    self: endpoint(node, underlay),
    uplinks: soleUplink('eth0'),
    peers: NODE_NAMES.filter((other) => other !== node).map((other) => endpoint(other, underlay)),
    direct: [
      makeCidr(4, address('10.244.0.0').value, 16),
      makeCidr(6, address('fd00:244::').value, 32),
      makeCidr(4, address('10.96.0.0').value, 16),
      makeCidr(6, address('fd00:96::').value, 112),
      ...NODE_NAMES.flatMap((name) => [NODES[name], NODES6[name]].map(address).map(hostCidr)),
    ],
    addresses: BOTH.map((egress) => ({
      address: egress,
      ...(wish.holder === undefined ? {} : { holder: wish.holder }),
      blocks,
      usable: wish.usable ?? [{ first, last: first + BLOCK_PORTS - 1 }],
    })),
    pods: Object.entries(PODS)
      .filter(([name, pod]) => pod.node === node && name !== 'p2')
      .flatMap(([, pod]) => [pod.address, pod.address6].map(address))
      .map((pod) => ({
        address: pod,
        routes: [{ range: everything(pod.family), action: wish.action ?? egressAction(pod.family) }],
      })),
  };
}

function egressAction(family: Family): PodAction {
  return { kind: 'egress', addresses: BOTH.filter((it) => it.family === family), affinity: 'Pod' };
}

function expectOk(outcome: KernelOutcome): void {
  if (outcome.kind !== 'ok') throw new Error(outcome.message);
}

/** Gateways forward through the IP stack unless `fastPath` says otherwise, as with the chart's values. */
export interface LabGround {
  /** The family that the tunnel goes over. */
  readonly underlay: Family;
  readonly fastPath: boolean;
}

/** Where a node keeps what is to be held after a boot. */
const stateDirOf = (lab: DataPlaneLab, node: NodeName): string =>
  path.join(os.tmpdir(), `${lab.prefix(node).at(-1)}-state`);

export interface LabPlane extends KernelDataPlane {
  readonly gate: KernelGate;
  /** As the agent's main thread tells its ownership thread; plans have to say the same. */
  setUplinks(uplinks: Uplinks): Promise<KernelOutcome>;
}

/** Both halves of a node's kernel side, as the agent has them in two threads. */
function createLabPlane(
  lab: DataPlaneLab,
  node: NodeName,
  { durations, underlay, fastPath }: LabGround & { readonly durations: Lifetimes },
): LabPlane {
  const token = EXAMPLE_TOKEN;
  const self = underlayOf(node, underlay);
  const options = { uplink: 'eth0', self, execPrefix: lab.prefix(node), token };
  let uplinks = soleUplink('eth0');
  const runner = { execPrefix: options.execPrefix, deadlineMs: 5000 };
  const announcer = createAnnouncer(options);
  const commands = openCommandsIn(options.execPrefix, token);
  const nft = createNftables(runner);
  const gate = createAnswerGate({ ...options, uplinks, runner, announcer, commands, nft, durations });
  const watch: UplinkWatch = watchUplink(
    { ...options, uplinks: () => uplinks },
    () => void gate.reassert(),
    () => undefined,
  );
  const stateDir = stateDirOf(lab, node);
  const plane = createKernelDataPlane({ ...options, tunnelPort: 4790, tunnelVni: 7777, fastPath, stateDir });
  const close = async (): Promise<void> => {
    watch.stop();
    announcer.close();
    await Promise.all([plane.close(), commands.close()]);
  };
  return {
    ...plane,
    gate,
    close,
    setUplinks(now) {
      uplinks = now;
      return gate.setUplinks(now);
    },
    async cleanup() {
      await close();
      return plane.cleanup();
    },
  };
}

export interface DataPlaneFixture {
  readonly lab: DataPlaneLab;
  plane(node: NodeName): LabPlane;
  /** A second instance on a node, as after a restart of its agent. */
  restart(node: NodeName, lifetimes?: Lifetimes): Promise<LabPlane>;
  applyAll(wish: Wish, nodes?: readonly NodeName[]): Promise<void>;
  beat(node: NodeName): Promise<void>;
  /** Default: both addresses. */
  answerAt(node: NodeName, egress?: Address): Promise<void>;
  /** As a planned move of both addresses goes: silence, the new answer, then the sources' maps. */
  moveTo(from: NodeName, to: NodeName): Promise<void>;
  counted(node: NodeName, name: string): Promise<number>;
  /** The addresses answered at gw1 by a new session, default plans everywhere. */
  reset(): Promise<void>;
  end(): Promise<void>;
}

export function createDataPlaneFixture(name: string, ground: Partial<LabGround> = {}): DataPlaneFixture {
  const { underlay = 4, fastPath = false } = ground;
  const lab = createDataPlaneLab(name);
  const planes = new Map<NodeName, LabPlane>();
  const plane = (node: NodeName, lifetimes = LONG): LabPlane => {
    const found = planes.get(node) ?? createLabPlane(lab, node, { durations: lifetimes, underlay, fastPath });
    planes.set(node, found);
    return found;
  };
  let seq = 0;
  const fixture: DataPlaneFixture = {
    lab,
    plane,
    async restart(node, lifetimes) {
      await plane(node).close();
      planes.delete(node);
      return plane(node, lifetimes);
    },
    async applyAll(wish, nodes = NODE_NAMES) {
      await Promise.all(
        nodes.map(async (node) => expectOk(await plane(node).apply(planFor(node, wish, underlay)))),
      );
    },
    async beat(node) {
      seq += 1;
      const { gate } = plane(node);
      expectOk(await gate.beat(SESSION, seq));
      gate.grant(SESSION, seq);
      // Commands take effect in the order they are sent.
      seq += 1;
      expectOk(await gate.beat(SESSION, seq));
    },
    async answerAt(node, egress) {
      const addresses = egress === undefined ? BOTH : [egress];
      await fixture.beat(node);
      for (const it of addresses) expectOk(await plane(node).gate.arm(it, SESSION));
      // What people and pings see follows by itself; here it is waited for.
      expectOk(await plane(node).gate.reassert());
      plane(node).gate.announce(addresses);
    },
    async moveTo(from, to) {
      for (const it of BOTH) expectOk(await plane(from).gate.disarm(it));
      await fixture.answerAt(to);
      await fixture.applyAll({ holder: to });
    },
    counted: async (node, counter) =>
      counter === 'fenced'
        ? plane(node).gate.readFenced()
        : ((await plane(node).readCounters()).packets[counter] ?? 0),
    async reset() {
      for (const node of NODE_NAMES) {
        for (const it of BOTH) expectOk(await plane(node).gate.disarm(it));
        expectOk(await plane(node).gate.flush());
      }
      // An address is armed only where its port map is in the kernel, so the tunnel is there before it.
      await fixture.applyAll({ holder: 'gw1' });
      await fixture.answerAt('gw1');
    },
    async end() {
      for (const node of planes.values()) await node.cleanup();
      for (const node of NODE_NAMES) rmSync(stateDirOf(lab, node), { recursive: true, force: true });
      lab.down();
    },
  };
  return fixture;
}

/** Says who it sees, and whose connections are reset; echoes; pushes a line each 20 ms to connections that begin with "push"; echoes UDP on 8081. */
export const SERVER = `
const net = require('net'), dgram = require('dgram');
net.createServer((s) => { const who = s.remoteAddress.replace('::ffff:', '') + ' ' + s.remotePort; s.on('error', (e) => console.log(e.code + ' ' + who)); s.write('from ' + who + '\\n');
  s.on('data', (d) => { if (String(d).startsWith('push')) { let n = 0; const t = setInterval(() => s.write('n' + n++ + '\\n'), 20); s.on('close', () => clearInterval(t)); } else s.write(d); });
}).listen(8080, '::', () => console.log('ready'));
for (const type of ['udp4', 'udp6']) { const u = dgram.createSocket({ type, ipv6Only: type === 'udp6' }); u.on('message', (m, r) => u.send(m, r.port, r.address)); u.bind(8081); }`;

/** What the server says of one connection, or "error CODE ms". */
export function seen(lab: DataPlaneLab, from: string, to: string = OUTSIDE, port = 8080): string {
  const source = `
const t = Date.now(), s = require('net').connect({ host: '${to}', port: ${port} });
const end = (text) => { console.log(text); process.exit(0); };
s.on('data', (d) => end(String(d).trim())); s.on('error', (e) => end('error ' + e.code + ' ' + (Date.now() - t)));
setTimeout(() => end('error timeout'), 3000);`;
  return lab.run(from, process.execPath, '-e', source).trim();
}

/** One echo request from a raw socket; true if the reply came within two seconds. The kernel counts ICMPv6's checksum. */
export function pings(lab: DataPlaneLab, from: string, to: string): boolean {
  const [family, protocol, request, reply, head] = to.includes(':')
    ? ['AF_INET6', 58, 128, 129, 0]
    : ['AF_INET', 1, 8, 0, 20];
  const place = to.includes(':') ? 'pack_sockaddr_in6' : 'pack_sockaddr_in';
  const source = `use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 AF_INET6); socket(my $s, ${family}, SOCK_RAW, ${protocol}) or die;
my $b = pack("C2n3", ${request}, 0, 0, 4242, 1);
my $c = 0; $c += $_ for unpack("n*", $b); $c = ($c & 0xffff) + ($c >> 16); substr($b, 2, 2) = pack("n", ~$c & 0xffff);
send($s, $b, 0, ${place}(0, inet_pton(${family}, "${to}"))); alarm 2; $SIG{ALRM} = sub { exit 1 };
while (recv($s, my $r, 1500, 0)) { exit 0 if unpack("C", substr($r, ${head}, 1)) == ${reply} && unpack("n", substr($r, ${head} + 4, 2)) == 4242 } exit 1`;
  return lab.attempt(from, 'perl', '-e', source).code === 0;
}
