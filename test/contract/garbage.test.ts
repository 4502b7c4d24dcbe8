/**
 * Ten thousand objects of our kinds that mean nothing, written straight through a real kube-apiserver by who may: what is
 * meant is served among them, no program outgrows its limit, and nothing of them is left where they are deleted.
 */

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AgentView } from '../../failover/core/agent/agentView.ts';
import { NodePlanner } from '../../failover/core/agent/nodePlanner.ts';
import { assignmentsOf, statedRights, wordOf } from '../../failover/core/agent/ownershipInput.ts';
import { soleUplink } from '../../failover/core/uplinks.ts';
import { startAgentCaches } from '../../failover/io/agentCaches.ts';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { parseAddress } from '../../policy/address.ts';
import {
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
  type ServedKind,
} from '../../policy/names.ts';
import { createLogger } from '../../runtime/logger.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { createChartMemoryLimit, type MemoryLimit, residentPeakMiB } from '../lab/memoryLimit.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { each, namesOf } from './bulk.ts';
import { type ControllerProgram, startControllerProgram } from './controllerProgram.ts';
import {
  admittedGarbagePolicy,
  type GarbageObject,
  garbageEgressIp,
  garbageGatewayNode,
  storedGarbagePolicy,
} from './garbageObjects.ts';
import { type PlayedGateways, startPlayedGateways } from './playedGateways.ts';
import {
  createConfigurations,
  must,
  NAMESPACE,
  startWebhookProgram,
  type WebhookProgram,
  waitUntilInForce,
} from './webhookProgram.ts';

/** Each kind's part; policies cost the API server most, and the webhook once more. */
const COUNTS = { egressIps: 3300, gatewayNodes: 6000, stored: 400, admitted: 300 };
/** Of four connections each. */
const CLIENTS = 4;
const KINDS = [EGRESS_POLICY, EGRESS_IP, GATEWAY_NODE];
const GATEWAYS = { 'gw-1': '203.0.113.2', 'gw-2': '203.0.113.3' };
const [IP, SECOND_IP] = ['203.0.113.10', '203.0.113.11'];
/** Without the garbage it takes a second or two. */
const SERVED_WITHIN_MS = 20_000;
const REFUSED_WITHIN_MS = 2000;
/** The agent's thread of decisions may stand still for so long: ownership has a thread of its own. */
const STALL_MAX_MS = 1500;
const AGENT_HEAP_MAX_MIB = 256;
/** A few thousand writes on two busy processors. */
const TOLD_WITHIN_MS = 120_000;
const CRDS = path.resolve(import.meta.dirname, '../../charts/sallyport/files/crds');

const numbers = <T>(count: number, make: (at: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, at) => make(at));
const ABOUT = { address: IP, gateways: Object.keys(GATEWAYS) };
const egressIps = numbers(COUNTS.egressIps, garbageEgressIp);
const gatewayNodes = numbers(COUNTS.gatewayNodes, (at) => garbageGatewayNode(at, ABOUT));
const stored = numbers(COUNTS.stored, storedGarbagePolicy);
const admitted = numbers(COUNTS.admitted, admittedGarbagePolicy);

const logger = createLogger({ program: 'test', level: 'error' });
let api: ApiServer;
let clients: readonly KubeClient[] = [];
let gateways: PlayedGateways | undefined;
let webhook: WebhookProgram | undefined;
let controller: ControllerProgram | undefined;
let limits: { readonly controller: MemoryLimit; readonly webhook: MemoryLimit } | undefined;

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  clients = Array.from({ length: CLIENTS }, () => createRestClient(api.access, { deadlineMs: 30_000 }));
  const kubectl = (...args: readonly string[]): number | null =>
    spawnSync(path.join(api.binaries, 'kubectl'), ['--kubeconfig', api.kubeconfigPath, ...args]).status;
  expect(kubectl('apply', '-f', CRDS)).toBe(0);
  expect(kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s')).toBe(0);
  must(await client().create('/api/v1/namespaces', { metadata: { name: NAMESPACE } }));
  gateways = await startPlayedGateways({
    client: client(),
    namespace: NAMESPACE,
    gateways: GATEWAYS,
    logger,
  });
  await told('EgressIPs', egressIps, write);
  await told('GatewayNodes', gatewayNodes, write);
  await told('stored policies', stored, write);
}, 1_800_000);

afterAll(async () => {
  await gateways?.stop();
  await webhook?.stop();
  await controller?.end('SIGKILL');
  limits?.controller.remove();
  limits?.webhook.remove();
  await Promise.all(clients.map((it) => it.close()));
  await api?.stop();
});

function client(): KubeClient {
  const [first] = clients;
  if (first === undefined) throw new Error('client: there is none yet');
  return first;
}

