import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import type { KubeClient, KubeErrorCode, KubeOutcome } from '../../kube/kubeClient.ts';
import { createLogger } from '../../runtime/logger.ts';
import { LEAF_LIFETIME_MS, LEAF_RENEW_BEFORE_MS } from '../core/rotation.ts';
import { type IssuedPair, issueCa, issueLeaf, serviceNames } from './issue.ts';
import { type CertificateKeeper, startCertificates } from './startCertificates.ts';

const SECRET = '/api/v1/namespaces/sallyport/secrets/webhook-cert';
const VALIDATING = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/sallyport';
const MUTATING = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sallyport';
const NAMES = serviceNames('sallyport-webhook', 'sallyport');
const silent = createLogger({ program: 'test', level: 'error', write: () => {} });

type Json = Record<string, unknown>;
interface Webhook {
  name: string;
  failurePolicy?: string;
  clientConfig: { caBundle?: string; service?: unknown };
}

/** An API server as far as certificates need one: objects by path, versions, and the two patch operations in use. */
function createWorld() {
  const objects = new Map<string, Json>();
  let version = 0;
  const refuse = (code: KubeErrorCode): KubeOutcome<never> => ({
    kind: 'refused',
    error: { code, transient: false, message: code },
  });
  const store = (path: string, object: Json): KubeOutcome<unknown> => {
    version += 1;
    const stored = structuredClone(object);
    stored.metadata = { ...(stored.metadata as Json), resourceVersion: String(version) };
    objects.set(path, stored);
    return { kind: 'ok', value: structuredClone(stored) };
  };
  const versionOf = (object: Json | undefined): unknown =>
    (object?.metadata as Json | undefined)?.resourceVersion;
  const client = {
    async get(path: string) {
      const object = objects.get(path);
      return object === undefined ? refuse('not-found') : { kind: 'ok', value: structuredClone(object) };
    },
    async create(path: string, body: unknown) {
      const object = body as Json;
      const full = `${path}/${(object.metadata as Json).name}`;
      return objects.has(full) ? refuse('already-exists') : store(full, object);
    },
    async replace(path: string, body: unknown) {
      const stored = objects.get(path);
      if (stored === undefined) return refuse('not-found');
      return versionOf(body as Json) === versionOf(stored) ? store(path, body as Json) : refuse('conflict');
    },
    async jsonPatch(path: string, patch: readonly unknown[]) {
      const copy = structuredClone(objects.get(path));
      if (copy === undefined) return refuse('not-found');
      const webhooks = copy.webhooks as Webhook[];
      for (const operation of patch as readonly { op: string; path: string; value: string }[]) {
        const [, index, field] =
          /^\/webhooks\/(\d+)\/(name|clientConfig\/caBundle)$/.exec(operation.path) ?? [];
        const webhook = webhooks[Number(index)];
        if (webhook === undefined) return refuse('invalid');
        if (field === 'name' && webhook.name !== operation.value) return refuse('invalid');
        if (field === 'clientConfig/caBundle') webhook.clientConfig.caBundle = operation.value;
      }
      return store(path, copy);
    },
  } as unknown as KubeClient; // the other verbs are never reached from here
  const configuration = (path: string): void => {
    store(path, {
      metadata: { name: 'sallyport' },
      webhooks: [
        { name: 'policies.sallyport.dev', failurePolicy: 'Fail', clientConfig: { service: { name: 'w' } } },
        { name: 'cilium.sallyport.dev', failurePolicy: 'Fail', clientConfig: {} },
      ],
    });
  };
  configuration(VALIDATING);
  configuration(MUTATING);
  const bundles = (path: string): readonly string[] =>
    ((objects.get(path)?.webhooks ?? []) as Webhook[]).map(({ clientConfig }) =>
      Buffer.from(clientConfig.caBundle ?? '', 'base64').toString(),
    );
  return { client, objects, store, bundles, configuration };
}
type World = ReturnType<typeof createWorld>;

const START = Date.now();
function startReplica(world: World, clock: { nowMs: number } = { nowMs: START }) {
  const served: IssuedPair[] = [];
  const keeper: CertificateKeeper = startCertificates({
    client: world.client,
    namespace: 'sallyport',
    secretName: 'webhook-cert',
    serviceName: 'sallyport-webhook',
    validatingConfiguration: 'sallyport',
    mutatingConfiguration: 'sallyport',
    logger: silent,
    onCertificate: (pair) => served.push(pair),
    wallClock: () => clock.nowMs,
  });
  return { served, keeper, clock };
}

function serverTrustsServed(world: World, pair: IssuedPair | undefined): boolean {
  const leaf = new X509Certificate(pair?.certPem ?? '');
  const cas = (world.bundles(VALIDATING)[0] ?? '').match(/-----BEGIN[\s\S]+?END CERTIFICATE-----/g) ?? [];
  return cas.some((pem) => leaf.verify(new X509Certificate(pem).publicKey));
}

test('a first replica makes CA and leaf, publishes trust in every webhook and serves', async () => {
  const world = createWorld();
  const { served, keeper } = startReplica(world);
  expect(await keeper.check()).toBe(true);
  keeper.stop();
  expect(served).toHaveLength(1);
  expect(serverTrustsServed(world, served[0])).toBe(true);
  expect(world.bundles(VALIDATING)).toEqual([world.bundles(MUTATING)[0], world.bundles(MUTATING)[1]]);
  const [first] = (world.objects.get(VALIDATING)?.webhooks ?? []) as Webhook[];
  expect(first).toMatchObject({ failurePolicy: 'Fail', clientConfig: { service: { name: 'w' } } });
});

