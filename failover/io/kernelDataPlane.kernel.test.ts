/** The data plane on the real kernel: where packets leave, what is refused, and what nobody may reach. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  address,
  BLOCK_PORTS,
  BLOCKS,
  createDataPlaneFixture,
  type DataPlaneFixture,
  EGRESS,
  EGRESS6,
  pings,
  planFor,
  SERVER,
  STACKS,
  seen,
} from '../../test/lab/dataPlaneFixture.ts';
import { NODE_NAMES, NODES, NODES6, OUTSIDE, PODS, uplinkLines } from '../../test/lab/dataPlaneLab.ts';
import { tunnelMac } from '../core/dataplane/tunnelMac.ts';
import { observeNode } from './observeNode.ts';
import { readPortUse } from './watchPortUse.ts';

let fixture: DataPlaneFixture;

beforeAll(async () => {
  fixture = createDataPlaneFixture('plane');
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
});

test('a node with all that is needed says so, and sees its network', async () => {
  expect(await fixture.plane('gw1').selfTest()).toEqual([]);
  const observed = await observeNode({
    self: address(NODES.gw1),
    execPrefix: fixture.lab.prefix('gw1'),
  });
  expect(observed).toMatchObject({
    kind: 'ok',
    value: {
      uplink: 'eth0',
      interfaces: [
        {
          name: 'eth0',
          addresses: [
            { address: address(NODES.gw1), prefix: 24 },
            { address: address(NODES6.gw1), prefix: 64 },
          ],
        },
      ],
      onLink: [
        { interfaceName: 'eth0', cidr: { family: 4, prefix: 24 } },
        { interfaceName: 'eth0', cidr: { family: 6, prefix: 64 } },
      ],
      nextHops: ['203.0.113.1', '2001:db8::1'].map((hop) => ({
        interfaceName: 'eth0',
        address: address(hop),
      })),
    },
  });
});

describe.each(STACKS)('$name', ({ family, egress, outside, nodes, pod }) => {
  test.each([
    { place: 'p1', node: 'w1' },
    { place: 'p3', node: 'w2' },
    { place: 'pg', node: 'gw1' },
  ] as const)('selected pod $place leaves with the egress IP and a port of $node', ({ place, node }) => {
    const [, from, port] = seen(fixture.lab, place, outside).split(' ');
    expect(from).toBe(egress);
    expect(Math.floor(Number(port) / BLOCK_PORTS)).toBe(BLOCKS[node] / BLOCK_PORTS);
  });

  test('each connection of the node has a port of the egress IP, and others have none', async () => {
    const [command = '', ...argv] = [...fixture.lab.prefix('w1'), 'sh', '-c', 'echo there; exec sleep 60'];
    const inside = spawn(command, argv);
    try {
      await once(inside.stdout, 'data');
      const use = async (): Promise<number> =>
        (await readPortUse([address(egress)], `/proc/${inside.pid}/net/nf_conntrack`)).get(egress) ?? 0;
      const before = await use();
      for (const place of ['p1', 'p1', 'p1', 'p2', 'p3'] as const) seen(fixture.lab, place, outside);
      expect(await use()).toBe(before + 3);
    } finally {
      inside.kill();
    }
  });

  test('an unselected pod leaves with its node address', () => {
    expect(seen(fixture.lab, 'p2', outside)).toContain(`from ${nodes.w1} `);
  });

  test('pod to pod and pod to node are not touched', async () => {
    const servers = ['p3', 'gw2'].map((place) => fixture.lab.program(place, SERVER));
    for (const server of servers) await server.line(/ready/);
    expect(seen(fixture.lab, 'p1', PODS.p3[pod])).toContain(`from ${PODS.p1[pod]} `);
    // The CNI of the lab masquerades what is no pod network, nodes included.
    expect(seen(fixture.lab, 'p1', nodes.gw2)).toContain(`from ${nodes.w1} `);
    for (const server of servers) server.stop();
  });

  test('echo requests pass from a pod, and to the address only while it is answered for', async () => {
    expect(pings(fixture.lab, 'p1', outside)).toBe(true);
    expect(pings(fixture.lab, 'pg', outside)).toBe(true);
    expect(pings(fixture.lab, 'ext', egress)).toBe(true);
    await fixture.plane('gw1').gate.disarm(address(egress));
    // Silence is at once; taking the address off the device, which ends the answers to pings, is not waited for.
    await expect.poll(() => pings(fixture.lab, 'ext', egress), { timeout: 10_000 }).toBe(false);
  });

  test('the gateways hold no conntrack entry of egress traffic', () => {
    for (const place of ['p1', 'p3']) expect(seen(fixture.lab, place, outside)).toContain(egress);
    const entries = (node: string): readonly string[] =>
      fixture.lab
        .run(node, 'conntrack', '-L', '-f', `ipv${family}`)
        .split('\n')
        .filter((line) => line.includes(egress) && !line.includes(PODS.pg[pod]) && !line.includes('icmp'));
    expect(entries('gw1')).toEqual([]);
    expect(entries('gw2')).toEqual([]);
    expect(entries('w1').length).toBeGreaterThan(0);
  });

  test('nothing that listens on the gateway is reached through the egress IP, and the try is counted', async () => {
    const listener = fixture.lab.program('gw1', SERVER);
    await listener.line(/ready/);
    expect(seen(fixture.lab, 'rtr', nodes.gw1)).toContain('from ');
    const before = await fixture.counted('gw1', 'unmapped');
    expect(seen(fixture.lab, 'ext', egress)).toBe('error timeout');
    expect(await fixture.counted('gw1', 'unmapped')).toBeGreaterThan(before);
    listener.stop();
  });

  test.each([
    { name: 'a refused route', wish: { holder: 'gw1', action: { kind: 'refuse' } } },
    { name: 'no holder', wish: {} },
    { name: 'no usable port', wish: { holder: 'gw1', usable: [] } },
  ] as const)('$name fails at once and is counted', async ({ wish }) => {
    await fixture.applyAll(wish);
    const before = await fixture.counted('w1', 'refused');
    const [, code, ms] = seen(fixture.lab, 'p1', outside).split(' ');
    expect(code).toBe('ECONNREFUSED');
    expect(Number(ms)).toBeLessThan(500);
    expect(await fixture.counted('w1', 'refused')).toBeGreaterThan(before);
    expect(seen(fixture.lab, 'p2', outside)).toContain(`from ${nodes.w1} `);
  });

  test('a source port of another node is dropped by the gateway and counted', async () => {
    // By its own plan w1 has w2's.
    await fixture.applyAll({ holder: 'gw1', blocks: { ...BLOCKS, w1: BLOCKS.w2, w2: BLOCKS.w1 } }, ['w1']);
    const before = await fixture.counted('gw1', 'spoofed');
    expect(seen(fixture.lab, 'p1', outside)).toBe('error timeout');
    expect(await fixture.counted('gw1', 'spoofed')).toBeGreaterThan(before);
  });

  test('a block that has changed hands is its new node’s alone, whatever the one before still sends', async () => {
    const block = { first: BLOCKS.w1, last: BLOCKS.w1 + BLOCK_PORTS - 1 };
    const client = fixture.lab.program(
      'p1',
      `const s = require('net').connect(8080, '${outside}'); let echoes = 0; let last = Date.now();
s.on('data', () => { last = Date.now(); if (echoes++ === 5) console.log('flowing'); }); s.on('error', (e) => console.log('end ' + e.code));
setInterval(() => { s.write('x'); if (echoes > 5 && Date.now() - last > 500) { echoes = -1e9; console.log('quiet'); } }, 20);`,
    );
    await client.line(/flowing/);
    // All but w1, whose agent does not know yet.
    for (const node of ['gw1', 'gw2', 'w2'] as const) {
      const plan = planFor(node, { holder: 'gw1' });
      const addresses = plan.addresses.map((it) => ({
        ...it,
        blocks: [{ node: 'w2', ...block }, ...it.blocks.filter(({ first }) => first !== block.first)],
        usable: node === 'w2' ? [block] : it.usable,
      }));
      expect(await fixture.plane(node).apply({ ...plan, addresses })).toEqual({ kind: 'ok' });
    }
    const before = await fixture.counted('gw1', 'spoofed');
    expect(await client.line(/quiet|end/)).toBe('quiet');
    expect(await fixture.counted('gw1', 'spoofed')).toBeGreaterThan(before);
    client.stop();
    const [, from, port] = seen(fixture.lab, 'p3', outside).split(' ');
    expect(from).toBe(egress);
    expect(Number(port)).toBeGreaterThanOrEqual(block.first);
    expect(Number(port)).toBeLessThanOrEqual(block.last);
  });

  /** Connections of tests before keep their ports for two minutes. */
  const forgetClosed = (): unknown => fixture.lab.run('w1', 'conntrack', '-F');

  test('of two ranges both are used, the newer one more', async () => {
    const [old, newer] = [BLOCKS.w1, BLOCKS.w1 + 512];
    const usable = [old, newer].map((first) => ({ first, last: first + 63 }));
    await fixture.applyAll({ holder: 'gw1', usable }, ['w1']);
    forgetClosed();
    const source = `const net = require('net'); const said = [];
for (let i = 0; i < 60; i += 1) { const s = net.connect({ host: '${outside}', port: 8080 });
  s.on('data', (d) => { said.push(String(d).trim().split(' ')[2]); if (said.length === 60) console.log('all ' + said.join(' ')); }); }`;
    const client = fixture.lab.program('p1', source);
    const ports = (await client.line(/^all/)).split(' ').slice(1).map(Number);
    client.stop();
    const newerOnes = ports.filter((port) => port >= newer).length;
    expect(ports.every((port) => [old, newer].some((first) => port >= first && port < first + 64))).toBe(
      true,
    );
    // Three of four; by chance so few, or all of sixty, once in ten million times.
    expect(newerOnes).toBeGreaterThan(25);
    expect(newerOnes).toBeLessThan(60);
  });

  test('what finds no port is refused at once and counted, and borrows none from another node', async () => {
    const four = [{ first: BLOCKS.w1, last: BLOCKS.w1 + 3 }];
    await fixture.applyAll({ holder: 'gw1', usable: four }, ['w1']);
    forgetClosed();
    const before = await fixture.counted('w1', 'exhausted');
    const source = `const net = require('net'); const t = Date.now(); const said = [];
const say = (text) => { said.push(text); if (said.length === 6) console.log('all ' + said.sort().join(' ')); };
for (let i = 0; i < 6; i += 1) { const s = net.connect({ host: '${outside}', port: 8080 });
  s.on('error', (e) => say(e.code + (Date.now() - t < 500 ? '' : ' late'))); s.on('data', (d) => say(String(d).trim().split(' ')[2])); }`;
    const client = fixture.lab.program('p1', source);
    const ports = [0, 1, 2, 3].map((it) => String(BLOCKS.w1 + it));
    expect(await client.line(/^all/)).toBe(`all ${[...ports, 'ECONNREFUSED', 'ECONNREFUSED'].join(' ')}`);
    expect(await fixture.counted('w1', 'exhausted')).toBe(before + 2);
    // In whole granules, of which four ports are one.
    expect((await fixture.plane('w1').readPressed()).get(egress)).toBe(64);
    client.stop();
  });
});

