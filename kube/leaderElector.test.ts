import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLogger } from '../runtime/logger.ts';
import { type FakeApiServer, type SeenRequest, startFakeApiServer } from '../test/contract/fakeApiServer.ts';
import type { KubeClient } from './kubeClient.ts';
import { type ElectionClock, type LeaderElector, startLeaderElector } from './leaderElector.ts';
import { type LeaseRecord, leasePath, parseLease, renderLease } from './lease.ts';
import { createRestClient } from './restClient.ts';

const LEASES = leasePath('sallyport');
const LEASE = leasePath('sallyport', 'leader');
const TIMES = { leaseDurationMs: 1000, renewDeadlineMs: 700, retryPeriodMs: 50 };
const DEADLINE_MS = 150;
const logger = createLogger({ program: 'test', level: 'error' });

let server: FakeApiServer;
let client: KubeClient;
const started: LeaderElector[] = [];
beforeEach(async () => {
  server = await startFakeApiServer([LEASES]);
  client = createRestClient(server.access, { deadlineMs: DEADLINE_MS });
});
afterEach(async () => {
  server.intercept(() => undefined);
  await Promise.all(started.splice(0).map((elector) => elector.stop()));
  await client.close();
  await server.stop();
});

function run(identity: string, clock?: ElectionClock) {
  const changes: string[] = [];
  const elector = startLeaderElector({
    client,
    namespace: 'sallyport',
    name: 'leader',
    identity,
    ...TIMES,
    logger,
    onChange: (role, term) => changes.push(`${role} ${term}`),
    ...(clock === undefined ? {} : { clock }),
  });
  started.push(elector);
  return { elector, changes };
}

async function stored(): Promise<LeaseRecord | undefined> {
  const outcome = await client.get(LEASE);
  return outcome.kind === 'ok' ? parseLease(outcome.value) : undefined;
}

const isRenewal = ({ method }: SeenRequest): boolean => method === 'PUT';
const renewals = (): number => server.seen.filter(isRenewal).length;

test('creates the Lease, leads, renews, and releases at the end', async () => {
  const { elector, changes } = run('a');
  await expect.poll(renewals).toBeGreaterThan(2);
  expect(changes).toEqual(['leader 1']);
  expect(elector.holdsUntilMs() - performance.now()).toBeGreaterThan(TIMES.renewDeadlineMs / 2);
  const held = await stored();
  expect(held).toMatchObject({ holder: 'a', transitions: 1, durationSeconds: 1 });
  expect(held?.renewTime).toMatch(/\.\d{6}Z$/);
  await elector.stop();
  expect(changes).toEqual(['leader 1', 'follower 1']);
  expect(elector.holdsUntilMs()).toBe(Number.NEGATIVE_INFINITY);
  expect(await stored()).toMatchObject({ holder: '', transitions: 1 });
  const after = renewals();
  await elector.stop();
  expect(renewals()).toBe(after);
});

test('what others put to the metadata of the Lease outlives renewals and the release, and no new Lease has it', async () => {
  const { elector } = run('a');
  await expect.poll(renewals).toBeGreaterThan(0);
  const metadata = { labels: { team: 'net' }, annotations: { why: 'x' } };
  expect((await client.mergePatch(LEASE, { metadata })).kind).toBe('ok');
  const before = renewals();
  await expect.poll(renewals).toBeGreaterThan(before + 3);
  await elector.stop();
  expect(await client.get(LEASE)).toMatchObject({ value: { metadata, spec: { holderIdentity: '' } } });
  const next = run('b');
  await expect.poll(() => next.changes).toEqual(['leader 2']);
  await client.remove(LEASE);
  await expect.poll(async () => (await stored())?.holder).toBe('b');
  const made = await client.get(LEASE);
  expect(made.kind === 'ok' && Object(made.value).metadata).not.toHaveProperty('labels');
});

