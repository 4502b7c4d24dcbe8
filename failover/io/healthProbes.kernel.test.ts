/** A gateway's health as its agent sees it: in the gateway's network namespace, with a router and a host behind it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createDataPlaneLab,
  type DataPlaneLab,
  type LabProgram,
  NODES,
  OUTSIDE,
} from '../../test/lab/dataPlaneLab.ts';
import type { Health } from '../core/agent/health.ts';

const ROUTER = '203.0.113.1';
const EGRESS = '203.0.113.10';
const MODULES = [
  './healthProbes.ts',
  '../../runtime/logger.ts',
  '../readHealthSettings.ts',
  '../../runtime/readEnv.ts',
];
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

/** The agent's health alone; a line whenever it changes, in JSON. */
function startGateway(probes: readonly unknown[]): LabProgram {
  const urls = JSON.stringify(MODULES.map((module) => new URL(module, import.meta.url).href));
  const settings = JSON.stringify({ HEALTH_PROBES: JSON.stringify(probes) });
  return lab.program(
    'gw1',
    `(async () => {
      const [health, log, settings, env] = await Promise.all(${urls}.map((url) => import(url)));
      const view = { nodes: new Map([['gw1', { labels: {} }]]), gatewayNodes: new Map() };
      health.startHealthProbes({
        node: 'gw1', uplink: 'eth0', address: '${NODES.gw1}',
        settings: env.readEnv(${settings}, settings.readHealthSettings).value,
        observed: { nextHops: [{ address: '${ROUTER}', interfaceName: 'eth0' }] },
        isGateway: () => true,
        onHealth: (health) => console.log(JSON.stringify(health)),
        logger: log.createLogger({ program: 'test', level: 'error' }),
      }).viewed(view);
    })()`,
  );
}

/** The next word that has these reasons; those before it are passed over, as several checks fail one after the other. */
async function until(gateway: LabProgram, ...reasons: readonly string[]): Promise<Health> {
  const line = await gateway.line(
    new RegExp(`"reasons":${JSON.stringify(reasons).replace(/[[\]]/g, '\\$&')}`),
  );
  return JSON.parse(line) as Health; // What the program above prints.
}

const quick = { intervalSeconds: 1, timeoutSeconds: 1, failures: 1, successes: 1 };
const web = { name: 'web', type: 'http', target: OUTSIDE, port: PORT, path: '/live', ...quick };

test('a next hop that answers no ARP any more makes the gateway unhealthy, although its carrier stays', async () => {
  const gateway = startGateway([]);
  await until(gateway);
  lab.run('rtr', 'ip', 'link', 'set', 'eth0', 'arp', 'off');
  expect(await until(gateway, 'NextHopSilent')).toEqual({
    healthy: false,
    reasons: ['NextHopSilent'],
    message: `the next hop ${ROUTER}: no answer to ARP within 1000 ms`,
  });
  lab.run('rtr', 'ip', 'link', 'set', 'eth0', 'arp', 'on');
  await until(gateway);
  gateway.stop();
});

test('an uplink whose cable is pulled has no carrier, and is healthy once it has been back for a while', async () => {
  const gateway = startGateway([]);
  await until(gateway);
  lab.run('sw', 'ip', 'link', 'set', 'gw1', 'down');
  expect(await until(gateway, 'NoCarrier')).toMatchObject({
    healthy: false,
    message: expect.stringContaining('the uplink eth0: it has no carrier'),
  });
  lab.run('sw', 'ip', 'link', 'set', 'gw1', 'up');
  await until(gateway);
  lab.run('gw1', 'ip', 'link', 'set', 'eth0', 'down');
  expect((await until(gateway, 'NoCarrier')).message).toContain('the uplink eth0: it is down');
  lab.run('gw1', 'ip', 'link', 'set', 'eth0', 'up');
  lab.run('gw1', 'ip', 'route', 'replace', 'default', 'via', ROUTER);
  await until(gateway);
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
  await until(gateway);
  expect(await server.line(/from/)).toContain(NODES.gw1);
  server.stop();
  expect((await until(gateway, 'ProbeFailed')).message).toMatch(
    /^the probe (web|port) \((http|tcp) .*ECONNREFUSED/,
  );
  gateway.stop();
});
