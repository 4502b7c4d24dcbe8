/**
 * What becomes of connections that the kernel still tracks when all that let them leave is gone: they are spoken on again,
 * and whatever has an egress IP as its source is recorded where the uplinks of all nodes meet.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hostCidr } from '../../policy/cidr.ts';
import {
  address,
  BLOCKS,
  createDataPlaneFixture,
  type DataPlaneFixture,
  EGRESS,
  EGRESS6,
  planFor,
  SERVER,
  STACKS,
  type Stack,
} from '../../test/lab/dataPlaneFixture.ts';
import { type LabProgram, NODE_NAMES, type NodeName, PODS } from '../../test/lab/dataPlaneLab.ts';
import type { NodeDataPlane } from '../core/dataPlane.ts';

/** Of those that wait for an answer. One that is told is told at once, also on a machine that is far too busy. */
const SILENCE_MS = 3000;
type Place = 'p1' | 'pg';
let fixture: DataPlaneFixture;
const run = (place: string, ...command: readonly string[]): string => fixture.lab.run(place, ...command);

beforeAll(async () => {
  fixture = createDataPlaneFixture('old');
  // A kernel tells one peer six errors at once and then one a second: what a test drew on, the next one would lack.
  for (const { node } of [PODS.p1, PODS.pg])
    run(node, 'sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0');
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
});

/** A connection and datagrams, of which nothing is said until it is asked for. */
const flows = (outside: string): string => `
const t = require('net').connect(8080, '${outside}'); let greeted = false;
t.on('error', (e) => console.log('tcp ' + e.code));
t.on('data', (d) => { console.log(greeted ? 'tcp echo' : 'tcp ' + String(d).trim()); greeted = true; });
const u = require('dgram').createSocket('${outside.includes(':') ? 'udp6' : 'udp4'}');
u.on('message', () => console.log('udp echo')); u.on('error', (e) => console.log('udp ' + e.code));
u.connect(8081, '${outside}', () => u.send('x', () => {}));
process.stdin.on('data', () => { t.write('x'); u.send('x', () => {}); setTimeout(() => console.log('udp silence\\ntcp silence'), ${SILENCE_MS}); });`;

interface Flows {
  /** What the kernel translates the pod's TCP connection to. */
  readonly port: number;
  /** Says something on both, and what the pod is told of its connection. */
  speak(): Promise<string>;
  stop(): void;
}

async function startFlows(place: Place, outside: string): Promise<Flows> {
  const program: LabProgram = fixture.lab.program(place, flows(outside));
  const greeting = await program.line(/^tcp from /);
  await program.line(/^udp echo/);
  return {
    port: Number(greeting.split(' ').at(-1)),
    async speak() {
      program.write('speak\n');
      await program.line(/udp /);
      return program.line(/^tcp /);
    },
    stop: program.stop,
  };
}

/** Of which node, from which address, by which protocol and port: of every frame with an egress IP as its source. */
type Left = `${string} ${string} ${number} ${number}`;

/** Records until it is read, as often as wanted. */
function record(): () => readonly Left[] {
  const sets = [
    ['left', 'ip', EGRESS],
    ['left6', 'ip6', EGRESS6],
  ] as const;
  const text = `table bridge ear\ndelete table bridge ear\ntable bridge ear {
${sets.map(([name, ip]) => ` set ${name} { typeof ether saddr . ${ip} saddr . meta l4proto . th sport; size 4096; flags dynamic;\n }`).join('\n')}
 chain ear { type filter hook prerouting priority 0;
${sets.map(([name, ip, egress]) => `  ${ip} saddr ${egress} meta l4proto { tcp, udp } update @${name} { ether saddr . ${ip} saddr . meta l4proto . th sport }`).join('\n')}
 }\n}\n`;
  run('sw', 'sh', '-c', `nft -f - <<'E'\n${text}E`);
  const macs = new Map(
    NODE_NAMES.map((name) => [run(name, 'cat', '/sys/class/net/eth0/address').trim(), name]),
  );
  return () =>
    sets.flatMap(([name]) => {
      const { nftables } = JSON.parse(run('sw', 'nft', '-jn', 'list', 'set', 'bridge', 'ear', name)) as {
        readonly nftables: readonly {
          readonly set?: { readonly elem?: readonly { concat: readonly unknown[] }[] };
        }[];
      };
      return nftables
        .flatMap(({ set }) => set?.elem ?? [])
        .map(
          ({ concat: [mac, source, protocol, port] }): Left =>
            `${macs.get(String(mac)) ?? mac} ${source} ${Number(protocol)} ${Number(port)}`,
        );
    });
}

