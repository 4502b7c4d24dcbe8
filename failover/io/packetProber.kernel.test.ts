/** ARP and ICMP between network namespaces: a gateway, its router, and a host behind it. */
import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createDataPlaneLab, type DataPlaneLab, NODES, OUTSIDE } from '../../test/lab/dataPlaneLab.ts';
import { createPacketProber, type PacketProber } from './packetProber.ts';

const ROUTER = '203.0.113.1';
const EGRESS = '203.0.113.10';
/** Long enough for a busy machine; what must run into it has a short one. */
const PATIENT_MS = 10_000;
const SHORT_MS = 300;

let lab: DataPlaneLab;
let prober: PacketProber;
beforeAll(() => {
  lab = createDataPlaneLab('prober');
});
afterAll(() => lab.down());
beforeEach(() => {
  prober = createPacketProber({
    execPrefix: lab.prefix('gw1'),
    uplink: 'eth0',
    identifier: 0xbeef,
  });
});
afterEach(() => prober.close());

const ask = (kind: 'arp' | 'icmp', target: string, timeoutMs: number): ReturnType<PacketProber['ask']> =>
  prober.ask(kind, target, { from: NODES.gw1, timeoutMs });

test('a next hop that answers is there, and one that does not is silent', async () => {
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
  lab.run('rtr', 'ip', 'link', 'set', 'eth0', 'arp', 'off');
  expect(await ask('arp', ROUTER, SHORT_MS)).toEqual({
    kind: 'failed',
    detail: `no answer to ARP within ${SHORT_MS} ms`,
  });
  lab.run('rtr', 'ip', 'link', 'set', 'eth0', 'arp', 'on');
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
});

