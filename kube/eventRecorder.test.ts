import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLogger } from '../runtime/logger.ts';
import { type FakeApiServer, startFakeApiServer } from '../test/contract/fakeApiServer.ts';
import { createEventRecorder, type EventOccurrence, type EventRecorder } from './eventRecorder.ts';
import type { KubeClient } from './kubeClient.ts';
import { createRestClient } from './restClient.ts';

const EVENTS = '/api/v1/namespaces/default/events';
const moved: EventOccurrence = {
  regarding: { apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressIP', name: '203.0.113.10', uid: 'u' },
  type: 'Normal',
  reason: 'Moved',
  message: 'gw-1 → gw-2',
};
let server: FakeApiServer;
let client: KubeClient;
let recorder: EventRecorder;
let nowMs = 0;

beforeEach(async () => {
  nowMs = 0;
  server = await startFakeApiServer([EVENTS]);
  client = createRestClient(server.access);
  recorder = createEventRecorder({
    client,
    component: 'sallyport-controller',
    instance: 'pod-1',
    logger: createLogger({ program: 'test', level: 'error', write: () => {} }),
    wallClock: () => nowMs,
  });
});
afterEach(async () => {
  await recorder.stop();
  await client.close();
  await server.stop();
});

async function stored(): Promise<readonly Record<string, unknown>[]> {
  const outcome = await client.get(EVENTS);
  if (outcome.kind !== 'ok') throw new Error(outcome.error.message);
  return (outcome.value as { readonly items: readonly Record<string, unknown>[] }).items;
}

test('an occurrence becomes an Event in the namespace where kubectl looks for it', async () => {
  recorder.record(moved);
  await recorder.stop();
  expect(await stored()).toMatchObject([
    {
      metadata: { namespace: 'default', name: expect.stringMatching(/^203\.0\.113\.10\.[0-9a-f]{16}$/) },
      involvedObject: moved.regarding,
      type: 'Normal',
      reason: 'Moved',
      message: 'gw-1 → gw-2',
      firstTimestamp: '1970-01-01T00:00:00Z',
      count: 1,
    },
  ]);
});

test('repeats raise its count, also after the Event itself has expired', async () => {
  recorder.record(moved);
  nowMs = 10_000;
  recorder.record(moved);
  nowMs = 40_000;
  recorder.record(moved);
  await expect.poll(async () => (await stored())[0]?.count).toBe(3);
  const [{ metadata } = { metadata: {} }] = await stored();
  await client.remove(`${EVENTS}/${(metadata as { readonly name: string }).name}`);
  nowMs = 3_700_000;
  recorder.record(moved);
  await recorder.stop();
  expect((await stored()).map(({ count }) => count)).toEqual([4]);
});

test('an API server that is away costs neither memory nor an exception', async () => {
  server.intercept(() => ({ kind: 'refuse', status: 403, reason: 'Forbidden' }));
  for (let index = 0; index < 1000; index += 1)
    recorder.record({ ...moved, regarding: { ...moved.regarding, name: `ip-${index}` } });
  await recorder.stop();
  expect(server.seen.length).toBeLessThanOrEqual(257);
});

test('a long message is cut to what the API server takes', async () => {
  recorder.record({ ...moved, message: 'x'.repeat(5000) });
  await recorder.stop();
  expect(String((await stored())[0]?.message)).toHaveLength(1024);
});
