/** What a gateway's health follows from, without a kernel of its own: a folder for the devices, servers on loopback. */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
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
import { soleUplink } from '../core/uplinks.ts';
import { type HealthProbes, startHealthProbes } from './healthProbes.ts';

const LOOPBACK = makeAddress(4, 0x7f000001n);
/** On no device. */
const ELSEWHERE = makeAddress(4, 0xcb007163n);

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
    egressIps: new Map(),
  };
  return known as unknown as AgentView; // Nothing else of it is looked at.
}

function observedWith(...own: readonly string[]): ObservedNode {
  const ownAddresses = own.map((address) => ({
    address,
    prefix: 8,
    dynamic: false,
    interfaceName: 'eth0',
  }));
  const observed: Pick<ObservedNode, 'nextHops' | 'ownAddresses' | 'uplinks'> = {
    nextHops: [],
    ownAddresses,
    uplinks: soleUplink('eth0'),
  };
  return observed as ObservedNode; // Nothing else of it is looked at.
}

function start(
  settings: readonly HealthProbe[],
  change: Partial<Parameters<typeof startHealthProbes>[0]> = {},
): HealthProbes {
  probes = startHealthProbes({
    node: 'gw-1',
    uplink: 'eth0',
    address: LOOPBACK,
    settings: { probes: settings, nextHopCheck: true },
    observed: observedWith('127.0.0.1'),
    isGateway: () => gateway,
    onHealth: (health) => {
      said.push(health);
      wake();
    },
    logger: createLogger({ program: 'test', level: 'error' }),
    sysClassNet: folder,
    ...change,
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

/** A gateway that is known by an address which it does not have, and what its log says of checks that were not made. */
function startElsewhere(settings: readonly HealthProbe[], own: readonly string[]) {
  const lines: string[] = [];
  const started = startHealthProbes({
    node: 'gw-1',
    uplink: 'eth0',
    address: ELSEWHERE,
    settings: { probes: settings, nextHopCheck: false },
    observed: observedWith(...own),
    isGateway: () => true,
    onHealth: (health) => {
      said.push(health);
      wake();
    },
    logger: createLogger({
      program: 'test',
      level: 'warn',
      write: (line) => {
        if (line.includes('a health check could not be made')) lines.push(line);
        wake();
      },
    }),
    sysClassNet: folder,
  });
  probes = started;
  const logged = new Promise<void>((resolve) => {
    wake = resolve;
  });
  started.viewed(view());
  return { started, lines, logged };
}

test.each([
  { name: 'from an address that is not there', own: ['203.0.113.99'], why: 'EADDRNOTAVAIL' },
  { name: 'from no address of its family', own: ['fd00::1'], why: 'no IPv4 address of its own on eth0' },
])('a check that cannot be made, $name, is said once in the log, and is no failure', async ({ own, why }) => {
  const { lines, logged } = startElsewhere([tcp(await listen())], own);
  await logged;
  carrier('0\n');
  await until('NoCarrier');
  expect(said.map((health) => health?.reasons)).toEqual([[], ['NoCarrier']]);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(why);
});

test('a check that goes on is made from the address that the node has by then', async () => {
  const port = await listen();
  const { started, logged } = startElsewhere([tcp(port)], ['203.0.113.99']);
  await logged;
  const from = new Promise<string | undefined>((resolve) => {
    servers[0]?.once('connection', ({ remoteAddress }) => resolve(remoteAddress));
  });
  started.observed(observedWith('127.0.0.2'));
  expect(await from).toBe('127.0.0.2');
});

test('what asks on a card is there as long as something is asked there', async () => {
  const file = path.join(folder, 'program');
  const program = `trap 'echo ended > ${file}; exit' TERM; echo began > ${file}; while :; do sleep 0.05; done`;
  const nextHops = [{ address: '203.0.113.1', interfaceName: 'eth0' }];
  const observed = { ...observedWith('127.0.0.1'), nextHops };
  const started = start([], { observed, execPrefix: ['sh', '-c', program] });
  started.viewed(view());
  await saying(file, 'began');
  started.observed(observedWith('127.0.0.1'));
  await saying(file, 'ended');
});

function saying(file: string, word: string): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!existsSync(file) || readFileSync(file, 'utf8').trim() !== word) return;
      watcher.close();
      resolve();
    };
    const watcher = watch(path.dirname(file), look);
    look();
  });
}