test('a second candidate waits, and takes a released Lease in the next term', async () => {
  const first = run('a');
  await expect.poll(() => first.changes).toEqual(['leader 1']);
  const second = run('b');
  await server.whenSeen(({ method, path }) => method === 'GET' && path === LEASE);
  expect(second.elector.holdsUntilMs()).toBe(Number.NEGATIVE_INFINITY);
  await first.elector.stop();
  await expect.poll(() => second.changes).toEqual(['leader 2']);
});

test('a dead holder is waited for as long as it said, from when we first saw it', async () => {
  const record: LeaseRecord = {
    name: 'leader',
    namespace: 'sallyport',
    uid: '',
    resourceVersion: '',
    holder: 'dead',
    durationSeconds: 1,
    acquireTime: '2020-01-01T00:00:00.000000Z',
    renewTime: '2020-01-01T00:00:00.000000Z',
    transitions: 6,
  };
  await client.create(LEASES, renderLease(record));
  const beganMs = performance.now();
  const { changes } = run('a');
  await expect.poll(() => changes, { timeout: 3000, interval: 10 }).toEqual(['leader 7']);
  expect(performance.now() - beganMs).toBeGreaterThan(1000);
});

test('lost answers to renewals cost nothing', async () => {
  const { changes } = run('a');
  await expect.poll(renewals).toBeGreaterThan(0);
  let lost = 0;
  server.intercept((request) => {
    if (!isRenewal(request) || lost === 2) return undefined;
    lost += 1;
    return { kind: 'lose-answer' };
  });
  await expect.poll(() => lost).toBe(2);
  const before = renewals();
  await expect.poll(renewals).toBeGreaterThan(before + 2);
  expect(changes).toEqual(['leader 1']);
});

test('a server that answers nothing more ends the leadership by the deadline, and it comes back in a new term', async () => {
  const { elector, changes } = run('a');
  await expect.poll(() => changes).toEqual(['leader 1']);
  server.intercept(() => ({ kind: 'hang' }));
  const heldUntilMs = elector.holdsUntilMs();
  await expect.poll(() => changes, { timeout: 3000, interval: 5 }).toEqual(['leader 1', 'follower 1']);
  expect(performance.now()).toBeGreaterThanOrEqual(heldUntilMs);
  expect(elector.holdsUntilMs()).toBe(Number.NEGATIVE_INFINITY);
  server.intercept(() => undefined);
  await expect.poll(() => changes, { timeout: 3000 }).toEqual(['leader 1', 'follower 1', 'leader 2']);
});

test('somebody else in the Lease ends the leadership at the next renewal', async () => {
  const { changes } = run('a');
  await expect.poll(() => changes).toEqual(['leader 1']);
  await client.mergePatch(LEASE, { spec: { holderIdentity: 'thief' } });
  await expect.poll(() => changes).toEqual(['leader 1', 'follower 1']);
});

test('a suspended machine does not believe in its leadership any more when it wakes', async () => {
  let suspendedMs = 0;
  const clock: ElectionClock = {
    monotonic: () => performance.now(),
    wall: () => Date.now() + suspendedMs,
    random: () => 0,
  };
  const { elector, changes } = run('a', clock);
  await expect.poll(() => changes).toEqual(['leader 1']);
  suspendedMs = 60_000;
  expect(elector.holdsUntilMs()).toBe(Number.NEGATIVE_INFINITY);
  expect(changes).toEqual(['leader 1', 'follower 1']);
  await expect.poll(() => changes).toEqual(['leader 1', 'follower 1', 'leader 2']);
});

test('stopped while its first claim is out, it releases what it may have got', async () => {
  const { elector, changes } = run('a');
  await server.whenSeen(({ method }) => method === 'POST');
  await elector.stop();
  expect(changes).toEqual([]);
  expect((await stored())?.holder).toBe('');
});

test('durations that do not keep two leaders apart are refused', () => {
  expect(() =>
    startLeaderElector({
      client,
      namespace: 'sallyport',
      name: 'leader',
      identity: 'a',
      leaseDurationMs: 1000,
      renewDeadlineMs: 1000,
      retryPeriodMs: 50,
      logger,
      onChange: () => {},
    }),
  ).toThrow(RangeError);
});
