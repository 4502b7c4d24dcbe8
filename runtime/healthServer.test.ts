import { Gauge, Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { type HealthChecks, type HealthServer, startHealthServer } from './healthServer.ts';
import { createLogger } from './logger.ts';

const logger = createLogger({ program: 'test', level: 'error', write: () => {} });
let server: HealthServer | undefined;
afterEach(() => server?.stop());

async function start(
  checks: {
    readonly liveness?: HealthChecks;
    readonly readiness?: HealthChecks;
    readonly registry?: Registry;
  } = {},
) {
  const options = { liveness: {}, readiness: {}, registry: new Registry(), ...checks };
  const started = await startHealthServer({
    port: 0,
    host: '127.0.0.1',
    defaultMetrics: false,
    logger,
    ...options,
  });
  server = started;
  return async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`http://127.0.0.1:${started.port}${path}`, init);
    return [response.status, await response.text()] as const;
  };
}

test('alive and ready are answered apart, each check by name with its reason', async () => {
  let synced = false;
  const get = await start({
    liveness: { loop: () => undefined },
    readiness: {
      caches: () => (synced ? undefined : 'egressips are not synced yet'),
      lease: () => undefined,
    },
  });
  expect(await get('/healthz')).toEqual([200, 'loop: ok\n']);
  expect(await get('/readyz')).toEqual([503, 'caches: egressips are not synced yet\nlease: ok\n']);
  synced = true;
  expect(await get('/readyz?verbose')).toEqual([200, 'caches: ok\nlease: ok\n']);
});

test('a check that throws is unwell, and the server goes on', async () => {
  const get = await start({
    readiness: {
      broken: () => {
        throw new Error('a bug');
      },
    },
  });
  expect(await get('/readyz')).toEqual([503, 'broken: the check itself failed: a bug\n']);
  expect(await get('/healthz')).toEqual([200, 'ok\n']);
});

test('metrics come from the registry, and a broken collector is a 500', async () => {
  const registry = new Registry();
  new Gauge({ name: 'sallyport_test', help: 'h', registers: [registry] }).set(7);
  const get = await start({ registry });
  expect((await get('/metrics'))[1]).toContain('sallyport_test 7');
  new Gauge({
    name: 'sallyport_broken',
    help: 'h',
    registers: [registry],
    collect: () => {
      throw new Error('a bug');
    },
  });
  expect((await get('/metrics'))[0]).toBe(500);
});

test('nothing else is served', async () => {
  const get = await start();
  expect((await get('/'))[0]).toBe(404);
  expect((await get('/healthz', { method: 'POST' }))[0]).toBe(405);
});

test('a port that is taken is told', async () => {
  await start();
  const again = startHealthServer({
    port: server?.port ?? 0,
    host: '127.0.0.1',
    liveness: {},
    readiness: {},
    registry: new Registry(),
    defaultMetrics: false,
    logger,
  });
  await expect(again).rejects.toThrow('EADDRINUSE');
});