/** Says how many a second they were. */
async function told<T>(
  what: string,
  items: readonly T[],
  act: (item: T, by: KubeClient) => Promise<KubeOutcome<unknown>>,
): Promise<void> {
  const { count, seconds } = await each(clients, items, act);
  console.log(`${what}: ${count} in ${seconds.toFixed(1)} s, ${(count / seconds).toFixed(0)}/s`);
}

async function write({ served, body, status }: GarbageObject, by: KubeClient): Promise<KubeOutcome<unknown>> {
  const made = await by.create(collectionPath(served), body);
  if (made.kind !== 'ok' || status === undefined) return made;
  return by.mergePatch(`${collectionPath(served)}/${body.metadata.name}/status`, { status });
}

interface Wire {
  readonly metadata: { readonly name: string; readonly uid: string; readonly generation: number };
  readonly spec: unknown;
  readonly status?: {
    readonly egress?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

async function read(served: ServedKind, name: string): Promise<Wire | undefined> {
  const outcome = await client().get(`${collectionPath(served)}/${name}`);
  return outcome.kind === 'ok' ? (outcome.value as Wire) : undefined;
}

const until = (what: string, holds: () => Promise<boolean>, timeoutMs: number): Promise<unknown> =>
  waitUntil(what, async () => (await holds()) || undefined, { timeoutMs });

/** Where each stands, one way or the other. */
async function areTold(): Promise<boolean> {
  const page = must(await client().get(collectionPath(EGRESS_POLICY))) as { readonly items: readonly Wire[] };
  return page.items.every(({ status }) => (status?.conditions ?? []).length >= 3);
}

async function isServed(name: string): Promise<boolean> {
  const { egress = '', conditions = [] } = (await read(EGRESS_POLICY, name))?.status ?? {};
  return egress.includes('@') && conditions.length > 0 && conditions.every(({ status }) => status === 'True');
}

/** By how much the heap of this process has grown at the most, what is to be collected included. */
function watchHeap(): { grownMiB(): number } {
  const used = (): number => process.memoryUsage().heapUsed / 2 ** 20;
  const before = used();
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, used());
  }, 10);
  return {
    grownMiB() {
      clearInterval(timer);
      return Math.round(Math.max(peak, used()) - before);
    },
  };
}

const controllerSettings = { SALLYPORT_NAMESPACE: NAMESPACE, BLOCK_QUARANTINE_SECONDS: '0' };

test('an agent reads it all without a long stall, and plans from it', async () => {
  const address = parseAddress('203.0.113.4');
  if (address.kind !== 'ok') throw new Error('an address');
  const heap = watchHeap();
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const view = await new Promise<AgentView>((resolve) => {
    const caches = startAgentCaches({
      client: client(),
      logger,
      self: { node: 'node-1', address: address.value, mac: '02:53:cb:00:71:04' },
      serviceCidrs: [],
      onPodsUnseen: () => undefined,
      onView: (it) => caches.stop().then(() => resolve(it)),
    });
  });
  const beganMs = performance.now();
  const plan = new NodePlanner().plan(view, {
    holdings: [],
    heard: new Map(),
    holders: new Map(),
    recalled: new Map(),
    givenBack: new Map(),
    uplinks: soleUplink('eth0'),
  });
  const rights = statedRights(view);
  const word = wordOf(view);
  const planMs = performance.now() - beganMs;
  delay.disable();
  const grownMiB = heap.grownMiB();
  const stallMs = delay.max / 1e6;
  console.log(
    `agent: ${view.egressIps.size} EgressIPs, ${view.gatewayNodes.size} GatewayNodes, ${view.policies.size} policies; ` +
      `longest stall ${stallMs.toFixed(0)} ms, planned in ${planMs.toFixed(0)} ms, heap up to ${grownMiB} MiB more`,
  );
  // What cannot be read is as if it were not there.
  expect(view.egressIps.size).toBeGreaterThan(COUNTS.egressIps / 3);
  expect(view.egressIps.size).toBeLessThan(COUNTS.egressIps);
  expect(view.gatewayNodes.size).toBe(COUNTS.gatewayNodes + 2);
  expect(view.policies.size).toBe(COUNTS.stored);
  expect(assignmentsOf(view.egressIps, plan.versions).size).toBe(view.egressIps.size);
  // Nobody who is there is dead because it says so, and nobody has a right that nobody can have.
  expect(word.dead.filter(({ gateway }) => gateway in GATEWAYS)).toEqual([]);
  expect(rights.get(IP)).toBeUndefined();
  expect(stallMs).toBeLessThan(STALL_MAX_MS);
  expect(planMs).toBeLessThan(STALL_MAX_MS);
  expect(grownMiB).toBeLessThan(AGENT_HEAP_MAX_MIB);
});

