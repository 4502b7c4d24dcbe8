/** The lab with a real data plane on every node, one egress IP, and the few moves that tests make with it. */

import type {
  EgressAddressPlan,
  KernelOutcome,
  NodeDataPlane,
  PodAction,
} from '../../failover/core/dataPlane.ts';
import { tunnelMac } from '../../failover/core/dataplane/tunnelMac.ts';
import type { Durations } from '../../failover/core/ownership/durations.ts';
import { createAnnouncer } from '../../failover/io/announcer.ts';
import { createAnswerGate, type KernelGate } from '../../failover/io/answerGate.ts';
import { createKernelDataPlane, type KernelDataPlane } from '../../failover/io/kernelDataPlane.ts';
import { createNftables } from '../../failover/io/nftables.ts';
import { type UplinkWatch, watchUplink } from '../../failover/io/watchUplink.ts';
import { parseAddress } from '../../policy/address.ts';
import { makeCidr } from '../../policy/cidr.ts';
import type { Address } from '../../policy/model.ts';
import { EXAMPLE_TOKEN } from './dataPlaneExample.ts';
import {
  createDataPlaneLab,
  type DataPlaneLab,
  NODE_NAMES,
  NODES,
  type NodeName,
  OUTSIDE,
  PODS,
} from './dataPlaneLab.ts';
import { openCommandsIn } from './kernelCommandsIn.ts';

export const EGRESS = '203.0.113.100';
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

export interface Wish {
  readonly holder?: NodeName;
  readonly usable?: EgressAddressPlan['usable'];
  readonly action?: PodAction;
}

const endpoint = (node: NodeName) => ({
  node,
  address: address(NODES[node]),
  mac: tunnelMac(address(NODES[node])),
});

/** Every pod but p2 is selected, for every destination. */
export function planFor(node: NodeName, wish: Wish): NodeDataPlane {
  const first = BLOCKS[node];
  const egress: PodAction = { kind: 'egress', addresses: [address(EGRESS)], affinity: 'Pod' };
  const everything = { family: 4, first: 0n, last: 0xffff_ffffn } as const;
  return {
    self: endpoint(node),
    uplink: 'eth0',
    peers: NODE_NAMES.filter((other) => other !== node).map(endpoint),
    direct: [
      makeCidr(4, address('10.244.0.0').value, 16),
      ...NODE_NAMES.map((name) => makeCidr(4, address(NODES[name]).value, 32)),
    ],
    addresses: [
      {
        address: address(EGRESS),
        ...(wish.holder === undefined ? {} : { holder: wish.holder }),
        blocks: NODE_NAMES.map((name) => ({
          node: name,
          first: BLOCKS[name],
          last: BLOCKS[name] + BLOCK_PORTS - 1,
        })),
        usable: wish.usable ?? [{ first, last: first + BLOCK_PORTS - 1 }],
      },
    ],
    pods: Object.entries(PODS)
      .filter(([name, pod]) => pod.node === node && name !== 'p2')
      .map(([, pod]) => ({
        address: address(pod.address),
        routes: [{ range: everything, action: wish.action ?? egress }],
      })),
  };
}

function expectOk(outcome: KernelOutcome): void {
  if (outcome.kind !== 'ok') throw new Error(outcome.message);
}

export interface LabPlane extends KernelDataPlane {
  readonly gate: KernelGate;
}