test('the kernel’s own neighbour table is neither asked nor written', async () => {
  lab.run('gw1', 'ip', 'neigh', 'flush', 'all');
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
  expect(lab.run('gw1', 'ip', 'neigh', 'show', ROUTER)).toBe('');
  lab.run('gw1', 'ip', 'neigh', 'replace', '203.0.113.99', 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0');
  expect((await ask('arp', '203.0.113.99', SHORT_MS)).kind).toBe('failed');
});

test('a gratuitous answer proves one direction only, and is none', async () => {
  const silent = '203.0.113.99';
  const shout = `use Socket; socket(my $s, 17, 3, 0); open(my $f, '<', '/sys/class/net/eth0/ifindex'); my $i = <$f>;
    my ($all, $hw, $ip) = ("\\xff" x 6, "\\x02\\0\\0\\0\\0\\x63", inet_aton('${silent}'));
    send($s, $all . $hw . pack('n n n C C n', 0x0806, 1, 0x0800, 6, 4, 2) . $hw . $ip . $all . $ip, 0,
      pack('S n i S C C a8', 17, 0x0806, $i, 1, 0, 6, $all)) or die $!`;
  lab.run(
    'gw1',
    'nft',
    `add table netdev ear; add chain netdev ear in { type filter hook ingress device eth0 priority 0; }; add rule netdev ear in arp operation reply arp saddr ip ${silent} counter`,
  );
  // The process runs and listens before it is shouted at.
  expect(await ask('icmp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
  const asked = ask('arp', silent, SHORT_MS);
  lab.run('w1', 'perl', '-e', shout);
  expect(lab.run('gw1', 'nft', 'list', 'table', 'netdev', 'ear')).toContain('counter packets 1');
  expect((await asked).kind).toBe('failed');
  lab.run('gw1', 'nft', 'delete table netdev ear');
});

test('a host that answers a ping is there; one that does not, or that no route leads to, fails', async () => {
  expect(await ask('icmp', OUTSIDE, PATIENT_MS)).toEqual({ kind: 'ok' });
  lab.run('ext', 'sysctl', '-qw', 'net.ipv4.icmp_echo_ignore_all=1');
  expect(await ask('icmp', OUTSIDE, SHORT_MS)).toEqual({
    kind: 'failed',
    detail: `no answer to ICMP within ${SHORT_MS} ms`,
  });
  lab.run('ext', 'sysctl', '-qw', 'net.ipv4.icmp_echo_ignore_all=0');
  lab.run('gw1', 'ip', 'route', 'add', 'unreachable', '192.0.2.1');
  expect(await ask('icmp', '192.0.2.1', PATIENT_MS)).toEqual({
    kind: 'failed',
    detail: 'No route to host',
  });
});

test('pings leave from the node’s own address, whatever the route prefers', async () => {
  lab.run('gw1', 'ip', 'addr', 'add', `${EGRESS}/32`, 'dev', 'eth0', 'noprefixroute');
  lab.run('gw1', 'ip', 'route', 'add', `${OUTSIDE}/32`, 'via', ROUTER, 'src', EGRESS);
  lab.run(
    'rtr',
    'nft',
    `add table ip judge; add chain ip judge in { type filter hook prerouting priority 0; }; add rule ip judge in ip saddr ${EGRESS} drop`,
  );
  expect(lab.attempt('gw1', 'ping', '-c1', '-W1', OUTSIDE).code).not.toBe(0);
  expect(await ask('icmp', OUTSIDE, PATIENT_MS)).toEqual({ kind: 'ok' });
  lab.run('rtr', 'nft', 'delete table ip judge');
  lab.run('gw1', 'ip', 'route', 'del', `${OUTSIDE}/32`);
});

test('many at once are answered each with its own outcome', async () => {
  const targets = [OUTSIDE, '203.0.113.98', ROUTER, OUTSIDE, NODES.w1];
  const asked = targets.map((target) => ask('icmp', target, 1000));
  const arp = [ROUTER, NODES.gw2, '203.0.113.97'].map((target) => ask('arp', target, 1000));
  const kinds = (await Promise.all([...asked, ...arp])).map(({ kind }) => kind);
  expect(kinds).toEqual(['ok', 'failed', 'ok', 'ok', 'ok', 'ok', 'ok', 'failed']);
});

test('a device that is down fails, one that is made anew is asked through, one that is gone is no word', async () => {
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
  lab.run('gw1', 'ip', 'link', 'set', 'eth0', 'down');
  expect((await ask('arp', ROUTER, SHORT_MS)).kind).toBe('failed');
  lab.run('gw1', 'ip', 'link', 'del', 'eth0');
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({
    kind: 'unknown',
    detail: 'eth0 is no Ethernet device',
  });
  const [switchNamespace] = lab.prefix('sw').slice(-1);
  lab.run(
    'gw1',
    'ip',
    'link',
    'add',
    'eth0',
    'type',
    'veth',
    'peer',
    'name',
    'gw1',
    'netns',
    `${switchNamespace}`,
  );
  lab.run('sw', 'ip', 'link', 'set', 'gw1', 'master', 'br0', 'up');
  lab.run('gw1', 'ip', 'link', 'set', 'eth0', 'up');
  lab.run('gw1', 'ip', 'addr', 'add', `${NODES.gw1}/24`, 'dev', 'eth0');
  lab.run('gw1', 'ip', 'route', 'add', 'default', 'via', ROUTER);
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
  expect(await ask('icmp', OUTSIDE, PATIENT_MS)).toEqual({ kind: 'ok' });
});

test('what was asked of a process that is killed is unknown, and the next has another', async () => {
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
  const namespace = lab.prefix('gw1').at(-1) ?? '';
  const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map(Number);
  const asked = ask('arp', '203.0.113.96', PATIENT_MS);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  expect((await asked).kind).toBe('unknown');
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
});

test('a process that stands still has asked nothing: that is no word about the next hop', async () => {
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
  const namespace = lab.prefix('gw1').at(-1) ?? '';
  const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map(Number);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  expect(await ask('arp', ROUTER, SHORT_MS)).toEqual({
    kind: 'unknown',
    detail: `not asked within ${SHORT_MS} ms`,
  });
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  expect(await ask('arp', ROUTER, PATIENT_MS)).toEqual({ kind: 'ok' });
});

test('no Perl: no word', async () => {
  const none = createPacketProber({
    execPrefix: ['/nowhere'],
    uplink: 'eth0',
    identifier: 1,
  });
  const options = { from: NODES.gw1, timeoutMs: PATIENT_MS };
  expect((await none.ask('arp', ROUTER, options)).kind).toBe('unknown');
  none.close();
});
