import { expect, test } from 'vitest';
import { createLogger } from '../../runtime/logger.ts';
import {
  CertificateWorld,
  type Json,
  MUTATING,
  PROPAGATION_MS,
  SECRET,
  VALIDATING,
} from '../../test/lab/certificateWorld.ts';
import { CERTIFICATE_FAILURES, NO_METER } from './certificateMeter.ts';
import { type IssuedPair, issueCa, issueLeaf, serviceNames } from './issue.ts';
import { readCertificates } from './readCertificates.ts';

const NAMES = serviceNames('sallyport-webhook', 'sallyport');
const encode = (text: string): string => Buffer.from(text).toString('base64');

/** A CA and a leaf of it, as somebody else makes them. */
async function issue(names: readonly string[] = NAMES) {
  const ca = await issueCa(Date.now(), 'another-authority');
  return { ca, leaf: await issueLeaf(ca, names, Date.now()) };
}
const [first, second, elsewhere] = await Promise.all([issue(), issue(), issue(['other.sallyport.svc'])]);

function put(world: CertificateWorld, leaf: IssuedPair, ca?: IssuedPair, change: Json = {}): void {
  const data = {
    'tls.crt': encode(leaf.certPem),
    'tls.key': encode(leaf.keyPem),
    ...(ca === undefined ? {} : { 'ca.crt': encode(ca.certPem) }),
    ...change,
  };
  world.store(SECRET, { metadata: { name: 'webhook-cert' }, type: 'kubernetes.io/tls', data });
}

/** As cert-manager's injector does, or a person. */
function inject(world: CertificateWorld, ...cas: readonly IssuedPair[]): void {
  for (const path of [VALIDATING, MUTATING]) {
    const object = structuredClone(world.objects.get(path)) as { webhooks: { clientConfig: Json }[] };
    const caBundle = encode(cas.map(({ certPem }) => certPem).join(''));
    for (const { clientConfig } of object.webhooks) clientConfig.caBundle = caBundle;
    world.store(path, object as unknown as Json);
  }
}

function startReader(world: CertificateWorld, manageCaBundle: boolean) {
  const served: IssuedPair[] = [];
  const told: string[] = [];
  const failures = new Set<string>();
  const expiring = new Set<string>();
  const keeper = readCertificates({
    client: world.client,
    namespace: 'sallyport',
    secretName: 'webhook-cert',
    serviceName: 'sallyport-webhook',
    validatingConfiguration: 'sallyport',
    mutatingConfiguration: 'sallyport',
    manageCaBundle,
    propagationMs: PROPAGATION_MS,
    logger: createLogger({ program: 'test', level: 'warn', write: (line) => void told.push(line) }),
    meter: {
      ...NO_METER,
      expires: (kind) => void expiring.add(kind),
      failed: (it) => void failures.add(CERTIFICATE_FAILURES.find((known) => known === it) ?? ''),
    },
    onCertificate: (pair) => void served.push(pair),
    wallClock: () => world.clock.wallMs,
    monotonic: () => world.clock.monotonicMs,
  });
  return { keeper, served, told, failures, expiring };
}

const secretWrites = (world: CertificateWorld) => world.writes.filter((it) => it.includes('/secrets'));

test("cert-manager's Secret is served and nothing is ever written", async () => {
  const world = new CertificateWorld();
  put(world, first.leaf, first.ca);
  inject(world, first.ca);
  const { keeper, served } = startReader(world, false);
  expect(await keeper.round()).toBe('settled');
  const renewed = await issueLeaf(first.ca, NAMES, Date.now());
  put(world, renewed, first.ca);
  world.wait(PROPAGATION_MS);
  expect(await keeper.round()).toBe('settled');
  expect(served).toEqual([first.leaf, renewed]);
  expect(world.writes).toEqual([]);
});

test('a leaf of a CA that was not injected yet waits; when it alone is trusted it is served at once', async () => {
  const world = new CertificateWorld();
  put(world, first.leaf, first.ca);
  inject(world, first.ca);
  const { keeper, served, told } = startReader(world, false);
  await keeper.round();
  put(world, second.leaf, second.ca);
  for (let round = 0; round < 5; round += 1) {
    expect(await keeper.round()).toBe('moving');
    world.wait(PROPAGATION_MS);
  }
  expect(told).toHaveLength(1);
  inject(world, second.ca);
  expect(await keeper.round()).toBe('settled');
  expect(served).toEqual([first.leaf, second.leaf]);
});

