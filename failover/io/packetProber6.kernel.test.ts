/** Neighbour discovery and ICMPv6 between network namespaces: a gateway, its router, and a host behind it. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  createDataPlaneLab,
  type DataPlaneLab,
  NODES,
  NODES6,
  OUTSIDE,
  OUTSIDE6,
} from '../../test/lab/dataPlaneLab.ts';
import { createPacketProber, type PacketProber } from './packetProber.ts';

const LINK_LOCAL = 'fe80::11';
const ROUTER = 'fe80::1';
const ROUTER_GLOBAL = '2001:db8::1';
const SILENT = 'fe80::99';
const EGRESS6 = '2001:db8::100';
/** Long enough for a busy machine; what must run into it has a short one. */
const PATIENT_MS = 10_000;
const SHORT_MS = 300;
const OK = { kind: 'ok' } as const;

let lab: DataPlaneLab;
let prober: PacketProber;
const run = (place: string, ...command: readonly string[]): string => lab.run(place, ...command);
beforeAll(() => {
  lab = createDataPlaneLab('prober6');
  run('rtr', 'ip', 'addr', 'add', `${ROUTER}/64`, 'dev', 'eth0', 'nodad');
  run('gw1', 'ip', 'addr', 'add', `${LINK_LOCAL}/64`, 'dev', 'eth0', 'nodad');
});
afterAll(() => lab.down());
beforeEach(() => {
  prober = createPacketProber({ execPrefix: lab.prefix('gw1'), uplink: 'eth0', identifier: 0xbeef });
});
afterEach(() => prober.close());

type Asked = ReturnType<PacketProber['ask']>;
const solicit = (target: string, timeoutMs: number): Asked =>
  prober.ask('nd', target, { from: LINK_LOCAL, timeoutMs });
const ping = (target: string, timeoutMs: number, from: string = NODES6.gw1): Asked =>
  prober.ask('icmp', target, { from, timeoutMs });
/** A chain at the place's uplink, gone with its table. */
const listen = (place: string, rules: readonly string[], family = 'netdev'): void => {
  const chain =
    family === 'netdev'
      ? '{ type filter hook ingress device eth0 priority 0; }'
      : '{ type filter hook input priority 0; }';
  const lines = rules.map((rule) => `add rule ${family} ear in ${rule}`);
  run(place, 'nft', [`add table ${family} ear`, `add chain ${family} ear in ${chain}`, ...lines].join('; '));
};
const ignore = (place: string, family = 'netdev'): string => run(place, 'nft', `delete table ${family} ear`);
const counted = (place: string): readonly number[] =>
  [...run(place, 'nft', 'list', 'table', 'netdev', 'ear').matchAll(/counter packets (\d+)/g)].map(([, n]) =>
    Number(n),
  );

test.each([ROUTER, ROUTER_GLOBAL])(
  'the next hop %s is there when it answers, and silent when it does not',
  async (router) => {
    expect(await solicit(router, PATIENT_MS)).toEqual(OK);
    listen('rtr', ['icmpv6 type nd-neighbor-solicit drop'], 'inet');
    expect(await solicit(router, SHORT_MS)).toEqual({
      kind: 'failed',
      detail: `no answer to neighbour discovery within ${SHORT_MS} ms`,
    });
    ignore('rtr', 'inet');
    expect(await solicit(router, PATIENT_MS)).toEqual(OK);
  },
);

test('it is asked as RFC 4861 has it: who listens for the address, from one hop away, with the way back', async () => {
  const mac = run('gw1', 'cat', '/sys/class/net/eth0/address').trim().replaceAll(':', '');
  listen('rtr', [
    'icmpv6 type nd-neighbor-solicit @th,64,128 0xfe800000000000000000000000000001 counter',
    `ether daddr 33:33:ff:00:00:01 ip6 saddr ${LINK_LOCAL} ip6 daddr ff02::1:ff00:1 ip6 hoplimit 255 icmpv6 type nd-neighbor-solicit icmpv6 code 0 @th,192,16 0x0101 @th,208,48 0x${mac} counter`,
  ]);
  expect(await solicit(ROUTER, PATIENT_MS)).toEqual(OK);
  const [all, proper] = counted('rtr');
  expect(all).toBeGreaterThan(0);
  expect(proper).toBe(all);
  ignore('rtr');
});