/** Both halves of a node's kernel side, as the agent has them in two threads. */
function createLabPlane(lab: DataPlaneLab, node: NodeName, durations: Lifetimes): LabPlane {
  const token = EXAMPLE_TOKEN;
  const options = { uplink: 'eth0', self: address(NODES[node]), execPrefix: lab.prefix(node), token };
  const runner = { execPrefix: options.execPrefix, deadlineMs: 5000 };
  const announcer = createAnnouncer(options);
  const commands = openCommandsIn(options.execPrefix, token);
  const nft = createNftables(runner);
  const gate = createAnswerGate({ ...options, runner, announcer, commands, nft, durations });
  const watch: UplinkWatch = watchUplink(
    options,
    () => void gate.reassert(),
    () => undefined,
  );
  const plane = createKernelDataPlane({ ...options, tunnelPort: 4790, tunnelVni: 7777 });
  const close = async (): Promise<void> => {
    watch.stop();
    announcer.close();
    await Promise.all([plane.close(), commands.close()]);
  };
  return {
    ...plane,
    gate,
    close,
    async cleanup() {
      await close();
      await plane.cleanup();
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
  answerAt(node: NodeName, egress?: Address): Promise<void>;
  /** As a planned move goes: silence, the new answer, then the sources' maps. */
  moveTo(from: NodeName, to: NodeName): Promise<void>;
  counted(node: NodeName, name: string): Promise<number>;
  /** The address answered at gw1 by a new session, default plans everywhere. */
  reset(): Promise<void>;
  end(): Promise<void>;
}

export function createDataPlaneFixture(name: string): DataPlaneFixture {
  const lab = createDataPlaneLab(name);
  const planes = new Map<NodeName, LabPlane>();
  const plane = (node: NodeName, lifetimes = LONG): LabPlane => {
    const found = planes.get(node) ?? createLabPlane(lab, node, lifetimes);
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
      await Promise.all(nodes.map(async (node) => expectOk(await plane(node).apply(planFor(node, wish)))));
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
    async answerAt(node, egress = address(EGRESS)) {
      await fixture.beat(node);
      expectOk(await plane(node).gate.arm(egress, SESSION));
      // What people and pings see follows by itself; here it is waited for.
      expectOk(await plane(node).gate.reassert());
      plane(node).gate.announce([egress]);
    },
    async moveTo(from, to) {
      expectOk(await plane(from).gate.disarm(address(EGRESS)));
      await fixture.answerAt(to);
      await fixture.applyAll({ holder: to });
    },
    counted: async (node, counter) =>
      counter === 'fenced'
        ? plane(node).gate.readFenced()
        : ((await plane(node).readCounters()).packets[counter] ?? 0),
    async reset() {
      for (const node of NODE_NAMES) {
        expectOk(await plane(node).gate.disarm(address(EGRESS)));
        expectOk(await plane(node).gate.flush());
      }
      // An address is armed only where its port map is in the kernel, so the tunnel is there before it.
      await fixture.applyAll({ holder: 'gw1' });
      await fixture.answerAt('gw1');
    },
    async end() {
      for (const node of planes.values()) await node.cleanup();
      lab.down();
    },
  };
  return fixture;
}

/** Says who it sees; echoes; pushes a line each 20 ms to connections that begin with "push"; echoes UDP on 8081. */
export const SERVER = `
const net = require('net'), dgram = require('dgram');
net.createServer((s) => { s.on('error', () => {}); s.write('from ' + s.remoteAddress.replace('::ffff:', '') + ' ' + s.remotePort + '\\n');
  s.on('data', (d) => { if (String(d).startsWith('push')) { let n = 0; const t = setInterval(() => s.write('n' + n++ + '\\n'), 20); s.on('close', () => clearInterval(t)); } else s.write(d); });
}).listen(8080, '0.0.0.0', () => console.log('ready'));
const u = dgram.createSocket('udp4'); u.on('message', (m, r) => u.send(m, r.port, r.address)); u.bind(8081);`;

/** What the server says of one connection, or "error CODE ms". */
export function seen(lab: DataPlaneLab, from: string, to = OUTSIDE): string {
  const source = `
const t = Date.now(), s = require('net').connect({ host: '${to}', port: 8080 });
const end = (text) => { console.log(text); process.exit(0); };
s.on('data', (d) => end(String(d).trim())); s.on('error', (e) => end('error ' + e.code + ' ' + (Date.now() - t)));
setTimeout(() => end('error timeout'), 3000);`;
  return lab.run(from, process.execPath, '-e', source).trim();
}

/** One echo request from a raw socket; true if the reply came within two seconds. */
export function pings(lab: DataPlaneLab, from: string, to: string): boolean {
  const source = `use Socket; socket(my $s, PF_INET, SOCK_RAW, 1) or die; my $b = pack("C2n3", 8, 0, 0, 4242, 1);
my $c = 0; $c += $_ for unpack("n*", $b); $c = ($c & 0xffff) + ($c >> 16); substr($b, 2, 2) = pack("n", ~$c & 0xffff);
send($s, $b, 0, pack_sockaddr_in(0, inet_aton("${to}"))); alarm 2; $SIG{ALRM} = sub { exit 1 };
while (recv($s, my $r, 1500, 0)) { exit 0 if unpack("C", substr($r, 20, 1)) == 0 && unpack("n", substr($r, 24, 2)) == 4242 } exit 1`;
  return lab.attempt(from, 'perl', '-e', source).code === 0;
}