test('a bundle that is managed holds the CA before as well, until nobody can serve a leaf of it', async () => {
  const world = new CertificateWorld();
  put(world, first.leaf, first.ca);
  const [a, b] = [startReader(world, true), startReader(world, true)];
  for (const { keeper } of [a, b]) await keeper.round();
  put(world, second.leaf, second.ca);
  let [both, switched] = [0, 0];
  for (let round = 0; round < 200; round += 1) {
    for (const { keeper, served } of [a, b]) {
      await keeper.round();
      expect(world.trusts(served.at(-1))).toBe(true);
    }
    if (world.trusts(first.leaf) && world.trusts(second.leaf)) both += 1;
    if (b.served.length === 2) switched += 1;
    world.wait(PROPAGATION_MS / 3);
  }
  expect([a.served.length, b.served.length, world.trusts(first.leaf)]).toEqual([2, 2, false]);
  expect(both).toBeGreaterThan(30);
  expect(switched).toBeGreaterThan(190);
  expect(secretWrites(world)).toEqual([]);
});

test('a read of the configurations that fails for a moment costs no CA its place', async () => {
  const world = new CertificateWorld();
  put(world, first.leaf, first.ca);
  const { keeper } = startReader(world, true);
  await keeper.round();
  put(world, second.leaf, second.ca);
  await keeper.round();
  let reads = 0;
  world.hides = (path) => path === VALIDATING && reads++ === 0;
  expect(await keeper.round()).toBe('moving');
  expect([world.trusts(first.leaf), world.trusts(second.leaf)]).toEqual([true, true]);
});

test('without ca.crt no bundle is written, and that is told', async () => {
  const world = new CertificateWorld();
  put(world, first.leaf);
  const { keeper, served, told, expiring } = startReader(world, true);
  await keeper.round();
  expect([served.length, world.writes, told.length, [...expiring]]).toEqual([1, [], 1, ['leaf']]);
  expect(told[0]).toContain('caBundle is left alone');
});

test.each([
  { name: 'whose bundle is left to others', manageCaBundle: false },
  { name: 'that ought to have one, for which there is no CA', manageCaBundle: true },
])(
  'where no webhook has a bundle, one $name, a new leaf is served as it comes',
  async ({ manageCaBundle }) => {
    const world = new CertificateWorld();
    put(world, first.leaf);
    const { keeper, served } = startReader(world, manageCaBundle);
    await keeper.round();
    put(world, second.leaf);
    expect(await keeper.round()).toBe('settled');
    expect(served).toEqual([first.leaf, second.leaf]);
  },
);

test.each<{
  readonly name: string;
  readonly reason: string;
  readonly damage: (world: CertificateWorld) => void;
}>([
  { name: 'is gone', reason: 'not-found', damage: (world) => void world.objects.delete(SECRET) },
  {
    name: 'is half-written',
    reason: 'not the key of',
    damage: (world) => put(world, { certPem: second.leaf.certPem, keyPem: first.leaf.keyPem }, second.ca),
  },
  { name: 'is empty', reason: 'no certificate', damage: (world) => put(world, { certPem: '', keyPem: '' }) },
  {
    name: 'is for another service',
    reason: 'does not cover',
    damage: (world) => put(world, elsewhere.leaf, elsewhere.ca),
  },
  {
    name: 'has a CA of another',
    reason: 'does not lead to',
    damage: (world) => put(world, second.leaf, first.ca),
  },
])(
  'a Secret that $name changes nothing, is never written, and is told of once',
  async ({ reason, damage }) => {
    const world = new CertificateWorld();
    put(world, first.leaf, first.ca);
    const { keeper, served, told, failures } = startReader(world, true);
    await keeper.round();
    damage(world);
    for (let round = 0; round < 3; round += 1) expect(await keeper.round()).toBe('failed');
    expect(served).toEqual([first.leaf]);
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(reason);
    expect(failures.size).toBe(1);
    expect(secretWrites(world)).toEqual([]);
    expect(world.trusts(first.leaf)).toBe(true);
  },
);

test('a replica that keeps its own certificates takes over from another mode without an outage', async () => {
  const world = new CertificateWorld();
  put(world, first.leaf, first.ca);
  const reader = startReader(world, true);
  await reader.keeper.round();
  const own = world.startReplica('a');
  // The Secret of the other mode bears another name, or is taken over.
  for (let round = 0; round < 20; round += 1) {
    await own.round();
    expect([world.trusts(first.leaf), world.trusts(own.current)]).toEqual([true, true]);
    world.wait(PROPAGATION_MS / 2);
  }
  world.wait(600_000);
  await own.round();
  expect(world.trusts(first.leaf)).toBe(false);
});
