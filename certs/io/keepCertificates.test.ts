import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  CertificateWorld,
  type Fate,
  type Json,
  MUTATING,
  PODS,
  PROPAGATION_MS,
  type Replica,
  SECRET,
  VALIDATING,
} from '../../test/lab/certificateWorld.ts';
import { LEAF_LIFETIME_MS, LEAF_RENEW_BEFORE_MS } from '../core/rotationFacts.ts';
import { issueCa, issueLeaf, serviceNames } from './issue.ts';

const DAY_MS = 86_400_000;
const NAMES = serviceNames('sallyport-webhook', 'sallyport');
const CA_WANTED = { 'sallyport.dev/rotate': 'ca' };
const LEAF_WANTED = { 'sallyport.dev/rotate': 'leaf' };

/** Everybody has a round, again and again, until all have settled; whatever is served is trusted throughout. */
async function settle(world: CertificateWorld, replicas: readonly Replica[], rounds = 60): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const results = [];
    for (const replica of replicas) {
      results.push(await replica.round());
      expectTrusted(world, replicas);
    }
    if (results.every((it) => it === 'settled')) return;
    world.wait(PROPAGATION_MS / 3);
  }
  throw new Error(`not settled: ${JSON.stringify(world.annotations())}`);
}

function expectTrusted(world: CertificateWorld, replicas: readonly Replica[]): void {
  for (const { current } of replicas) if (current !== undefined) expect(world.trusts(current)).toBe(true);
}

/** By API servers that are late as well: the promise of a rotation that goes by its phases. */
function expectTrustedLate(world: CertificateWorld, replicas: readonly Replica[]): void {
  for (const { current } of replicas) expect(world.trustsLate(current)).toBe(true);
}

/** As `settle`, and nobody who is late is lost. */
async function settleLate(world: CertificateWorld, replicas: readonly Replica[]): Promise<void> {
  for (let round = 0; round < 60; round += 1) {
    const results = [];
    for (const replica of replicas) {
      results.push(await replica.round());
      if (replica.current !== undefined) expectTrustedLate(world, [replica]);
    }
    if (results.every((it) => it === 'settled')) return;
    world.wait(PROPAGATION_MS / 5);
  }
  throw new Error(`not settled: ${JSON.stringify(world.annotations())}`);
}

async function start(...names: readonly string[]) {
  const world = new CertificateWorld();
  const replicas = names.map((name) => world.startReplica(name));
  await settle(world, replicas);
  return { world, replicas };
}
const casIn = (world: CertificateWorld): number =>
  (world.bundles(VALIDATING)[0] ?? '').split('BEGIN').length - 1;
const warnings = (replicas: readonly Replica[]) =>
  replicas.flatMap(({ lines }) => lines).filter(({ level }) => level === 'warn');

test('a first replica makes CA and leaf, publishes trust in every webhook and serves', async () => {
  const { world, replicas } = await start('a');
  expect(replicas[0]?.served).toHaveLength(1);
  expect(world.bundles(VALIDATING)).toEqual([world.bundles(MUTATING)[0], world.bundles(MUTATING)[1]]);
  expect(world.webhooks(VALIDATING)[0]).toMatchObject({
    failurePolicy: 'Fail',
    clientConfig: { service: { name: 'w' } },
  });
  expect(world.annotations()['sallyport.dev/phase']).toBe('settled');
  expect(warnings(replicas)).toEqual([]);
});

test('of replicas that start together one wins and all serve its leaf', async () => {
  const world = new CertificateWorld();
  const replicas = ['a', 'b', 'c'].map((name) => world.startReplica(name));
  await Promise.all(replicas.map((it) => it.round()));
  await settle(world, replicas);
  expect(new Set(replicas.map(({ current }) => current?.certPem)).size).toBe(1);
});

test('a bundle that somebody reverted is written again, and a quiet round writes nothing', async () => {
  const { world, replicas } = await start('a', 'b');
  const [bundle] = world.bundles(VALIDATING);
  world.installConfiguration(VALIDATING);
  await replicas[1]?.round();
  expect(world.bundles(VALIDATING)).toEqual([bundle, bundle]);
  world.writes.splice(0);
  world.wait(DAY_MS);
  for (const replica of replicas) expect(await replica.round()).toBe('settled');
  expect(world.writes).toEqual([]);
});