/** A datagram of an egress IP to the outside's port 9, in a frame of w1's for the gateway, as its tunnel would carry it. */
function forgedFrame(): string {
  const mac = (node: 'w1' | 'gw1'): string => tunnelMac(address(NODES[node])).replaceAll(':', '');
  const words = (text: string): string =>
    text
      .split('.')
      .map((it) => Number(it).toString(16).padStart(2, '0'))
      .join('');
  const udp = `${BLOCKS.w1.toString(16).padStart(4, '0')}0009000c000041414141`;
  const ip = `450000200000400040110000${words(EGRESS)}${words(OUTSIDE)}`;
  const sum = (ip.match(/.{4}/g) ?? []).reduce((total, word) => total + Number.parseInt(word, 16), 0);
  const checksum = (~((sum & 0xffff) + (sum >> 16)) & 0xffff).toString(16).padStart(4, '0');
  const vni = (7777).toString(16).padStart(6, '0');
  return `08000000${vni}00${mac('gw1')}${mac('w1')}0800${ip.slice(0, 20)}${checksum}${ip.slice(24)}${udp}`;
}

test('what a pod puts into the tunnel by itself comes nowhere and is counted, although it leaves with its node’s address', async () => {
  const listener = fixture.lab.program(
    'ext',
    `const s = require('dgram').createSocket('udp4').on('message', (m, from) => console.log('heard ' + from.address))
.bind(9, () => console.log('ready'));`,
  );
  await listener.line(/ready/);
  const send = (pod: 'p2' | 'pg', host: string, port: number, hex: string): string =>
    fixture.lab.run(
      pod,
      process.execPath,
      '-e',
      `const s = require('dgram').createSocket('udp4'); s.send(Buffer.from('${hex}', 'hex'), ${port}, '${host}', () => s.close())`,
    );
  const counted = () =>
    Promise.all((['w1', 'gw1'] as const).map((node) => fixture.counted(node, 'unknown_peer')));
  const before = await counted();
  for (const pod of ['p2', 'pg'] as const) send(pod, NODES.gw1, 4790, forgedFrame());
  // Another tunnel's frames on that port are nobody's business, and whatever was heard was heard before this.
  send('p2', OUTSIDE, 4790, forgedFrame().replace('001e61', '001e62'));
  send('p2', OUTSIDE, 9, '00');
  expect(await listener.line(/heard/)).toBe(`heard ${NODES.w1}`);
  expect(await counted()).toEqual(before.map((it) => it + 1));
  listener.stop();
});

