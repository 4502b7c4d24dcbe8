/** What a gateway's health follows from, without a kernel of its own: a folder for the devices, servers on loopback. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeAddress } from '../../policy/address.ts';
import { createLogger } from '../../runtime/logger.ts';
import type { AgentView } from '../core/agent/agentView.ts';
import type { Health } from '../core/agent/health.ts';
import type { HealthProbe } from '../core/agent/healthChecks.ts';
import type { ObservedNode } from '../core/agent/reportNode.ts';
import { type HealthProbes, startHealthProbes } from './healthProbes.ts';

const LOOPBACK = makeAddress(4, 0x7f000001n);

let folder: string;
let said: (Health | undefined)[];
let wake: () => void;
let probes: HealthProbes | undefined;
let servers: Server[];
let gateway: boolean;
const carrier = (text: string): void => writeFileSync(path.join(folder, 'eth0/carrier'), text);

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-health-'));
  mkdirSync(path.join(folder, 'eth0'));
  carrier('1\n');
  said = [];
  servers = [];
  gateway = true;
  wake = () => undefined;
});
afterEach(() => {
  probes?.stop();
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true });
});

function view(own?: { readonly healthy: boolean; readonly healthMessage: string }, labels = {}): AgentView {
  const known: Pick<AgentView, 'node'> & Record<string, unknown> = {
    node: 'gw-1',
    nodes: new Map([['gw-1', { labels }]]),
    gatewayNodes: new Map(own === undefined ? [] : [['gw-1', own]]),
  };
  return known as unknown as AgentView; // Nothing else of it is looked at.
}

function start(settings: readonly HealthProbe[]): HealthProbes {
  const observed: Pick<ObservedNode, 'nextHops'> = { nextHops: [] };
  probes = startHealthProbes({
    node: 'gw-1',
    uplink: 'eth0',
    address: '127.0.0.1',
    settings: { probes: settings, nextHopCheck: true },
    observed: observed as ObservedNode, // Nothing else of it is looked at.
    isGateway: () => gateway,
    onHealth: (health) => {
      said.push(health);
      wake();
    },
    logger: createLogger({ program: 'test', level: 'error' }),
    sysClassNet: folder,
  });
  return probes;
}

/** Resolves when the newest word is about these reasons. */
async function until(...reasons: readonly string[]): Promise<Health> {
  for (;;) {
    const newest = said.at(-1);
    if (newest !== undefined && newest.reasons.join() === reasons.join()) return newest;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

async function listen(port = 0): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => undefined).resume());
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port; // Of a server that listens on TCP.
}

function tcp(port: number, nodes: HealthProbe['nodes'] = { requirements: [] }): HealthProbe {
  return {
    name: 'web',
    method: { kind: 'tcp', port },
    target: LOOPBACK,
    intervalMs: 10,
    timeoutMs: 5000,
    failures: 2,
    successes: 2,
    nodes,
  };
}

test('a gateway whose carrier goes is unhealthy until it has been back for a while', async () => {
  start([]).viewed(view());
  expect(said).toEqual([{ healthy: true, reasons: [], message: '' }]);
  carrier('0\n');
  expect((await until('NoCarrier')).message).toBe('the uplink eth0: it has no carrier');
  carrier('1\n');
  expect((await until()).healthy).toBe(true);
  rmSync(path.join(folder, 'eth0'), { recursive: true });
  expect((await until('NoCarrier')).message).toBe('the uplink eth0: it is gone');
});

test('a probe fails and recovers with what it asks', async () => {
  const port = await listen();
  start([tcp(port)]).viewed(view());
  servers.pop()?.close();
  expect((await until('ProbeFailed')).message).toBe(
    `the probe web (tcp 127.0.0.1:${port}): connect ECONNREFUSED 127.0.0.1:${port}`,
  );
  await listen(port);
  await until();
});

test('a probe begins and ends with the labels that it is for', async () => {
  const port = await listen();
  servers.pop()?.close();
  const fast = tcp(port, { requirements: [{ key: 'class', operator: 'In', values: ['fast'] }] });
  start([fast]).viewed(view(undefined, { class: 'slow' }));
  await until();
  probes?.viewed(view(undefined, { class: 'fast' }));
  await until('ProbeFailed');
  probes?.viewed(view(undefined, { class: 'slow' }));
  await until();
});

test('a probe that is for other labels now is not asked any more', async () => {
  const port = await listen();
  let asked = 0;
  const first = new Promise<void>((resolve) => {
    servers[0]?.on('connection', () => {
      asked += 1;
      resolve();
    });
  });
  const fast = tcp(port, { requirements: [{ key: 'class', operator: 'In', values: ['fast'] }] });
  start([fast]).viewed(view(undefined, { class: 'fast' }));
  await first;
  probes?.viewed(view(undefined, { class: 'slow' }));
  const before = asked;
  // Half a second passes until the carrier is lost, and the probe's interval is 10 ms.
  carrier('0\n');
  await until('NoCarrier');
  expect(asked - before).toBeLessThanOrEqual(1);
});

test('what the status said of the gateway counts until every check has passed', async () => {
  const port = await listen();
  start([tcp(port)]).viewed(view({ healthy: false, healthMessage: 'the next hop: silent' }));
  expect(said).toEqual([{ healthy: false, reasons: ['Rechecking'], message: 'the next hop: silent' }]);
  await until();
  // What is written by this agent itself comes back late, and is no news.
  probes?.viewed(view({ healthy: false, healthMessage: 'the next hop: silent' }));
  carrier('0\n');
  await until('NoCarrier');
  expect(said.map((health) => health?.reasons)).toEqual([['Rechecking'], [], ['NoCarrier']]);
});

test('a node that is no gateway asks nothing and says nothing, also when it was one', async () => {
  gateway = false;
  carrier('0\n');
  start([]).viewed(view());
  expect(said).toEqual([]);
  gateway = true;
  probes?.viewed(view());
  await until('NoCarrier');
  gateway = false;
  probes?.viewed(view());
  expect(said.at(-1)).toBeUndefined();
  gateway = true;
  probes?.viewed(view());
  expect(said.at(-1)).toEqual({ healthy: true, reasons: [], message: '' });
});

test('a check that cannot be made is said once in the log, and is no failure', async () => {
  const lines: string[] = [];
  const port = await listen();
  probes = startHealthProbes({
    node: 'gw-1',
    uplink: 'eth0',
    address: '203.0.113.99',
    settings: { probes: [tcp(port)], nextHopCheck: false },
    observed: { nextHops: [] } as unknown as ObservedNode, // Nothing else of it is looked at.
    isGateway: () => true,
    onHealth: (health) => said.push(health),
    logger: createLogger({
      program: 'test',
      level: 'warn',
      write: (line) => {
        lines.push(line);
        wake();
      },
    }),
    sysClassNet: folder,
  });
  const logged = new Promise<void>((resolve) => {
    wake = resolve;
  });
  probes.viewed(view());
  await logged;
  carrier('0\n');
  await until('NoCarrier');
  expect(said.at(-1)?.reasons).toEqual(['NoCarrier']);
  expect(lines.filter((line) => line.includes('a health check could not be made'))).toHaveLength(1);
});