test('a leaf is reissued under the same CA before it expires', async () => {
  const { world, replicas } = await start('a', 'b');
  const bundle = world.bundles(VALIDATING);
  world.wait(LEAF_LIFETIME_MS - LEAF_RENEW_BEFORE_MS + 1);
  await settle(world, replicas);
  for (const { served } of replicas) expect(served).toHaveLength(2);
  expect(world.bundles(VALIDATING)).toEqual(bundle);
});

test('a CA that is asked for comes in two phases, each of which all confirm, and the wish is taken off', async () => {
  const { world, replicas } = await start('a', 'b');
  world.annotate(CA_WANTED);
  world.forgetPast();
  const [a, b] = replicas as [Replica, Replica];
  await a.round();
  expect([world.annotations()['sallyport.dev/phase'], casIn(world)]).toEqual(['publishing', 2]);
  expect(world.annotations()).not.toHaveProperty('sallyport.dev/rotate');
  for (let round = 0; round < 3; round += 1) {
    world.wait(PROPAGATION_MS / 2);
    await a.round();
  }
  // b has not confirmed: the old CA goes on signing.
  expect([world.annotations()['sallyport.dev/phase'], a.served.length]).toEqual(['publishing', 1]);
  await settleLate(world, replicas);
  expect([world.annotations()['sallyport.dev/phase'], casIn(world)]).toEqual(['settled', 1]);
  for (const { served } of replicas) expect(served).toHaveLength(2);
  expect(a.current).toEqual(b.current);
});

test('a leaf that is asked for is issued once', async () => {
  const { world, replicas } = await start('a', 'b');
  world.annotate(LEAF_WANTED);
  await Promise.all(replicas.map((it) => it.round()));
  await settle(world, replicas);
  for (const { served } of replicas) expect(served).toHaveLength(2);
  expect(casIn(world)).toBe(1);
});

test('the old CA stays while a Pod that is ready does not say that it serves the new leaf', async () => {
  const world = new CertificateWorld();
  const ready = { conditions: [{ type: 'Ready', status: 'True' }] };
  const pods = {
    items: [
      { metadata: { name: 'a' }, status: ready },
      { metadata: { name: 'old' }, status: ready },
    ],
  };
  world.store(PODS, pods as unknown as Json);
  const replica = world.startReplica('a', { podSelector: 'app=webhook' });
  await replica.round();
  world.annotate(CA_WANTED);
  for (let round = 0; round < 200; round += 1) {
    world.wait(PROPAGATION_MS);
    await replica.round();
  }
  expect([world.annotations()['sallyport.dev/phase'], casIn(world)]).toEqual(['retiring', 2]);
  expect(replica.served).toHaveLength(2);
  world.store(PODS, { items: pods.items.slice(0, 1) } as unknown as Json);
  await settle(world, [replica]);
  expect(casIn(world)).toBe(1);
});

test('a replica that ends takes its statement along, and one that died is left behind', async () => {
  const { world, replicas } = await start('a', 'b', 'c');
  const [a, b] = replicas as [Replica, Replica];
  await b.keeper.stop();
  expect(Object.keys(world.annotations()).filter((key) => key.startsWith('replica.'))).toHaveLength(2);
  world.annotate(CA_WANTED);
  await settle(world, [a]);
  expect(Object.keys(world.annotations()).filter((key) => key.startsWith('replica.'))).toEqual([
    'replica.sallyport.dev/a',
  ]);
});

/** The process dies with each write of a rotation, whose answer it never sees; another goes on. */
test('a crash at any write is repaired by who comes next', async () => {
  let crashes = 0;
  const { world: settled } = await start('a', 'b');
  settled.annotate(CA_WANTED);
  for (let at = 0; at < 40; at += 1) {
    const world = settled.copy();
    const [a, b] = [world.startReplica('a'), world.startReplica('b')];
    let count = 0;
    world.fate = (): Fate => {
      count += 1;
      if (count <= at) return 'done';
      return count === at + 1 ? 'lost' : 'dropped';
    };
    for (let round = 0; round < 30 && count <= at; round += 1) {
      await a.round();
      if (count <= at) await b.round();
      for (const replica of [a, b]) if (replica.current !== undefined) expectTrustedLate(world, [replica]);
      world.wait(PROPAGATION_MS / 2);
    }
    if (count <= at) break;
    world.fate = () => 'done';
    crashes += 1;
    const next = world.startReplica('c');
    await settleLate(world, [b, next]);
    expect([casIn(world), next.current]).toEqual([1, b.current]);
  }
  expect(crashes).toBeGreaterThan(8);
}, 240_000);

