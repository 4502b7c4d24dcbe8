/** A gateway's health where IPv6 is forwarded, and where the node has nothing else. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  createDataPlaneLab,
  type DataPlaneLab,
  type LabProgram,
  NODES,
  NODES6,
  OUTSIDE,
  OUTSIDE6,
} from '../../test/lab/dataPlaneLab.ts';
import { type HealthGateway, startHealthGateway } from '../../test/lab/healthGateway.ts';

const ROUTER = 'fe80::1';
const EGRESS = '203.0.113.100';
const EGRESS6 = '2001:db8::100';
const PORT = 8080;
const quick = { intervalSeconds: 1, timeoutSeconds: 1, failures: 1, successes: 1 };
const web = { name: 'web', type: 'http', target: OUTSIDE6, port: PORT, path: '/', ...quick };

let lab: DataPlaneLab;
let server: LabProgram;
let gateway: HealthGateway | undefined;
const run = (place: string, ...command: readonly string[]): string => lab.run(place, ...command);
beforeAll(async () => {
  lab = createDataPlaneLab('health6');
  run('rtr', 'ip', 'addr', 'add', `${ROUTER}/64`, 'dev', 'eth0', 'nodad');
  run('gw1', 'ip', 'addr', 'add', 'fe80::11/64', 'dev', 'eth0', 'nodad');
  run('gw1', 'ip', 'route', 'replace', '::/0', 'via', ROUTER, 'dev', 'eth0');
  server = lab.program(
    'ext',
    `require('node:http').createServer((q, a) => a.end()).on('request', (q) => console.log('from', q.socket.remoteAddress))
       .listen(${PORT}, '::', () => console.log('ready'));`,
  );
  await server.line(/ready/);
});
afterAll(() => lab.down());
afterEach(() => gateway?.stop());

const start = (self: string, probes: readonly unknown[]): HealthGateway => {
  gateway = startHealthGateway(lab, { self, probes });
  return gateway;
};
const deafen = (): string =>
  run(
    'rtr',
    'nft',
    'add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; add rule inet deaf in icmpv6 type nd-neighbor-solicit drop',
  );
const hear = (): string => run('rtr', 'nft', 'delete table inet deaf');

test('an IPv6 router that is silent makes the gateway unhealthy, but only while there is an IPv6 egress IP', async () => {
  const it = start(NODES.gw1, []);
  await it.until();
  deafen();
  it.view([EGRESS, EGRESS6]);
  expect(await it.until('NextHopSilent')).toEqual({
    healthy: false,
    reasons: ['NextHopSilent'],
    message: `the next hop ${ROUTER}: no answer to neighbour discovery within 1000 ms`,
  });
  it.view([EGRESS]);
  await it.until();
  it.view([EGRESS6]);
  await it.until('NextHopSilent');
  hear();
  await it.until();
});

test('probes of IPv6 leave from the node’s own address, whatever the route prefers, and fail when what they ask is gone', async () => {
  run('gw1', 'ip', 'addr', 'add', `${EGRESS6}/128`, 'dev', 'eth0', 'nodad');
  run('gw1', 'ip', 'route', 'add', `${OUTSIDE6}/128`, 'via', ROUTER, 'dev', 'eth0', 'src', EGRESS6);
  const it = start(NODES.gw1, [
    web,
    { name: 'ping', type: 'icmp', target: OUTSIDE6, ...quick },
    { name: 'port', type: 'tcp', target: OUTSIDE6, port: PORT, ...quick },
  ]);
  it.view([EGRESS6]);
  await it.until();
  expect(await server.line(/from/)).toBe(`from ${NODES6.gw1}`);
  run('ext', 'sysctl', '-qw', 'net.ipv6.icmp.echo_ignore_all=1');
  expect((await it.until('ProbeFailed')).message).toBe(
    `the probe ping (icmp ${OUTSIDE6}): no answer to ICMP within 1000 ms`,
  );
  run('ext', 'sysctl', '-qw', 'net.ipv6.icmp.echo_ignore_all=0');
  await it.until();
  server.stop();
  expect((await it.until('ProbeFailed')).message).toMatch(
    /^the probe (web|port) \((http|tcp) \[2001:db8:51::10\]:8080\): .*ECONNREFUSED/,
  );
  run('gw1', 'ip', 'route', 'del', `${OUTSIDE6}/128`);
  run('gw1', 'ip', 'addr', 'del', `${EGRESS6}/128`, 'dev', 'eth0');
});

test('a node without IPv4 checks its IPv6 router without any egress IP, and IPv4 probes of it count for nothing', async () => {
  run('gw1', 'ip', '-4', 'addr', 'flush', 'dev', 'eth0');
  const it = start(NODES6.gw1, [
    { name: 'ping', type: 'icmp', target: OUTSIDE6, ...quick },
    { name: 'old', type: 'icmp', target: OUTSIDE, ...quick },
  ]);
  await it.until();
  expect(await it.unmade()).toContain('no IPv4 address of its own on eth0');
  deafen();
  expect(await it.until('NextHopSilent')).toMatchObject({ reasons: ['NextHopSilent'] });
  hear();
  await it.until();
});
