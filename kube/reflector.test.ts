import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLogger } from '../runtime/logger.ts';
import { collectReflector } from '../test/contract/collectReflector.ts';
import { type FakeApiServer, type SeenRequest, startFakeApiServer } from '../test/contract/fakeApiServer.ts';
import { CONFIG_MAPS, configMap, projectConfigMap } from '../test/contract/kubeContract.ts';
import type { KubeClient } from './kubeClient.ts';
import { type Reflector, type ReflectorOptions, startReflector } from './reflector.ts';
import { createRestClient } from './restClient.ts';

const WATCH_IDLE_MS = 300;
const PAGE_ITEMS = 2;
const logger = createLogger({ program: 'test', level: 'error' });
let server: FakeApiServer;
let client: KubeClient;
let reflector: Reflector | undefined;

beforeEach(async () => {
  server = await startFakeApiServer([CONFIG_MAPS], { pageItemsMax: PAGE_ITEMS });
  client = createRestClient(server.access, { watchIdleMs: WATCH_IDLE_MS });
  for (const name of ['a', 'b', 'c']) await client.create(CONFIG_MAPS, configMap(name, { v: '1' }));
});
afterEach(async () => {
  await reflector?.stop();
  reflector = undefined;
  await client.close();
  await server.stop();
});

function follow(options: Partial<ReflectorOptions<string>> = {}) {
  const seen = collectReflector<string>();
  reflector = startReflector({
    client,
    path: CONFIG_MAPS,
    project: projectConfigMap,
    onEvent: seen.onEvent,
    logger,
    random: () => 0,
    ...options,
  });
  return seen;
}

const isWatch = ({ query }: SeenRequest): boolean => query.get('watch') === 'true';
const isList = (request: SeenRequest): boolean => request.method === 'GET' && !isWatch(request);
const isFirstPage = (request: SeenRequest): boolean => isList(request) && !request.query.has('continue');
const watches = (): readonly SeenRequest[] => server.seen.filter(isWatch);

/** The next request that satisfies `matches` gets this, those after it are served. */
function once(
  matches: (request: SeenRequest) => boolean,
  intervention: ReturnType<Parameters<FakeApiServer['intercept']>[0]>,
): void {
  let done = false;
  server.intercept((request) => {
    if (done || !matches(request)) return undefined;
    done = true;
    return intervention;
  });
}

test('lists by pages without a version, then watches from the first page on, with bookmarks', async () => {
  const seen = follow();
  await server.whenSeen(isWatch);
  expect(seen.events).toMatchObject([{ kind: 'synced' }]);
  expect([...seen.items.keys()]).toEqual(['a', 'b', 'c']);
  const lists = server.seen.filter(isList);
  expect(lists.map(({ query }) => query.get('limit'))).toEqual(['500', '500']);
  expect(lists.some(({ query }) => query.has('resourceVersion'))).toBe(false);
  const query = Object.fromEntries(watches()[0]?.query ?? []);
  expect(query).toEqual({
    watch: 'true',
    resourceVersion: '103',
    allowWatchBookmarks: 'true',
    timeoutSeconds: '240',
  });
});

test('a page that expired starts the list anew, and nothing is published before the last page is in', async () => {
  let expired = false;
  server.intercept((request) => {
    if (isList(request) && request.query.has('continue') && !expired) {
      expired = true;
      server.compact();
    }
    return undefined;
  });
  const seen = follow();
  await seen.until(() => seen.count('synced') === 1);
  expect(seen.events.map(({ kind }) => kind)).toEqual(['disconnected', 'synced']);
  expect(seen.items.size).toBe(3);
});