test('the kernel’s own neighbour table is neither asked nor written', async () => {
  run('gw1', 'ip', '-6', 'neigh', 'flush', 'all');
  expect(await solicit(ROUTER, PATIENT_MS)).toEqual(OK);
  expect(run('gw1', 'ip', '-6', 'neigh', 'show', ROUTER)).toBe('');
  run('gw1', 'ip', 'neigh', 'replace', SILENT, 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0');
  expect((await solicit(SILENT, SHORT_MS)).kind).toBe('failed');
  run('gw1', 'ip', 'neigh', 'del', SILENT, 'dev', 'eth0');
});

/** Arguments: who is told, the address that it is about, and the flags' octet. */
const ADVERTISE = `use strict; use Socket qw(:DEFAULT inet_pton AF_INET6 pack_sockaddr_in6); my ($to, $about, $flags) = @ARGV;
open(my $file, '<', '/sys/class/net/eth0/ifindex') or die; my $index = <$file>; socket(my $socket, AF_INET6, SOCK_RAW, 58) or die "socket: $!";
setsockopt($socket, 41, $_, pack('i', 255)) or die "hops: $!" for 16, 18;
my $message = pack('C C n C x3 a16 C C a6', 136, 0, 0, $flags, inet_pton(AF_INET6, $about), 2, 1, "\\x02\\0\\0\\0\\0\\x99");
send($socket, $message, 0, pack_sockaddr_in6(0, inet_pton(AF_INET6, $to), $index)) or die "send: $!";`;
const SOLICITED = 0x40;
const OVERRIDE = 0x20;

test.each([
  { name: 'a solicited one about the address that was asked for', flags: SOLICITED, believed: true },
  { name: 'one that nobody solicited', flags: OVERRIDE, believed: false },
  { name: 'one that nobody solicited, to all', to: 'ff02::1', flags: OVERRIDE, believed: false },
  { name: 'a solicited one about another address', about: 'fe80::98', flags: SOLICITED, believed: false },
  {
    name: 'one about the global address of the same end',
    about: '2001:db8::99',
    flags: SOLICITED,
    believed: false,
  },
])(
  'of advertisements is believed: $name: $believed',
  async ({ to = LINK_LOCAL, about = SILENT, flags, believed }) => {
    listen('gw1', ['icmpv6 type nd-neighbor-advert counter']);
    listen('w1', [`icmpv6 type nd-neighbor-solicit @th,64,128 0xfe800000000000000000000000000099 counter`]);
    const asked = solicit(SILENT, believed ? PATIENT_MS : 4 * SHORT_MS);
    await expect.poll(() => counted('w1')[0], { timeout: PATIENT_MS }).toBeGreaterThan(0);
    run('w1', 'perl', '-e', ADVERTISE, to, about, String(flags));
    await expect.poll(() => counted('gw1')[0], { timeout: PATIENT_MS }).toBeGreaterThan(0);
    expect((await asked).kind).toBe(believed ? 'ok' : 'failed');
    for (const place of ['gw1', 'w1']) ignore(place);
  },
);

test('a host that answers a ping is there; one that does not, or that no route leads to, fails', async () => {
  expect(await ping(OUTSIDE6, PATIENT_MS)).toEqual(OK);
  run('ext', 'sysctl', '-qw', 'net.ipv6.icmp.echo_ignore_all=1');
  expect(await ping(OUTSIDE6, SHORT_MS)).toEqual({
    kind: 'failed',
    detail: `no answer to ICMP within ${SHORT_MS} ms`,
  });
  run('ext', 'sysctl', '-qw', 'net.ipv6.icmp.echo_ignore_all=0');
  run('gw1', 'ip', 'route', 'add', 'unreachable', '2001:db8:99::1');
  expect(await ping('2001:db8:99::1', PATIENT_MS)).toEqual({ kind: 'failed', detail: 'No route to host' });
});

test('pings leave from the node’s own address, whatever the route prefers', async () => {
  run('gw1', 'ip', 'addr', 'add', `${EGRESS6}/128`, 'dev', 'eth0', 'nodad');
  run('gw1', 'ip', 'route', 'add', `${OUTSIDE6}/128`, 'via', ROUTER_GLOBAL, 'src', EGRESS6);
  listen('rtr', [`ip6 saddr ${EGRESS6} icmpv6 type echo-request drop`]);
  expect(lab.attempt('gw1', 'ping', '-c1', '-W1', OUTSIDE6).code).not.toBe(0);
  expect(await ping(OUTSIDE6, PATIENT_MS)).toEqual(OK);
  ignore('rtr');
  run('gw1', 'ip', 'route', 'del', `${OUTSIDE6}/128`);
  run('gw1', 'ip', 'addr', 'del', `${EGRESS6}/128`, 'dev', 'eth0');
});

test('where the address changes that is asked from, the next question leaves from the new one', async () => {
  const other = '2001:db8::1234';
  run('gw1', 'ip', 'addr', 'add', `${other}/64`, 'dev', 'eth0', 'nodad');
  listen('rtr', [`ip6 saddr ${other} icmpv6 type echo-request counter`]);
  expect(await ping(OUTSIDE6, PATIENT_MS)).toEqual(OK);
  expect(counted('rtr')).toEqual([0]);
  expect(await ping(OUTSIDE6, PATIENT_MS, other)).toEqual(OK);
  expect(counted('rtr')).toEqual([1]);
  run('gw1', 'ip', 'addr', 'del', `${other}/64`, 'dev', 'eth0');
  expect(await ping(OUTSIDE6, PATIENT_MS)).toEqual(OK);
  expect(counted('rtr')).toEqual([1]);
  ignore('rtr');
});

test('an address that is not there, or not any more, says nothing about who would be asked', async () => {
  const why = 'Cannot assign requested address';
  const passing = { global: '2001:db8::4321', link: 'fe80::4321' } as const;
  for (const it of Object.values(passing))
    run('gw1', 'ip', 'addr', 'add', `${it}/64`, 'dev', 'eth0', 'nodad');
  const neighbour = (): Asked => prober.ask('nd', ROUTER, { from: passing.link, timeoutMs: PATIENT_MS });
  expect([await ping(OUTSIDE6, PATIENT_MS, passing.global), await neighbour()]).toEqual([OK, OK]);
  for (const it of Object.values(passing)) run('gw1', 'ip', 'addr', 'del', `${it}/64`, 'dev', 'eth0');
  expect((await ping(OUTSIDE6, SHORT_MS, passing.global)).kind).toBe('unknown');
  expect((await neighbour()).kind).toBe('unknown');
  expect(await ping(OUTSIDE6, PATIENT_MS, '2001:db8::1234')).toEqual({
    kind: 'unknown',
    detail: `no ICMP socket: ${why}`,
  });
  expect(await prober.ask('nd', ROUTER, { from: 'fe80::1234', timeoutMs: PATIENT_MS })).toEqual({
    kind: 'unknown',
    detail: `no ICMPv6 socket: ${why}`,
  });
});

test('many of both families at once are answered each with its own outcome', async () => {
  const outcomes = [
    ping(OUTSIDE6, 1000),
    ping('2001:db8::98', 1000),
    ping(OUTSIDE, 1000, NODES.gw1),
    ping(NODES6.w1, 1000),
    solicit(ROUTER, 1000),
    solicit(SILENT, 1000),
    solicit(ROUTER_GLOBAL, 1000),
    prober.ask('arp', NODES.gw2, { from: NODES.gw1, timeoutMs: 1000 }),
    solicit(NODES6.gw2, 1000),
  ];
  const kinds = (await Promise.all(outcomes)).map(({ kind }) => kind);
  expect(kinds).toEqual(['ok', 'failed', 'ok', 'ok', 'ok', 'failed', 'ok', 'ok', 'ok']);
});

test('a device that is made anew is asked through', async () => {
  expect(await solicit(ROUTER, PATIENT_MS)).toEqual(OK);
  run('gw1', 'ip', 'link', 'del', 'eth0');
  expect(await solicit(ROUTER, PATIENT_MS)).toEqual({
    kind: 'unknown',
    detail: 'eth0 is no Ethernet device',
  });
  const [switchNamespace = ''] = lab.prefix('sw').slice(-1);
  const peer = ['peer', 'name', 'gw1', 'netns', switchNamespace];
  run('gw1', 'ip', 'link', 'add', 'eth0', 'type', 'veth', ...peer);
  run('sw', 'ip', 'link', 'set', 'gw1', 'master', 'br0', 'up');
  run('gw1', 'ip', 'link', 'set', 'eth0', 'up');
  run('gw1', 'ip', 'addr', 'add', `${LINK_LOCAL}/64`, 'dev', 'eth0', 'nodad');
  expect(await solicit(ROUTER, PATIENT_MS)).toEqual(OK);
});
