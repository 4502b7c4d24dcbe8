/** Who answers for an IPv6 address, as a neighbour sees it. How packets of one get through is none of it. */
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  address,
  createDataPlaneFixture,
  type DataPlaneFixture,
  EGRESS6,
  SESSION,
} from '../../test/lab/dataPlaneFixture.ts';
import { NODES6, OUTSIDE6, uplinkLines } from '../../test/lab/dataPlaneLab.ts';
import { answersSolicitation } from '../../test/lab/neighbourDiscovery.ts';
import { createPacketProber } from './packetProber.ts';

const EGRESS = address(EGRESS6);
const GATEWAYS = ['gw1', 'gw2'] as const;
type Gateway = (typeof GATEWAYS)[number];
/** Long enough for a busy machine, and shorter than most delays of a proxy that was not told to hurry. */
const PATIENCE_MS = 500;
const LIFETIMES = { windows: [{ withinMs: 700, answerMs: 1_500 }] };
const OK = { kind: 'ok' } as const;

let fixture: DataPlaneFixture;
const run = (node: string, ...command: readonly string[]): string => fixture.lab.run(node, ...command);

beforeAll(async () => {
  fixture = createDataPlaneFixture('guard6');
  await fixture.applyAll({}, GATEWAYS);
});
afterAll(async () => {
  await fixture.end();
});
afterEach(async () => {
  for (const node of GATEWAYS) {
    const { gate } = await fixture.restart(node);
    expect(await gate.flush()).toEqual(OK);
    expect(await gate.standBy([])).toEqual(OK);
    expect(await gate.guard([])).toEqual(OK);
  }
});

const answers = (whom?: string): boolean =>
  answersSolicitation(fixture.lab, {
    from: 'rtr',
    address: EGRESS6,
    patienceMs: PATIENCE_MS,
    ...(whom === undefined ? {} : { whom }),
  });
const macOf = (node: string): string => run(node, 'cat', '/sys/class/net/eth0/address').trim();
const localRoutes = (node: string): string => run(node, 'ip', '-6', 'route', 'show', 'table', 'local');
const onDevices = (node: string): string => run(node, 'ip', '-6', 'addr', 'show');
/** Where pings find the addresses that the node answers for. */
const pingable = (node: string): string => run(node, 'ip', '-6', 'route', 'show', 'table', '7778');

/** Commands take effect in the order they are sent. */
async function granted(node: Gateway, seq: number): Promise<void> {
  const { gate } = fixture.plane(node);
  gate.grant(SESSION, seq);
  expect(await gate.beat(SESSION, seq + 100_000)).toEqual(OK);
}

test('what is only stood by for is silent; armed, it is answered at once, before pings are', async () => {
  const { gate } = fixture.plane('gw1');
  expect(await gate.guard([EGRESS])).toEqual(OK);
  expect(await gate.standBy([EGRESS])).toEqual(OK);
  await fixture.beat('gw1');
  expect(answers()).toBe(false);
  expect(await gate.arm(EGRESS, SESSION)).toEqual(OK);
  expect(answers()).toBe(true);
  await expect.poll(() => pingable('gw1'), { timeout: 5_000 }).toContain(EGRESS6);
  expect(answers()).toBe(true);
  expect(onDevices('gw1')).not.toContain(EGRESS6);
});

test('a proxy answers at once whoever looks for the address, and the neighbour that checks what it knows', async () => {
  const { gate } = fixture.plane('gw1');
  expect(await gate.guard([EGRESS])).toEqual(OK);
  expect(await gate.standBy([EGRESS])).toEqual(OK);
  // Without the guard it is the proxy alone that decides, for the address is on no device.
  run('gw1', 'nft', 'delete', 'table', 'netdev', 'sallyport_guard');
  for (let question = 0; question < 5; question += 1)
    expect([answers(), answers(macOf('gw1'))]).toEqual([true, true]);
  expect(onDevices('gw1')).not.toContain(EGRESS6);
});

test('without heartbeats the kernel falls silent by itself, and counts it', async () => {
  await fixture.restart('gw1', LIFETIMES);
  await fixture.answerAt('gw1', EGRESS);
  expect(answers()).toBe(true);
  const before = await fixture.counted('gw1', 'fenced');
  await expect.poll(answers, { timeout: 10_000 }).toBe(false);
  expect(await fixture.counted('gw1', 'fenced')).toBeGreaterThan(before);
});