test.each([
  { name: 'as an HTTP status', intervention: { kind: 'refuse', status: 410, reason: 'Expired' } as const },
  { name: 'as an event of the watch', intervention: undefined },
])('history that is gone, told $name, is answered by a new list', async ({ intervention }) => {
  if (intervention === undefined) {
    let compacted = false;
    server.intercept((request) => {
      if (isWatch(request) && !compacted) {
        compacted = true;
        server.compact();
      }
      return undefined;
    });
  } else once(isWatch, intervention);
  const seen = follow();
  await seen.until(() => seen.count('synced') === 2);
  expect(seen.events[1]).toMatchObject({ kind: 'disconnected', error: { code: 'gone' } });
  await client.mergePatch(`${CONFIG_MAPS}/a`, { data: { v: '2' } });
  await seen.until(() => seen.items.get('a') === '2');
});

test('a broken watch is resumed where it was, without a list and without a loss', async () => {
  const seen = follow();
  await server.whenSeen(isWatch);
  await client.mergePatch(`${CONFIG_MAPS}/a`, { data: { v: '2' } });
  await seen.until(() => seen.items.get('a') === '2');
  server.closeWatches('cut');
  await client.mergePatch(`${CONFIG_MAPS}/b`, { data: { v: '3' } });
  await client.remove(`${CONFIG_MAPS}/c`);
  await seen.until(() => seen.items.get('b') === '3' && !seen.items.has('c'));
  expect(watches()[1]?.query.get('resourceVersion')).toBe('104');
  expect(seen.count('synced')).toBe(1);
});

test('bookmarks move the place that a watch is resumed from', async () => {
  const seen = follow();
  await server.whenSeen(isWatch);
  server.compact();
  server.bookmark();
  server.closeWatches('end');
  await server.whenSeen(
    (request) => isWatch(request) && Number(request.query.get('resourceVersion')) === 104,
  );
  expect(seen.count('synced')).toBe(1);
});

test('a silent watch is given up and opened again', async () => {
  const seen = follow();
  await seen.until(() => seen.count('disconnected') === 1);
  expect(seen.events[1]).toMatchObject({ error: { code: 'timeout' } });
  await client.mergePatch(`${CONFIG_MAPS}/a`, { data: { v: '2' } });
  await seen.until(() => seen.items.get('a') === '2');
});

test('a server that asks for a pause gets it', async () => {
  once(isWatch, { kind: 'refuse', status: 429, reason: 'TooManyRequests', retryAfter: 1 });
  const seen = follow();
  await seen.until(() => seen.count('disconnected') === 1);
  const refusedAtMs = performance.now();
  await server.whenSeen((request) => isWatch(request) && request !== watches()[0]);
  expect(performance.now() - refusedAtMs).toBeGreaterThan(950);
});

test('watches that end as soon as they are opened do not spin', async () => {
  server.intercept((request) => (isWatch(request) ? { kind: 'end-watch' } : undefined));
  const beganMs = performance.now();
  follow();
  await server.whenSeen(() => watches().length === 4);
  // 100, 200 and 400 ms at the least: half of each pause is jitter, and random is 0 here.
  expect(performance.now() - beganMs).toBeGreaterThan(690);
});

test('lists and watches that fail by turns back off too', async () => {
  server.intercept((request) =>
    isWatch(request) ? { kind: 'refuse', status: 410, reason: 'Expired' } : undefined,
  );
  const beganMs = performance.now();
  const seen = follow();
  await seen.until(() => seen.count('synced') === 4);
  expect(performance.now() - beganMs).toBeGreaterThan(690);
});

test('everything is listed again every ten minutes, for a version from the future stays silent', async () => {
  let skippedMs = 0;
  const seen = follow({ now: () => performance.now() + skippedMs });
  await server.whenSeen(isWatch);
  skippedMs = 9 * 60_000;
  server.bookmark();
  await client.mergePatch(`${CONFIG_MAPS}/a`, { data: { v: '2' } });
  await seen.until(() => seen.items.get('a') === '2');
  expect(seen.count('synced')).toBe(1);
  skippedMs = 11 * 60_000;
  server.bookmark();
  await seen.until(() => seen.count('synced') === 2);
  expect(seen.count('disconnected')).toBe(0);
});