interface Change {
  /** First port of each node's block. */
  readonly blocks?: Readonly<Record<NodeName, number>>;
  /** No egress IP is known any more. */
  readonly forgotten?: boolean;
  readonly unselected?: boolean;
  /** Nor that there are pods. */
  readonly unknown?: boolean;
  /** What is not touched as well. */
  readonly direct?: string;
}

function planWith(node: NodeName, change: Change): NodeDataPlane {
  const { blocks = BLOCKS, forgotten = false, unselected = false, unknown = false, direct } = change;
  const plan = planFor(node, { holder: 'gw1', blocks });
  const pods = unknown ? [] : plan.pods;
  return {
    ...plan,
    addresses: forgotten ? [] : plan.addresses,
    pods: unselected ? pods.map((pod) => ({ ...pod, routes: [] })) : pods,
    direct: direct === undefined ? plan.direct : [...plan.direct, hostCidr(address(direct))],
  };
}

async function apply(change: Change): Promise<void> {
  for (const node of NODE_NAMES)
    expect(await fixture.plane(node).apply(planWith(node, change))).toEqual({ kind: 'ok' });
}

/** Whether the kernel of the pod's node still has its connection. */
function isTracked(place: Place, { family }: Stack, port: number): boolean {
  const of = ['-f', `ipv${family}`, '-p', 'tcp', '--reply-port-dst', String(port)];
  return run(PODS[place].node, 'conntrack', '-L', ...of).includes('ESTABLISHED');
}

async function restart(place: Place): Promise<void> {
  await fixture.restart(PODS[place].node);
}

/** The ports of the pod's node are another's, and it has those. */
const exchanged = (place: Place): NonNullable<Change['blocks']> => {
  const { node } = PODS[place];
  return { ...BLOCKS, [node]: BLOCKS.w2, w2: BLOCKS[node] };
};

/** What takes away from a connection what it left by. */
const CHANGES: readonly { readonly name: string; change(place: Place, stack: Stack): Promise<void> }[] = [
  { name: 'its policy is gone', change: () => apply({ unselected: true }) },
  { name: 'policy and egress IP are gone', change: () => apply({ unselected: true, forgotten: true }) },
  { name: 'its egress IP is gone, and its policy is not', change: () => apply({ forgotten: true }) },
  {
    name: 'policy and egress IP went while no agent was there',
    async change(place) {
      await restart(place);
      await apply({ unselected: true, forgotten: true });
    },
  },
  {
    name: 'policy and egress IP are gone, and an agent came that never knew of them',
    async change(place) {
      await apply({ unselected: true, forgotten: true });
      await restart(place);
      await apply({ unselected: true, forgotten: true });
    },
  },
  {
    name: 'policy and egress IP are gone, and its pod is not known any more',
    change: () => apply({ unknown: true, forgotten: true }),
  },
  { name: 'its ports are another node’s', change: (place) => apply({ blocks: exchanged(place) }) },
  {
    name: 'its ports became another node’s while no agent was there',
    async change(place) {
      await restart(place);
      await apply({ blocks: exchanged(place) });
    },
  },
  {
    name: 'its ports are another node’s since policy and egress IP were gone for a while',
    async change(place) {
      await apply({ unselected: true, forgotten: true });
      await apply({ blocks: exchanged(place) });
    },
  },
  {
    name: 'its destination is one that nothing touches',
    change: (_, { outside }) => apply({ direct: outside }),
  },
];

describe.each(STACKS)('$name', (stack) => {
  describe.each(['p1', 'pg'] as const)('a connection of %s', (place) => {
    test.each(CHANGES)('ends with its next packet and leaves by no way, when $name', async ({ change }) => {
      const before = record();
      const flows = await startFlows(place, stack.outside);
      const [port, began] = [flows.port, before()];
      // By its gateway, as it should.
      expect(began).toContain(`gw1 ${stack.egress} 6 ${port}`);
      await change(place, stack);
      expect(isTracked(place, stack, port)).toBe(true);
      const left = record();
      const outcome = await flows.speak();
      const wrong = left().filter((it) => began.includes(it) || !it.startsWith('gw1 '));
      expect({ outcome, wrong }).toEqual({ outcome: 'tcp ECONNRESET', wrong: [] });
      flows.stop();
    });
  });
});

test.each(STACKS)('of a node that is cleaned up nothing leaves over $name by an egress IP', async (stack) => {
  const flows = await startFlows('p1', stack.outside);
  expect(isTracked('p1', stack, flows.port)).toBe(true);
  const left = record();
  try {
    expect(await fixture.plane('w1').cleanup()).toEqual([]);
    const outcome = await flows.speak();
    // The outside knows of no connection with the address of the node.
    expect({ outcome, left: left() }).toEqual({ outcome: 'tcp ECONNRESET', left: [] });
  } finally {
    flows.stop();
    await fixture.restart('w1');
  }
});