const put = (values: Readonly<Record<string, string>>) => (world: CertificateWorld) =>
  world.edit(SECRET, ({ data }) => void Object.assign(data, values));

test.each<{ readonly name: string; readonly damage: (world: CertificateWorld) => void }>([
  { name: 'emptied', damage: put({ 'ca.crt': '', 'ca.key': '', 'tls.crt': '', 'tls.key': '' }) },
  { name: 'garbled', damage: put({ 'ca.crt': 'bm8=' }) },
  { name: 'without any key', damage: put({ 'ca.key': '', 'tls.key': '' }) },
  { name: 'deleted', damage: (world) => void world.objects.delete(SECRET) },
  {
    name: "another tool's",
    damage: (world) =>
      world.store(SECRET, {
        metadata: { name: 'webhook-cert', labels: { theirs: 'kept' } },
        type: 'kubernetes.io/tls',
        data: { 'tls.crt': 'dGhlaXJz', 'tls.key': 'dGhlaXJz', other: 'a2VwdA==' },
      }),
  },
  {
    name: 'half-written, the leaf of one and the key of another',
    damage: (world) => put({ 'tls.key': world.secret().data['ca.key'] ?? '' })(world),
  },
  { name: 'without the key of its CA', damage: put({ 'ca.key': '' }) },
])('a Secret that is $name is repaired without an outage, and that is told', async ({ damage }) => {
  const { world, replicas } = await start('a', 'b');
  damage(world);
  const fresh = world.startReplica('c');
  await settle(world, [...replicas, fresh]);
  expect(new Set([...replicas, fresh].map(({ current }) => current?.certPem)).size).toBe(1);
  expect(warnings([...replicas, fresh]).map(({ message }) => message)).toContain('changing the certificates');
});

test('what somebody took off the Secret is stated again', async () => {
  const { world, replicas } = await start('a', 'b');
  world.edit(SECRET, ({ metadata }) => void Object.assign(metadata, { annotations: {} }));
  for (const replica of replicas) await replica.round();
  expect(Object.keys(world.annotations()).toSorted()).toEqual([
    'replica.sallyport.dev/a',
    'replica.sallyport.dev/b',
    'sallyport.dev/phase',
    'sallyport.dev/phase-since',
  ]);
});

test.each([
  { name: 'by one that was serving', fresh: false },
  { name: 'by one that has just started and never saw the old CA', fresh: true },
])('a Secret that was deleted is made $name, and gives way to a new CA', async ({ fresh }) => {
  const { world, replicas } = await start('a', 'b');
  const before = world.bundles(VALIDATING)[0] ?? '';
  world.objects.delete(SECRET);
  const others = fresh ? [world.startReplica('c'), ...replicas] : replicas;
  await settle(world, others);
  expect(world.bundles(VALIDATING)[0]).not.toContain(before.trim());
});

test("what is not ours in somebody's Secret stays", async () => {
  const world = new CertificateWorld();
  world.store(SECRET, {
    metadata: { name: 'webhook-cert', labels: { theirs: 'kept' } },
    type: 'Opaque',
    data: { 'ca.crt': 'bm90IGEgY2VydGlmaWNhdGU=', other: 'a2VwdA==' },
  });
  const replica = world.startReplica('a');
  await settle(world, [replica]);
  expect(world.objects.get(SECRET)).toMatchObject({
    type: 'Opaque',
    metadata: { labels: { theirs: 'kept', 'app.kubernetes.io/managed-by': 'sallyport-webhook' } },
    data: { other: 'a2VwdA==' },
  });
});

test('what nobody trusts any more is not served a round longer', async () => {
  const [{ world, replicas }, thief] = [await start('a'), await start('a')];
  // Somebody put another pair into the Secret, with another CA alone.
  world.store(SECRET, thief.world.objects.get(SECRET) as Json);
  await replicas[0]?.round();
  expect(replicas[0]?.current).toEqual(thief.replicas[0]?.current);
  expectTrusted(world, replicas);
});

test('a configuration that is not installed keeps nothing from being served', async () => {
  const world = new CertificateWorld();
  world.objects.delete(MUTATING);
  const replica = world.startReplica('a');
  expect(await replica.round()).toBe('settled');
  expect(replica.served).toHaveLength(1);
});