test('disarming and flushing silence the address at once, whatever lives on', async () => {
  await fixture.answerAt('gw1', EGRESS);
  const { gate } = fixture.plane('gw1');
  expect(answers()).toBe(true);
  expect(await gate.flush()).toEqual(OK);
  expect([answers(), answers(macOf('gw1'))]).toEqual([false, false]);
  await fixture.answerAt('gw1', EGRESS);
  expect(answers()).toBe(true);
  expect(await gate.disarm(EGRESS)).toEqual(OK);
  expect([answers(), answers(macOf('gw1'))]).toEqual([false, false]);
});

test('a grant that comes late, or for a heartbeat that never was, lets nobody answer', async () => {
  const { gate } = await fixture.restart('gw1', { windows: [{ withinMs: 200, answerMs: 60_000 }] });
  expect(await gate.arm(EGRESS, SESSION)).toEqual(OK);
  await granted('gw1', 2000);
  expect(answers()).toBe(false);
  expect(await gate.beat(SESSION, 2001)).toEqual(OK);
  await setTimeout(400);
  await granted('gw1', 2001);
  expect(answers()).toBe(false);
  expect(await gate.beat(SESSION, 2002)).toEqual(OK);
  await granted('gw1', 2002);
  expect(answers()).toBe(true);
});

test('an announcement overrides what a neighbour has cached, and leaves only while the address is answered', async () => {
  const learned = (): string => run('rtr', 'ip', '-6', 'neigh', 'show', EGRESS6);
  const cache = (mac: string): string =>
    run('rtr', 'ip', 'neigh', 'replace', EGRESS6, 'lladdr', mac, 'dev', 'eth0', 'nud', 'reachable');
  const stranger = '02:00:00:00:00:99';
  for (const node of GATEWAYS) {
    cache(stranger);
    await fixture.answerAt(node, EGRESS);
    await expect.poll(learned, { timeout: 5_000 }).toContain(macOf(node));
    expect(await fixture.plane(node).gate.disarm(EGRESS)).toEqual(OK);
  }
  const before = await fixture.counted('gw1', 'fenced');
  cache(stranger);
  fixture.plane('gw1').gate.announce([EGRESS]);
  await expect.poll(() => fixture.counted('gw1', 'fenced'), { timeout: 5_000 }).toBeGreaterThan(before);
  expect(learned()).not.toContain(macOf('gw1'));
});

/** Solicitations that the router hears, and those of them that come from the egress IP. */
const SOLICITED = `table netdev ear { counter asked { }
  counter from_egress { }
  chain in { type filter hook ingress device "eth0" priority 0; icmpv6 type nd-neighbor-solicit counter name asked
    ip6 saddr ${EGRESS6} icmpv6 type nd-neighbor-solicit counter name from_egress
  }
}
`;
const SEND = `use strict; use Socket qw(:DEFAULT inet_pton AF_INET6 pack_sockaddr_in6);
socket(my $s, AF_INET6, SOCK_DGRAM, 0) or die; setsockopt($s, 41, 75, 1) or die "transparent: $!";
bind($s, pack_sockaddr_in6(0, inet_pton(AF_INET6, '${EGRESS6}'))) or die "bind: $!";
send($s, 'x', 0, pack_sockaddr_in6(9, inet_pton(AF_INET6, $ARGV[0]))) or die "send: $!";`;

test('a packet of the address to an unknown neighbour makes no solicitation in its name', async () => {
  const heard = (name: string): number =>
    Number(/packets (\d+)/.exec(run('rtr', 'nft', 'list', 'counter', 'netdev', 'ear', name))?.[1]);
  run('rtr', 'sh', '-c', `nft -f - <<'E'\n${SOLICITED}E`);
  await fixture.answerAt('gw1', EGRESS);
  run('gw1', 'perl', '-e', SEND, '2001:db8::77');
  await expect.poll(() => heard('asked'), { timeout: 5_000 }).toBeGreaterThan(0);
  expect(heard('from_egress')).toBe(0);
  // Somebody puts it on the device: then the kernel does, and the guard lets it only while the address is answered for.
  const place = [`${EGRESS6}/128`, 'dev', 'eth0'];
  run('gw1', 'ip', 'addr', 'add', ...place, 'nodad', 'noprefixroute');
  run('gw1', 'perl', '-e', SEND, '2001:db8::78');
  await expect.poll(() => heard('from_egress'), { timeout: 5_000 }).toBeGreaterThan(0);
  expect(await fixture.plane('gw1').gate.flush()).toEqual(OK);
  const before = [heard('from_egress'), await fixture.counted('gw1', 'fenced')] as const;
  run('gw1', 'perl', '-e', SEND, '2001:db8::79');
  await expect.poll(() => fixture.counted('gw1', 'fenced'), { timeout: 5_000 }).toBeGreaterThan(before[1]);
  expect(heard('from_egress')).toBe(before[0]);
  run('rtr', 'nft', 'delete', 'table', 'netdev', 'ear');
  run('gw1', 'ip', 'addr', 'del', ...place);
});

