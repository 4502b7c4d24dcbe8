/**
 * Two replicas of the webhook and two controllers at one real API server, and many who want the same address at once.
 * Admission is never serialised; the controller decides, and never are two programmed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { connect, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { createRestClient } from '../../kube/restClient.ts';
import {
  CILIUM_EGRESS_GATEWAY_POLICY,
  collectionPath,
  EGRESS_IP,
  EGRESS_POLICY,
  GATEWAY_NODE,
} from '../../policy/names.ts';
import { DEFINITIONS, renderCrd } from '../../policy/schema/crds.ts';
import { waitUntil } from '../cluster/waitUntil.ts';
import { egressPolicy } from '../lab/egressPolicy.ts';
import { freePort } from '../lab/freePort.ts';
import { type ApiServer, startApiServer } from './apiServer.ts';
import { createLaggingAccess, type LaggingAccess } from './laggingAccess.ts';
import {
  createConfigurations,
  createGateway,
  HOST,
  must,
  NAMESPACE,
  startWebhookProgram,
  type WebhookProgram,
  waitUntilInForce,
} from './webhookProgram.ts';

const CONTROLLER = path.resolve(import.meta.dirname, '../../failover/controller.ts');
const POLICIES = collectionPath(EGRESS_POLICY);
const EGRESS_IPS = collectionPath(EGRESS_IP);
/** Each has four connections. */
const WRITERS = 10;
const SETTLED = { timeoutMs: 60_000 };

let api: ApiServer;
let client: KubeClient;
let writers: readonly KubeClient[];
let balancer: Server;
const programs: WebhookProgram[] = [];
const controllers: ChildProcess[] = [];

interface Policy {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly deletionTimestamp?: string;
  };
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
    }[];
  };
}

beforeAll(async () => {
  api = await startApiServer({ onProgress: (line) => console.log(line) });
  client = createRestClient(api.access);
  writers = Array.from({ length: WRITERS }, () => createRestClient(api.access, { deadlineMs: 60_000 }));
  for (const definition of DEFINITIONS)
    must(
      await client.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', renderCrd(definition)),
    );
  for (const kind of [CILIUM_EGRESS_GATEWAY_POLICY, EGRESS_POLICY, GATEWAY_NODE, EGRESS_IP])
    await waitUntil(
      kind.plural,
      async () => (await client.get(collectionPath(kind))).kind === 'ok' || undefined,
    );
  await createGateway(client);
  for (const name of ['webhook-0', 'webhook-1']) programs.push(await startWebhookProgram(api, name));
  const port = await freePort();
  balancer = await startBalancer(port, programs);
  await createConfigurations(client, port);
  await waitUntilInForce(client);
  for (const name of ['controller-0', 'controller-1']) controllers.push(startController(name));
}, 1_800_000);

afterAll(async () => {
  balancer?.close();
  await Promise.all([...programs.map((program) => program.stop()), ...controllers.map(end)]);
  await Promise.all([client, ...(writers ?? [])].map((it) => it?.close()));
  await api?.stop();
});