test('a pair that TLS refuses is not stated, and the one before stays', async () => {
  const { world, replicas } = await start('a');
  let refuses = true;
  const picky = world.startReplica('b', {
    onCertificate: () => {
      if (refuses) throw new Error('no');
    },
  });
  for (let round = 0; round < 3; round += 1) expect(await picky.round()).toBe('moving');
  expect(picky.counts.get('failed load')).toBeGreaterThan(2);
  expect(world.annotations()['replica.sallyport.dev/b']).toContain('"serves":""');
  refuses = false;
  await settle(world, [...replicas, picky]);
  expect(world.annotations()['replica.sallyport.dev/b']).not.toContain('"serves":""');
});

test('where a bundle cannot be written nothing is signed by a CA that is not in it', async () => {
  const { world, replicas } = await start('a', 'b');
  world.fate = ({ path }) => (path === MUTATING ? 'forbidden' : 'done');
  world.annotate(CA_WANTED);
  for (let round = 0; round < 50; round += 1) {
    for (const replica of replicas) expect(await replica.round()).not.toBe('settled');
    expectTrusted(world, replicas);
    world.wait(PROPAGATION_MS);
  }
  expect(replicas.map(({ served }) => served.length)).toEqual([1, 1]);
  expect(replicas[0]?.counts.get('failed publish')).toBeGreaterThan(10);
  world.fate = () => 'done';
  await settle(world, replicas);
});

test.each([
  { name: 'forward by five years', steps: [5 * 365], issued: 1 },
  { name: 'forward by twenty years and back', steps: [20 * 365, -20 * 365], issued: 2 },
  { name: 'back by days', steps: [-9, -30], issued: 0 },
  { name: 'back to 1970 and forward again', steps: [-60 * 365, 60 * 365], issued: 0 },
])(
  'a wall clock that steps $name makes no storm, and leaves a certificate that can be used',
  async ({ steps, issued }) => {
    const { world, replicas } = await start('a', 'b');
    const before = replicas.reduce((sum, it) => sum + it.issued(), 0);
    for (const days of steps) {
      world.clock.wallMs += days * DAY_MS;
      for (let round = 0; round < 20; round += 1) {
        for (const replica of replicas) await replica.round();
        if (world.clock.wallMs > 1_600_000_000_000) expectTrusted(world, replicas);
        world.wait(30_000);
      }
    }
    expect(replicas.reduce((sum, it) => sum + it.issued(), 0) - before).toBe(issued);
  },
);

test('of two replicas whose clocks are ten years apart none undoes what the other does', async () => {
  const { world, replicas } = await start('a');
  const ahead = world.startReplica('b', { wallClock: () => world.clock.wallMs + 20 * 365 * DAY_MS });
  const both = [...replicas, ahead];
  for (let round = 0; round < 40; round += 1) {
    for (const replica of both) await replica.round();
    world.wait(30_000);
  }
  expect(both.reduce((sum, it) => sum + it.issued(), 0)).toBeLessThanOrEqual(4);
  expectTrusted(world, both);
});

test('two that fight over the Secret do so slowly', async () => {
  const { world, replicas } = await start('a');
  const [a] = replicas as [Replica];
  for (let round = 0; round < 100; round += 1) {
    put({ 'tls.key': '' })(world);
    await a.round();
    world.wait(1_000);
  }
  expect(a.issued()).toBeLessThanOrEqual(8);
  expect(a.counts.get('failed too-often')).toBeGreaterThan(50);
  world.wait(600_000);
  await settle(world, replicas);
});

test('issued certificates carry the names, the validity and the purpose that TLS asks for', async () => {
  const ca = await issueCa(Date.now());
  const [one, two] = await Promise.all([issueLeaf(ca, NAMES, Date.now()), issueLeaf(ca, NAMES, Date.now())]);
  const leaf = new X509Certificate(one.certPem);
  const authority = new X509Certificate(ca.certPem);
  expect(NAMES).toEqual([
    'sallyport-webhook',
    'sallyport-webhook.sallyport',
    'sallyport-webhook.sallyport.svc',
    'sallyport-webhook.sallyport.svc.cluster.local',
  ]);
  for (const name of NAMES) expect(leaf.checkHost(name)).toBe(name);
  expect(authority.ca && !leaf.ca).toBe(true);
  expect(leaf.checkIssued(authority) && leaf.verify(authority.publicKey)).toBe(true);
  expect(leaf.validFromDate).toEqual(new Date('2020-01-01'));
  expect(leaf.serialNumber).not.toBe(new X509Certificate(two.certPem).serialNumber);
});