test('of two replicas that start together one wins and both serve its leaf', async () => {
  const world = createWorld();
  const [a, b] = [startReplica(world), startReplica(world)];
  await Promise.all([a.keeper.check(), b.keeper.check()]);
  a.keeper.stop();
  b.keeper.stop();
  expect(a.served.at(-1)?.certPem).toBe(b.served.at(-1)?.certPem);
  expect(serverTrustsServed(world, b.served.at(-1))).toBe(true);
});

test('a bundle that somebody reverted is written again, and a quiet round writes nothing', async () => {
  const world = createWorld();
  const { keeper } = startReplica(world);
  await keeper.check();
  const [bundle] = world.bundles(VALIDATING);
  world.configuration(VALIDATING);
  await keeper.check();
  expect(world.bundles(VALIDATING)).toEqual([bundle, bundle]);
  const before = structuredClone([...world.objects]);
  await keeper.check();
  keeper.stop();
  expect([...world.objects]).toEqual(before);
});

test('a leaf is reissued under the same CA before it expires', async () => {
  const world = createWorld();
  const { served, keeper, clock } = startReplica(world);
  await keeper.check();
  const bundle = world.bundles(VALIDATING);
  clock.nowMs += LEAF_LIFETIME_MS - LEAF_RENEW_BEFORE_MS + 1;
  await keeper.check();
  keeper.stop();
  expect(served).toHaveLength(2);
  expect(served[1]?.certPem).not.toBe(served[0]?.certPem);
  expect(world.bundles(VALIDATING)).toEqual(bundle);
});

test.each([
  { name: 'foreign text', data: { 'ca.crt': 'bm90IGEgY2VydGlmaWNhdGU=', other: 'a2VwdA==' } },
  { name: 'nothing', data: {} },
])('a Secret that holds $name is repaired in place', async ({ data }) => {
  const world = createWorld();
  world.store(SECRET, {
    metadata: { name: 'webhook-cert', labels: { theirs: 'kept' } },
    type: 'Opaque',
    data,
  });
  const { served, keeper } = startReplica(world);
  expect(await keeper.check()).toBe(true);
  keeper.stop();
  expect(serverTrustsServed(world, served[0])).toBe(true);
  expect(world.objects.get(SECRET)).toMatchObject({
    type: 'Opaque',
    metadata: { labels: { theirs: 'kept' } },
    data: {
      ...('other' in data ? { other: data.other } : {}),
    },
  });
});

test('a CA that lost its key is replaced: the union is published a round before the new leaf is served', async () => {
  const world = createWorld();
  const { served, keeper } = startReplica(world);
  await keeper.check();
  const secret = structuredClone(world.objects.get(SECRET)) as Json;
  world.store(SECRET, { ...secret, data: { ...(secret.data as Json), 'ca.key': '' } });
  expect(await keeper.check()).toBe(false);
  expect(served).toHaveLength(1);
  expect(serverTrustsServed(world, served[0])).toBe(true);
  await keeper.check();
  keeper.stop();
  expect(served).toHaveLength(2);
  expect(serverTrustsServed(world, served[0])).toBe(true);
  expect(serverTrustsServed(world, served[1])).toBe(true);
});

test.each([
  { name: 'by one that was serving', fresh: false },
  { name: 'by one that has just started and never saw the old CA', fresh: true },
])(
  'a Secret that was deleted is made anew $name, and what others still serve stays trusted',
  async ({ fresh }) => {
    const world = createWorld();
    const [first, other] = [startReplica(world), startReplica(world)];
    await Promise.all([first.keeper.check(), other.keeper.check()]);
    world.objects.delete(SECRET);
    const maker = fresh ? startReplica(world) : first;
    await maker.keeper.check();
    expect(serverTrustsServed(world, other.served.at(-1))).toBe(true);
    expect(serverTrustsServed(world, maker.served.at(-1))).toBe(true);
    for (let round = 0; round < 2; round += 1)
      for (const { keeper, served } of [maker, other]) {
        await keeper.check();
        expect(serverTrustsServed(world, served.at(-1))).toBe(true);
      }
    for (const { keeper } of [first, other, maker]) keeper.stop();
    expect(other.served.at(-1)?.certPem).toBe(maker.served.at(-1)?.certPem);
    expect(other.served).toHaveLength(2);
  },
);

test('what nobody trusts any more is not served a round longer', async () => {
  const world = createWorld();
  const [replica, thief] = [startReplica(world), createWorld()];
  await replica.keeper.check();
  // Somebody put another pair into the Secret, with another CA alone.
  const theirs = startReplica(thief);
  await theirs.keeper.check();
  theirs.keeper.stop();
  const secret = thief.objects.get(SECRET);
  if (secret === undefined) throw new Error('no secret was made');
  world.store(SECRET, secret);
  await replica.keeper.check();
  replica.keeper.stop();
  expect(replica.served.at(-1)?.certPem).toBe(theirs.served.at(-1)?.certPem);
  expect(serverTrustsServed(world, replica.served.at(-1))).toBe(true);
});

test('a configuration that is not installed keeps nothing from being served', async () => {
  const world = createWorld();
  world.objects.delete(MUTATING);
  const { served, keeper } = startReplica(world);
  expect(await keeper.check()).toBe(true);
  keeper.stop();
  expect(served).toHaveLength(1);
});

test('issued certificates carry the names, the validity and the purpose that TLS asks for', async () => {
  const ca = await issueCa(START);
  const [one, two] = await Promise.all([issueLeaf(ca, NAMES, START), issueLeaf(ca, NAMES, START)]);
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
  expect(leaf.validFromDate.getTime()).toBeLessThanOrEqual(START - 3_599_000);
  expect(leaf.serialNumber).not.toBe(new X509Certificate(two.certPem).serialNumber);
});