/** Connections in turn, as a Service deals them out. */
async function startBalancer(port: number, targets: readonly WebhookProgram[]): Promise<Server> {
  let turn = 0;
  const server = createServer((incoming: Socket) => {
    const target = targets[turn++ % targets.length];
    const outgoing = connect({ host: HOST, port: target?.port ?? 0 });
    for (const [from, to] of [[incoming, outgoing] as const, [outgoing, incoming] as const]) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(port, HOST, resolve));
  return server;
}

function startController(name: string): ChildProcess {
  const env = {
    PATH: process.env.PATH,
    KUBECONFIG: api.kubeconfigPath,
    POD_NAME: name,
    SALLYPORT_NAMESPACE: NAMESPACE,
    METRICS_PORT: '0',
  };
  return spawn(process.execPath, [CONTROLLER], { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

async function list(collection: string): Promise<readonly Policy[]> {
  return (must(await client.get(collection)) as { readonly items: readonly Policy[] }).items;
}

const acceptance = ({ status }: Policy) => status?.conditions?.find(({ type }) => type === 'Accepted');

/** Every version of every EgressIP from now on, as the names that it gives to agents to program. */
async function watchOwners() {
  const stop = new AbortController();
  const owners: string[][] = [];
  const from = (must(await client.get(EGRESS_IPS)) as { metadata: { resourceVersion: string } }).metadata;
  const ended = (async () => {
    for await (const { type, object } of client.watch(
      EGRESS_IPS,
      { resourceVersion: from.resourceVersion },
      stop.signal,
    )) {
      const { spec } = object as {
        readonly spec: { readonly policies?: readonly { readonly name: string }[] };
      };
      if (type !== 'BOOKMARK') owners.push((spec.policies ?? []).map(({ name }) => name));
    }
  })();
  return {
    owners,
    end: async () => {
      stop.abort();
      await ended;
    },
  };
}

/** All at once, each third one a dry run, dealt out to the writers. */
async function createAtOnce(
  names: readonly string[],
  cidr: string,
): Promise<readonly KubeOutcome<unknown>[]> {
  return Promise.all(
    names.map((name, index) => {
      const target = name.startsWith('dry') ? `${POLICIES}?dryRun=All` : POLICIES;
      return (writers[index % writers.length] ?? client).create(target, egressPolicy(name, [{ cidr }]));
    }),
  );
}

async function settled(count: number): Promise<{ winner: Policy; losers: readonly Policy[] }> {
  return waitUntil(
    `${count} policies to be judged`,
    async () => {
      const policies = await list(POLICIES);
      const winners = policies.filter((it) => acceptance(it)?.status === 'True');
      const losers = policies.filter((it) => acceptance(it)?.reason === 'Conflicting');
      const [winner] = winners;
      if (winner === undefined || winners.length !== 1 || policies.length !== count) return undefined;
      const named = losers.every((it) => acceptance(it)?.message.includes(` ${winner.metadata.name},`));
      return winners.length + losers.length === count && named ? { winner, losers } : undefined;
    },
    SETTLED,
  );
}

async function ownersOf(address: string): Promise<readonly string[]> {
  const outcome = await client.get(`${EGRESS_IPS}/${address}`);
  if (outcome.kind !== 'ok') return [];
  const { spec } = outcome.value as {
    readonly spec: { readonly policies?: readonly { readonly name: string }[] };
  };
  return (spec.policies ?? []).map(({ name }) => name);
}

interface Told {
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: { readonly uid: string };
}

async function eventsNow(): Promise<readonly Told[]> {
  return (must(await client.get('/api/v1/namespaces/default/events')) as { readonly items: readonly Told[] })
    .items;
}

/** Each loser has an Event that names who won. */
async function untilTold(losers: readonly Policy[], { metadata: { name } }: Policy): Promise<void> {
  await waitUntil(
    `Events of ${losers.length} losers to name ${name}`,
    async () => {
      const told = new Set(
        (await eventsNow())
          .filter(({ reason, message }) => reason === 'Conflicting' && message.includes(` ${name},`))
          .map(({ involvedObject }) => involvedObject.uid),
      );
      return losers.every(({ metadata }) => told.has(metadata.uid)) || undefined;
    },
    SETTLED,
  );
}

function oldest(policies: readonly Policy[]): Policy | undefined {
  const rank = ({ metadata }: Policy): string => `${metadata.creationTimestamp} ${metadata.uid}`;
  return policies.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
}

test.each([2, 10, 100])(
  'of %i that are created at once one is programmed, and the others know whom they lost to',
  async (count) => {
    const address = `203.0.113.${100 + count}`;
    const watch = await watchOwners();
    const names = Array.from({ length: count }, (_, i) => `real-${count}-${i}`);
    const dry = Array.from({ length: count / 2 }, (_, i) => `dry-${count}-${i}`);
    const mixed = names.flatMap((name, i) => [name, ...(dry[i] === undefined ? [] : [dry[i]])]);
    const outcomes = await createAtOnce(mixed, `${address}/32`);
    for (const outcome of outcomes) {
      // Admitted, or told by a replica that already knew; nothing else.
      if (outcome.kind === 'ok') continue;
      expect(outcome.error).toMatchObject({
        status: 403,
        message: expect.stringContaining('(pool-overlap)'),
      });
    }
    const stored = await list(POLICIES);
    expect(stored.length).toBe(
      outcomes.filter(({ kind }, i) => kind === 'ok' && mixed[i]?.startsWith('real') === true).length,
    );
    expect(stored.length).toBeGreaterThan(0);
    const { winner, losers } = await settled(stored.length);
    expect(winner.metadata.uid).toBe(oldest(stored)?.metadata.uid);
    await waitUntil(
      'the address to name the winner',
      async () => (await ownersOf(address)).join() === winner.metadata.name || undefined,
    );
    await untilTold(losers, winner);
    console.log(`${count} at once: ${stored.length} admitted, ${losers.length} losers`);

    // When the winner goes, the next oldest is taken up by itself.
    const next = oldest(losers);
    must(await client.remove(`${POLICIES}/${winner.metadata.name}`));
    if (next !== undefined) {
      const after = await settled(losers.length);
      expect(after.winner.metadata.uid).toBe(next.metadata.uid);
      await untilTold(after.losers, next);
      await waitUntil(
        'the address to name the next',
        async () => (await ownersOf(address)).join() === next.metadata.name || undefined,
      );
    }
    for (const { metadata } of losers) must(await client.remove(`${POLICIES}/${metadata.name}`));
    await waitUntil('all to be gone', async () => (await list(POLICIES)).length === 0 || undefined, SETTLED);
    await watch.end();
    expect(watch.owners.length).toBeGreaterThan(1);
    expect(watch.owners.filter((owners) => owners.length > 1)).toEqual([]);
  },
);

const review = (name: string, cidrs: readonly string[]) => {
  const object = egressPolicy(
    name,
    cidrs.map((cidr) => ({ cidr })),
  );
  const [group, version] = object.apiVersion.split('/');
  const kind = { group, version, kind: object.kind };
  const request = { uid: 'u', kind, operation: 'CREATE', name, object };
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
};

describe('a replica whose watches lag behind', () => {
  const held = '203.0.113.70/32';
  let way: LaggingAccess;
  let laggard: WebhookProgram;

  beforeEach(async () => {
    way = await createLaggingAccess(api);
    laggard = await startWebhookProgram(way, 'webhook-lagging');
    must(
      await client.create(POLICIES, egressPolicy('holder', [{ cidr: held }, { cidr: '203.0.113.71/32' }])),
    );
    // The mutating webhook tells what it knows without looking; special use makes it speak at all.
    await waitUntil('it to know the holder', async () => {
      const { body } = await laggard.ask('mutate', review('probe', ['127.0.0.1/32', held]));
      return JSON.stringify(body).includes('(pool-overlap)') || undefined;
    });
    way.holdUp();
  });
  afterEach(async () => {
    await laggard.stop();
    await way.stop();
    await client.remove(`${POLICIES}/holder`);
    await waitUntil('all to be gone', async () => (await list(POLICIES)).length === 0 || undefined, SETTLED);
  });

  const verdict = async (): Promise<unknown> => (await laggard.ask('validate', review('taker', [held]))).body;
  const knows = async (): Promise<boolean> =>
    JSON.stringify((await laggard.ask('mutate', review('probe', ['127.0.0.1/32', held]))).body).includes(
      '(pool-overlap)',
    );

  test('denies for a policy that is there', async () => {
    expect(await verdict()).toMatchObject({ response: { allowed: false } });
  });

  test('does not deny for one that was deleted meanwhile', async () => {
    must(await client.remove(`${POLICIES}/holder`));
    expect(await knows()).toBe(true);
    expect(await verdict()).toMatchObject({ response: { allowed: true } });
  });

  test('does not deny for one that gave the address up meanwhile', async () => {
    const patch = { spec: { egressGateway: { ippools: [{ cidr: '203.0.113.71/32' }] } } };
    must(await client.mergePatch(`${POLICIES}/holder`, patch));
    expect(await knows()).toBe(true);
    expect(await verdict()).toMatchObject({ response: { allowed: true } });
  });
});

test('a dry run leaves nothing behind: no policy, no event, no address', async () => {
  await waitUntil('all to be gone', async () => (await list(POLICIES)).length === 0 || undefined, SETTLED);
  const count = async (): Promise<number> => (await eventsNow()).length;
  const before = await count();
  const names = Array.from({ length: 20 }, (_, i) => `dry-${i}`);
  const outcomes = await createAtOnce(names, '203.0.113.61/32');
  expect(outcomes.every(({ kind }) => kind === 'ok')).toBe(true);
  // A real one is taken up after them: had one of them left a trace, it would be in the way.
  must(await client.create(POLICIES, egressPolicy('real', [{ cidr: '203.0.113.61/32' }])));
  await settled(1);
  await waitUntil('the address', async () => (await ownersOf('203.0.113.61')).join() === 'real' || undefined);
  expect(await count()).toBe(before);
});
