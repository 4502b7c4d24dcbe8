import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FakeApiServer, startFakeApiServer } from '../test/contract/fakeApiServer.ts';
import { CONFIG_MAPS, configMap } from '../test/contract/kubeContract.ts';
import type { KubeClient, KubeOutcome, WatchFrame } from './kubeClient.ts';
import { KubeFailure } from './kubeClient.ts';
import { createRestClient } from './restClient.ts';

let server: FakeApiServer;
let client: KubeClient;
const DEADLINE_MS = 200;
const WATCH_IDLE_MS = 300;

beforeEach(async () => {
  server = await startFakeApiServer([CONFIG_MAPS]);
  client = createRestClient(server.access, { deadlineMs: DEADLINE_MS, watchIdleMs: WATCH_IDLE_MS });
});
afterEach(async () => {
  await client.close();
  await server.stop();
});

type Verdict = readonly [kind: string, code: string];

function verdict(outcome: KubeOutcome<unknown>): Verdict {
  return outcome.kind === 'ok' ? ['ok', ''] : [outcome.kind, outcome.error.code];
}

const READ = (): Promise<KubeOutcome<unknown>> => client.get(CONFIG_MAPS);
const WRITES: Readonly<Record<string, () => Promise<KubeOutcome<unknown>>>> = {
  create: () => client.create(CONFIG_MAPS, configMap('new')),
  replace: () => client.replace(`${CONFIG_MAPS}/old`, configMap('old')),
  'merge patch': () => client.mergePatch(`${CONFIG_MAPS}/old`, { data: {} }),
  'JSON patch': () => client.jsonPatch(`${CONFIG_MAPS}/old`, []),
  apply: () => client.apply(`${CONFIG_MAPS}/old`, configMap('old'), { fieldManager: 'test' }),
  remove: () => client.remove(`${CONFIG_MAPS}/old`),
};

describe.each(Object.entries(WRITES))('%s', (_name, write) => {
  beforeEach(() => client.create(CONFIG_MAPS, configMap('old')));

  test('whose answer is lost is unknown, and so is one that nobody answers or that ends in a 5xx', async () => {
    server.intercept(() => ({ kind: 'lose-answer' }));
    expect(verdict(await write())).toEqual(['unknown', 'unreachable']);
    server.intercept(() => ({ kind: 'hang' }));
    expect(verdict(await write())).toEqual(['unknown', 'timeout']);
    server.intercept(() => ({ kind: 'refuse', status: 500, reason: 'InternalError' }));
    expect(verdict(await write())).toEqual(['unknown', 'server-error']);
  });

  test('that was refused is refused', async () => {
    server.intercept(() => ({ kind: 'refuse', status: 422, reason: 'Invalid' }));
    expect(verdict(await write())).toEqual(['refused', 'invalid']);
  });
});

test('a request that was answered leaves no timer behind', async () => {
  const patient = createRestClient(server.access);
  await patient.get(CONFIG_MAPS);
  const timers = (): number => process.getActiveResourcesInfo().filter((it) => it === 'Timeout').length;
  const before = timers();
  for (let at = 0; at < 20; at += 1) await patient.get(CONFIG_MAPS);
  expect(timers()).toBe(before);
  await patient.close();
});

test('a create whose answer was lost did happen: it must be read back', async () => {
  server.intercept(({ method }) => (method === 'POST' ? { kind: 'lose-answer' } : undefined));
  expect((await client.create(CONFIG_MAPS, configMap('lost'))).kind).toBe('unknown');
  expect((await client.get(`${CONFIG_MAPS}/lost`)).kind).toBe('ok');
});

test('a read is never unknown', async () => {
  server.intercept(() => ({ kind: 'lose-answer' }));
  expect(verdict(await READ())).toEqual(['refused', 'unreachable']);
  server.intercept(() => ({ kind: 'hang' }));
  expect(verdict(await READ())).toEqual(['refused', 'timeout']);
  server.intercept(() => ({ kind: 'refuse', status: 503, reason: 'ServiceUnavailable' }));
  expect(verdict(await READ())).toEqual(['refused', 'server-error']);
});

test('a server that is not there has been sent nothing: reads and writes are refused', async () => {
  await server.stop();
  expect(verdict(await READ())).toEqual(['refused', 'unreachable']);
  expect(verdict(await client.create(CONFIG_MAPS, configMap('a')))).toEqual(['refused', 'unreachable']);
});

test('too many requests tells when to come again', async () => {
  server.intercept(() => ({ kind: 'refuse', status: 429, reason: 'TooManyRequests', retryAfter: 2 }));
  expect(await READ()).toMatchObject({
    kind: 'refused',
    error: {
      code: 'too-many-requests',
      transient: true,
      retryAfterMs: 2000,
      message: 'refused: TooManyRequests',
    },
  });
});