test('after an uplink flap the address is answered again and is still not local', async () => {
  fixture.lab.run('gw1', 'ip', 'link', 'set', 'eth0', 'down');
  fixture.lab.run('gw1', 'ip', 'link', 'set', 'eth0', 'up');
  for (const line of uplinkLines('gw1')) fixture.lab.run('gw1', 'ip', ...line.split(' '));
  const local = (): string =>
    ['-4', '-6'].map((it) => fixture.lab.run('gw1', 'ip', it, 'route', 'show', 'table', 'local')).join('');
  await expect.poll(local, { timeout: 5_000 }).not.toMatch(new RegExp(`local (?:${EGRESS}|${EGRESS6}) `));
  for (const egress of [EGRESS, EGRESS6])
    await expect
      .poll(() => fixture.lab.run('gw1', 'ip', 'neigh', 'show', 'proxy'), { timeout: 5_000 })
      .toContain(egress);
});

test('cleaning up leaves no trace in the kernel, and what is not ours', async () => {
  const foreign = ['pref', '77', 'fwmark', '0x4000/0x4000', 'lookup', '100'];
  for (const node of NODE_NAMES) {
    fixture.lab.run(node, 'ip', 'rule', 'add', ...foreign);
    expect(await (await fixture.restart(node)).cleanup()).toEqual([]);
    const { run } = fixture.lab;
    expect(run(node, 'nft', 'list', 'ruleset')).not.toContain('sallyport');
    expect(run(node, 'ip', 'address')).not.toMatch(new RegExp(`egress0|${EGRESS}`));
    for (const family of ['-4', '-6']) expect(run(node, 'ip', family, 'rule')).not.toMatch(/777[78]/);
    expect(run(node, 'ip', 'rule')).toContain('77:\tfrom all fwmark 0x4000/0x4000 lookup 100');
    run(node, 'ip', 'rule', 'del', ...foreign);
    expect(run(node, 'ip', 'neigh', 'show', 'proxy')).toBe('');
    await fixture.restart(node);
  }
});
