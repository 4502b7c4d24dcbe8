/** A gateway's health as its agent sees it: in the gateway's network namespace, with a router and a host behind it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createDataPlaneLab,
  type DataPlaneLab,
  type LabProgram,
  NODES,
  OUTSIDE,
} from '../../test/lab/dataPlaneLab.ts';
import { type HealthGateway, startHealthGateway } from '../../test/lab/healthGateway.ts';

const ROUTER = '203.0.113.1';
const EGRESS = '203.0.113.10';
const PORT = 8080;

let lab: DataPlaneLab;
let server: LabProgram;
beforeAll(async () => {
  lab = createDataPlaneLab('health');
  server = lab.program(
    'ext',
    `require('node:http').createServer((q, a) => a.writeHead(q.url === '/live' ? 200 : 500).end(q.socket.remoteAddress + '\\n'))
       .on('request', (q) => console.log('from', q.socket.remoteAddress)).listen(${PORT}, () => console.log('ready'));`,
  );
  await server.line(/ready/);
});
afterAll(() => lab.down());

const startGateway = (probes: readonly unknown[]): HealthGateway =>
  startHealthGateway(lab, { self: NODES.gw1, probes });

const quick = { intervalSeconds: 1, timeoutSeconds: 1, failures: 1, successes: 1 };
const web = { name: 'web', type: 'http', target: OUTSIDE, port: PORT, path: '/live', ...quick };

test('a next hop that answers no ARP any more makes the gateway unhealthy, although its carrier stays', async () => {
  const gateway = startGateway([]);
  await gateway.until();
  lab.run('rtr', 'ip', 'link', 'set', 'eth0', 'arp', 'off');
  expect(await gateway.until('NextHopSilent')).toEqual({
    healthy: false,
    reasons: ['NextHopSilent'],
    message: `the next hop ${ROUTER}: no answer to ARP within 1000 ms`,
  });
  lab.run('rtr', 'ip', 'link', 'set', 'eth0', 'arp', 'on');
  await gateway.until();
  gateway.stop();
});

test('an uplink whose cable is pulled has no carrier, and is healthy once it has been back for a while', async () => {
  const gateway = startGateway([]);
  await gateway.until();
  lab.run('sw', 'ip', 'link', 'set', 'gw1', 'down');
  expect(await gateway.until('NoCarrier')).toMatchObject({
    healthy: false,
    message: expect.stringContaining('the uplink eth0: it has no carrier'),
  });
  lab.run('sw', 'ip', 'link', 'set', 'gw1', 'up');
  await gateway.until();
  lab.run('gw1', 'ip', 'link', 'set', 'eth0', 'down');
  expect((await gateway.until('NoCarrier')).message).toContain('the uplink eth0: it is down');
  lab.run('gw1', 'ip', 'link', 'set', 'eth0', 'up');
  lab.run('gw1', 'ip', 'route', 'replace', 'default', 'via', ROUTER);
  await gateway.until();
  gateway.stop();
});

test('probes leave from the node’s own address, whatever the route prefers, and fail when what they ask is gone', async () => {
  lab.run('gw1', 'ip', 'addr', 'add', `${EGRESS}/32`, 'dev', 'eth0', 'noprefixroute');
  lab.run('gw1', 'ip', 'route', 'add', `${OUTSIDE}/32`, 'via', ROUTER, 'src', EGRESS);
  const gateway = startGateway([
    web,
    { name: 'ping', type: 'icmp', target: OUTSIDE, ...quick },
    { name: 'port', type: 'tcp', target: OUTSIDE, port: PORT, ...quick },
  ]);
  await gateway.until();
  expect(await server.line(/from/)).toContain(NODES.gw1);
  server.stop();
  expect((await gateway.until('ProbeFailed')).message).toMatch(
    /^the probe (web|port) \((http|tcp) .*ECONNREFUSED/,
  );
  gateway.stop();
});