test('a policy that is meant is served in its midst, and one against it refused in words', async () => {
  const beganMs = performance.now();
  limits = { controller: createChartMemoryLimit('controller'), webhook: createChartMemoryLimit('webhook') };
  [webhook, controller] = await Promise.all([
    startWebhookProgram(api, 'webhook-0', {}, limits.webhook),
    startControllerProgram(api, 'controller-0', controllerSettings, limits.controller),
  ]);
  await createConfigurations(client(), webhook.port);
  await waitUntilInForce(client());
  await until('the controller leads', () => controller?.leads() ?? Promise.resolve(false), 30_000);
  console.log(`in force and leading after ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);

  const allAdmitted = told('admitted policies', admitted, write);
  const appliedMs = performance.now();
  must(await client().create(collectionPath(EGRESS_POLICY), egressPolicy('good', [{ cidr: IP }])));
  const admittedMs = performance.now() - appliedMs;
  await until('the policy is served', () => isServed('good'), SERVED_WITHIN_MS);
  const servedMs = performance.now() - appliedMs;

  const askedMs = performance.now();
  const rival = egressPolicy('rival', [{ cidr: `${IP}/32` }]);
  const refused = await client().create(collectionPath(EGRESS_POLICY), rival);
  const refusedMs = performance.now() - askedMs;
  expect(refused).toMatchObject({
    kind: 'refused',
    error: { message: expect.stringContaining(`overlaps ${IP}/32 of EgressPolicy good`) },
  });
  expect(refusedMs).toBeLessThan(REFUSED_WITHIN_MS);
  await allAdmitted;
  console.log(
    `good: admitted in ${admittedMs.toFixed(0)} ms, served after ${servedMs.toFixed(0)} ms; rival refused in ${refusedMs.toFixed(0)} ms`,
  );
});

test('every policy is told where it stands, and the next controller goes on from there', async () => {
  const beganMs = performance.now();
  await until('every policy to have a status', areTold, TOLD_WITHIN_MS);
  console.log(`all told after ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
  const [before, address] = [await read(EGRESS_POLICY, 'good'), await read(EGRESS_IP, IP)];
  const peak = residentPeakMiB(controller?.child.pid);
  await controller?.end('SIGKILL');
  const killedMs = performance.now();
  controller = await startControllerProgram(api, 'controller-1', controllerSettings, limits?.controller);
  await until('the next controller leads', () => controller?.leads() ?? Promise.resolve(false), 30_000);
  const leadsMs = performance.now();
  const there = (await namesOf(client(), EGRESS_IP)).length + (await namesOf(client(), GATEWAY_NODE)).length;
  must(await client().create(collectionPath(EGRESS_POLICY), egressPolicy('second', [{ cidr: SECOND_IP }])));
  await until('another policy is served', () => isServed('second'), SERVED_WITHIN_MS);
  const servedMs = performance.now();
  expect(await read(EGRESS_POLICY, 'good')).toEqual(before);
  expect(await read(EGRESS_IP, IP)).toEqual(address);
  // Within their limits, or the kernel had ended them.
  const peaks = [peak, residentPeakMiB(controller.child.pid), residentPeakMiB(webhook?.child.pid)];
  expect([controller.child.exitCode, webhook?.child.exitCode]).toEqual([null, null]);
  console.log(
    `among ${there} EgressIPs and GatewayNodes the next leads after ${((leadsMs - killedMs) / 1000).toFixed(1)} s, ` +
      `and serves another policy in ${(servedMs - leadsMs).toFixed(0)} ms; controllers and webhook had ${peaks.join(', ')} MiB`,
  );
});

test('nothing of it is left when it is deleted, and what is meant is untouched', async () => {
  const [before, address] = [await read(EGRESS_POLICY, 'good'), await read(EGRESS_IP, IP)];
  // By name: the controller writes EgressIPs whole, and a label of somebody else's is gone then.
  for (const objects of [[...stored, ...admitted], egressIps, gatewayNodes])
    await told(`deleted ${objects[0]?.served.plural}`, objects, ({ served, body }, by) =>
      by.remove(`${collectionPath(served)}/${body.metadata.name}`),
    );
  const beganMs = performance.now();
  const left = async (): Promise<readonly string[]> =>
    (await Promise.all(KINDS.map((it) => namesOf(client(), it)))).flat();
  const meant = ['good', IP, 'second', SECOND_IP, ...Object.keys(GATEWAYS)];
  await until('only what is meant is left', async () => (await left()).length <= meant.length, 60_000);
  expect((await left()).toSorted()).toEqual(meant.toSorted());
  console.log(`gone after another ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
  expect(await read(EGRESS_POLICY, 'good')).toEqual(before);
  expect((await read(EGRESS_IP, IP))?.spec).toEqual(address?.spec);
});