describe('after an outage of the API server', () => {
  const away = { kind: 'refuse', status: 503, reason: 'ServiceUnavailable' } as const;
  const isProbe = (request: SeenRequest): boolean => isList(request) && request.query.get('limit') === '1';

  /** The watch is cut, and the next one finds nobody. */
  async function outage(seen: ReturnType<typeof follow>, between: () => void = () => undefined) {
    await server.whenSeen(isWatch);
    once(isWatch, away);
    server.closeWatches('cut');
    await seen.until(() => seen.count('disconnected') === 2);
    between();
    await server.whenSeen(isProbe);
  }

  test('everything is listed again at once where the history has gone back', async () => {
    const seen = follow();
    await client.mergePatch(`${CONFIG_MAPS}/a`, { data: { v: '2' } });
    await seen.until(() => seen.items.get('a') === '2');
    await outage(seen, () => server.restore(103));
    await seen.until(() => seen.count('synced') === 2);
    expect(seen.items.get('a')).toBe('1');
    await client.mergePatch(`${CONFIG_MAPS}/b`, { data: { v: '3' } });
    await seen.until(() => seen.items.get('b') === '3');
  });

  test('and within a minute where that cannot be told', async () => {
    let skippedMs = 0;
    const seen = follow({ now: () => performance.now() + skippedMs, random: () => 0.5 });
    await outage(seen);
    const again = (request: SeenRequest): boolean =>
      isWatch(request) && Number(request.query.get('timeoutSeconds')) <= 30;
    await server.whenSeen(again);
    expect(seen.count('synced')).toBe(1);
    skippedMs = 31_000;
    server.closeWatches('end');
    await seen.until(() => seen.count('synced') === 2);
  });

  test('a watch that was cut and found somebody again is no outage', async () => {
    const seen = follow();
    await server.whenSeen(isWatch);
    server.closeWatches('cut');
    await client.mergePatch(`${CONFIG_MAPS}/b`, { data: { v: '3' } });
    await seen.until(() => seen.items.get('b') === '3');
    expect(server.seen.some(isProbe)).toBe(false);
  });
});

test('a collection that is not served counts as empty where that is expected, and as unknown elsewhere', async () => {
  const expected = follow({ path: '/apis/x/v1/absents', absentIsEmpty: true });
  await expected.until(() => expected.count('disconnected') === 1);
  expect(expected.events.map(({ kind }) => kind)).toEqual(['synced', 'disconnected']);
  await reflector?.stop();
  const unexpected = follow({ path: '/apis/x/v1/absents' });
  await unexpected.until(() => unexpected.count('disconnected') === 2);
  expect(unexpected.count('synced')).toBe(0);
});

test('no event comes after stop, not even one that has arrived already', async () => {
  const seen = collectReflector<string>();
  follow({
    onEvent: (event) => {
      seen.onEvent(event);
      if (event.kind === 'upserted') void reflector?.stop();
    },
  });
  await server.whenSeen(isWatch);
  const frame = (name: string): string =>
    `${JSON.stringify({ type: 'ADDED', object: configMap(name, { v: '1' }) })}\n`;
  server.sendOnWatches(frame('d') + frame('e'));
  await seen.until(() => seen.count('upserted') === 1);
  await reflector?.stop();
  expect(seen.events.map(({ kind }) => kind)).toEqual(['synced', 'upserted']);
});

test('what the handler throws surfaces as an uncaught exception', async () => {
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  try {
    const surfaced = new Promise((resolve) => process.once('uncaughtException', resolve));
    const broken = new Error('a bug in the handler');
    follow({
      onEvent: () => {
        throw broken;
      },
    });
    expect(await surfaced).toBe(broken);
  } finally {
    for (const listener of others) process.on('uncaughtException', listener);
  }
});

test('the first page of a list is asked for once a sync', async () => {
  const seen = follow();
  await seen.until(() => seen.count('synced') === 1);
  expect(server.seen.filter(isFirstPage)).toHaveLength(1);
});
