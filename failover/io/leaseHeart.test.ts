import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { leasePath } from '../../kube/lease.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { type FakeApiServer, startFakeApiServer } from '../../test/contract/fakeApiServer.ts';
import { createLeaseHeart, type LeaseHeart } from './leaseHeart.ts';

const LEASE = leasePath('sallyport', 'gateway-gw-1');
const FOREIGN = { labels: { team: 'net' }, annotations: { why: 'x' } };

let server: FakeApiServer;
let client: KubeClient;
let heart: LeaseHeart;
beforeEach(async () => {
  server = await startFakeApiServer([leasePath('sallyport')]);
  client = createRestClient(server.access);
  heart = createLeaseHeart({
    client,
    namespace: 'sallyport',
    node: 'gw-1',
    durationSeconds: 3,
    wallClock: () => 0,
  });
});
afterEach(async () => {
  await client.close();
  await server.stop();
});

async function versionRead(): Promise<string> {
  const found = await heart.read();
  if (found === 'absent' || found === 'failed') throw new Error(found);
  return found.version;
}

async function versionWritten(request: Parameters<LeaseHeart['write']>[0]): Promise<string> {
  const outcome = await heart.write(request);
  if (outcome.kind !== 'accepted') throw new Error(outcome.kind);
  return outcome.version;
}

test('what others put to the metadata of a Lease outlives every heartbeat, and no new Lease has it', async () => {
  await versionWritten({ session: 1, holding: true });
  expect((await client.mergePatch(LEASE, { metadata: FOREIGN })).kind).toBe('ok');
  const opened = await versionWritten({ session: 2, holding: true, version: await versionRead() });
  await versionWritten({ session: 2, holding: false, version: opened });
  expect(await client.get(LEASE)).toMatchObject({
    value: { metadata: FOREIGN, spec: { leaseTransitions: 2, holderIdentity: '' } },
  });
  await client.remove(LEASE);
  expect(await heart.read()).toBe('absent');
  await versionWritten({ session: 3, holding: true });
  const made = await client.get(LEASE);
  expect(Object.keys(made.kind === 'ok' ? Object(made.value).metadata : {})).not.toContain('labels');
});
