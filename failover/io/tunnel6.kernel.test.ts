/** Nodes that have IPv6 alone: the tunnel goes over it, and pods leave as they do elsewhere. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  BLOCK_PORTS,
  BLOCKS,
  createDataPlaneFixture,
  type DataPlaneFixture,
  EGRESS6,
  planFor,
  SERVER,
  seen,
} from '../../test/lab/dataPlaneFixture.ts';
import { NODE_NAMES, OUTSIDE6 } from '../../test/lab/dataPlaneLab.ts';

const OK = { kind: 'ok' } as const;
/** Of an uplink with 1,500 bytes: less by the outer headers of IPv6, UDP, VXLAN and Ethernet. */
const TUNNEL_MTU = 1430;
let fixture: DataPlaneFixture;
const run = (place: string, ...command: readonly string[]): string => fixture.lab.run(place, ...command);

beforeAll(async () => {
  fixture = createDataPlaneFixture('tunnel6', { underlay: 6 });
  for (const node of NODE_NAMES) run(node, 'ip', '-4', 'addr', 'flush', 'dev', 'eth0');
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
});

test('a node needs to forward the family that it speaks, and no other', async () => {
  run('gw1', 'sysctl', '-qw', 'net.ipv4.ip_forward=0');
  expect(await fixture.plane('gw1').selfTest()).toEqual([]);
  run('gw1', 'sysctl', '-qw', 'net.ipv6.conf.all.forwarding=0');
  expect(await fixture.plane('gw1').selfTest()).toEqual([
    'The node does not forward IPv6 (net.ipv6.conf.all.forwarding is not 1).',
  ]);
  run('gw1', 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
});

test.each([
  { pod: 'p1', node: 'w1' },
  { pod: 'p3', node: 'w2' },
  { pod: 'pg', node: 'gw1' },
] as const)(
  'selected pod $pod leaves with the egress IP and a port of $node, before and after a move',
  async ({ pod, node }) => {
    for (const move of [false, true]) {
      if (move) await fixture.moveTo('gw1', 'gw2');
      const [, from, port] = seen(fixture.lab, pod, OUTSIDE6).split(' ');
      expect(from).toBe(EGRESS6);
      expect(Math.floor(Number(port) / BLOCK_PORTS)).toBe(BLOCKS[node] / BLOCK_PORTS);
    }
  },
);

test('an agent that starts again finds its tunnel as it has to be', async () => {
  const link = (): string => run('w1', 'ip', '-d', 'link', 'show', 'dev', 'egress0');
  const before = link();
  expect(before).toContain(`mtu ${TUNNEL_MTU} `);
  const again = await fixture.restart('w1');
  expect(await again.apply(planFor('w1', { holder: 'gw1' }, 6))).toEqual(OK);
  expect(link()).toBe(before);
});

test('what comes into the tunnel from a node that is no peer is dropped and counted', async () => {
  const peers = planFor('gw1', { holder: 'gw1' }, 6);
  const without = { ...peers, peers: peers.peers.filter(({ node }) => node !== 'w1') };
  expect(await fixture.plane('gw1').apply(without)).toEqual(OK);
  const before = await fixture.counted('gw1', 'unknown_peer');
  expect(seen(fixture.lab, 'p1', OUTSIDE6)).toBe('error timeout');
  expect(await fixture.counted('gw1', 'unknown_peer')).toBeGreaterThan(before);
});