test('broken JSON is a fault of the protocol, another content type is text', async () => {
  server.intercept(() => ({ kind: 'answer', status: 200, contentType: 'application/json', text: '{"a":' }));
  expect(verdict(await READ())).toEqual(['refused', 'protocol']);
  server.intercept(() => ({ kind: 'answer', status: 502, contentType: 'text/html', text: '<b>no</b>' }));
  expect(await READ()).toMatchObject({ error: { code: 'server-error', message: '<b>no</b>' } });
});

test('a body that JSON cannot carry throws, for no network would ever take it', async () => {
  await expect(client.create(CONFIG_MAPS, { value: 1n })).rejects.toThrow(TypeError);
});

test('connections are kept between requests, and the pool is replaced after three time-outs in a row', async () => {
  await Promise.all([READ(), READ(), READ(), READ()]);
  await READ();
  expect(server.connections).toEqual({ accepted: 4, open: 4 });
  // Each time-out costs the connection that it was on; those left are not trusted either.
  server.intercept(() => ({ kind: 'hang' }));
  for (let attempt = 0; attempt < 3; attempt += 1) expect(verdict(await READ())[1]).toBe('timeout');
  server.intercept(() => undefined);
  expect((await READ()).kind).toBe('ok');
  await expect.poll(() => server.connections.open).toBe(1);
});

describe('a watch', () => {
  const aborter = () => new AbortController();

  async function collect(watch: AsyncIterable<WatchFrame>, onFrame: (frame: WatchFrame) => void = () => {}) {
    const types: string[] = [];
    for await (const frame of watch) {
      types.push(frame.type);
      onFrame(frame);
    }
    return types;
  }

  const isWatch = ({ query }: { readonly query: URLSearchParams }): boolean => query.get('watch') === 'true';

  /** The error that the watch broke with. */
  async function failure(watch: AsyncIterable<WatchFrame>) {
    try {
      await collect(watch);
    } catch (thrown) {
      if (thrown instanceof KubeFailure) return thrown.error;
      throw thrown;
    }
    throw new Error('the watch did not break');
  }

  test('yields frames in order and returns when the server ends it', async () => {
    await client.create(CONFIG_MAPS, configMap('a'));
    const watch = client.watch(CONFIG_MAPS, { resourceVersion: '0' }, aborter().signal);
    const collected = collect(watch, ({ type }) => {
      if (type === 'ADDED') server.bookmark();
      else server.closeWatches('end');
    });
    expect(await collected).toEqual(['ADDED', 'BOOKMARK']);
  });

  test('ends quietly when it is aborted', async () => {
    const controller = aborter();
    const collected = collect(client.watch(CONFIG_MAPS, { resourceVersion: '0' }, controller.signal));
    await server.whenSeen(isWatch);
    controller.abort();
    expect(await collected).toEqual([]);
  });

  test('that falls silent is given up, however alive its connection looks', async () => {
    const error = await failure(client.watch(CONFIG_MAPS, { resourceVersion: '0' }, aborter().signal));
    expect(error).toMatchObject({ code: 'timeout', transient: true });
  });

  test('lives as long as anything comes', async () => {
    const watch = client.watch(CONFIG_MAPS, { resourceVersion: '0' }, aborter().signal);
    let bookmarks = 0;
    const next = (): void => {
      if (bookmarks === 6) return server.closeWatches('end');
      bookmarks += 1;
      server.bookmark();
    };
    // The pace is the point: each comes well within the limit, all of them take three times as long.
    const collected = collect(watch, () => void setTimeout(next, WATCH_IDLE_MS / 2));
    await server.whenSeen(isWatch);
    next();
    expect(await collected).toHaveLength(6);
  });

  test('on a server that takes it and never answers is given up too', async () => {
    server.intercept(() => ({ kind: 'hang' }));
    expect((await failure(client.watch(CONFIG_MAPS, {}, aborter().signal))).code).toBe('timeout');
  });

  test('that is cut breaks', async () => {
    const broken = failure(client.watch(CONFIG_MAPS, { resourceVersion: '0' }, aborter().signal));
    await server.whenSeen(isWatch);
    server.closeWatches('cut');
    expect((await broken).code).toBe('unreachable');
  });

  test('that is refused breaks with the reason', async () => {
    server.intercept(() => ({ kind: 'refuse', status: 410, reason: 'Expired' }));
    expect((await failure(client.watch(CONFIG_MAPS, {}, aborter().signal))).code).toBe('gone');
  });

  test('that brings something else than frames breaks', async () => {
    const broken = failure(client.watch(CONFIG_MAPS, { resourceVersion: '0' }, aborter().signal));
    await server.whenSeen(isWatch);
    server.sendOnWatches('{"object":{}}\n');
    expect((await broken).code).toBe('protocol');
  });

  test('does not take a connection from requests', async () => {
    const controller = aborter();
    const watches = Array.from({ length: 8 }, () =>
      collect(client.watch(CONFIG_MAPS, { resourceVersion: '0' }, controller.signal)),
    );
    expect((await READ()).kind).toBe('ok');
    controller.abort();
    await Promise.all(watches);
  });
});