test('what the node asks its neighbours and hosts from its own addresses passes', async () => {
  const own = { link: 'fe80::11', global: NODES6.gw1 } as const;
  const timeoutMs = 5_000;
  run('gw1', 'ip', 'addr', 'replace', `${own.link}/64`, 'dev', 'eth0', 'nodad');
  const { gate } = fixture.plane('gw1');
  const prober = createPacketProber({
    execPrefix: fixture.lab.prefix('gw1'),
    uplink: 'eth0',
    identifier: 1,
  });
  const solicit = () => prober.ask('nd', '2001:db8::1', { from: own.link, timeoutMs });
  expect(await gate.guard([EGRESS])).toEqual(OK);
  const fenced = await fixture.counted('gw1', 'fenced');
  expect(await solicit()).toEqual(OK);
  expect(await prober.ask('icmp', OUTSIDE6, { from: own.global, timeoutMs })).toEqual(OK);
  expect(await fixture.counted('gw1', 'fenced')).toBe(fenced);
  // And if it were an egress IP, it would not.
  expect(await gate.guard([EGRESS, address(own.link)])).toEqual(OK);
  const unheard = solicit();
  await expect.poll(() => fixture.counted('gw1', 'fenced'), { timeout: timeoutMs }).toBeGreaterThan(fenced);
  prober.close();
  expect((await unheard).kind).not.toBe('ok');
});

test('nothing that listens on the node is reached through the address, also after a flap of the uplink', async () => {
  const listener = fixture.lab.program(
    'gw1',
    `require('net').createServer((s) => s.end('here')).listen(8090, '::', () => console.log('ready'))`,
  );
  await listener.line(/ready/);
  const reached = (host: string): string =>
    run(
      'rtr',
      process.execPath,
      '-e',
      `const s = require('net').connect(8090, '${host}'); const end = (t) => { console.log(t); process.exit(); };
s.on('data', (d) => end(String(d))); s.on('error', (e) => end(e.code)); setTimeout(() => end('nobody'), 1000);`,
    ).trim();
  await fixture.answerAt('gw1', EGRESS);
  expect(localRoutes('gw1')).not.toContain(EGRESS6);
  expect(reached(NODES6.gw1)).toBe('here');
  expect(reached(EGRESS6)).not.toBe('here');
  run('gw1', 'ip', 'link', 'set', 'eth0', 'down');
  run('gw1', 'ip', 'link', 'set', 'eth0', 'up');
  for (const line of uplinkLines('gw1')) run('gw1', 'ip', ...line.split(' '));
  await expect.poll(answers, { timeout: 10_000 }).toBe(true);
  expect(localRoutes('gw1')).not.toContain(EGRESS6);
  expect(reached(EGRESS6)).not.toBe('here');
  listener.stop();
});

test('many at once are answered for without a local route', async () => {
  const many = Array.from({ length: 30 }, (_, index) => address(`2001:db8::2:${(index + 1).toString(16)}`));
  const { gate } = fixture.plane('gw1');
  await Promise.all(many.map((egress) => gate.arm(egress, SESSION)));
  await expect.poll(() => pingable('gw1').match(/2001:db8::2:/g)?.length, { timeout: 5_000 }).toBe(30);
  expect(localRoutes('gw1')).not.toContain('2001:db8::2:');
});

test('cleaning up leaves no trace, also of what a process before held', async () => {
  const traces = (): string =>
    [
      run('gw1', 'ip', '-6', 'route', 'show', 'table', 'all'),
      run('gw1', 'ip', 'neigh', 'show', 'proxy'),
      run('gw1', 'ip', '-6', 'addr', 'show', 'dev', 'eth0'),
      run('gw1', 'nft', '--stateless', 'list', 'set', 'netdev', 'sallyport_guard', 'guarded6'),
      run('gw1', 'nft', '--stateless', 'list', 'map', 'netdev', 'sallyport_guard', 'address_session6'),
    ]
      .join('')
      .replace(/ valid_lft.*|\s+preferred_lft.*/g, '');
  const before = traces();
  await fixture.answerAt('gw1', EGRESS);
  expect(await fixture.plane('gw1').gate.guard([EGRESS, address('2001:db8::101')])).toEqual(OK);
  expect(traces()).not.toBe(before);
  const { gate } = await fixture.restart('gw1');
  expect(await gate.flush()).toEqual(OK);
  expect(await gate.guard([])).toEqual(OK);
  expect(traces()).toBe(before);
});
