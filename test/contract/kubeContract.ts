/** What our client and reflector expect of an API server, the same for the real one and for the fake. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterAccess } from '../../kube/inClusterAccess.ts';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import { formatMicroTime, type LeaseRecord, leasePath, parseLease, renderLease } from '../../kube/lease.ts';
import { startReflector } from '../../kube/reflector.ts';
import { createRestClient } from '../../kube/restClient.ts';
import { createLogger } from '../../runtime/logger.ts';
import { collectReflector } from './collectReflector.ts';

export const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const LEASES = leasePath('default');
export const CONTRACT_COLLECTIONS = [CONFIG_MAPS, LEASES];
/** More than one page of a list. */
const MANY = 620;
const AT_ONCE = 20;
const logger = createLogger({ program: 'test', level: 'error' });

export interface StoredConfigMap {
  readonly metadata: { readonly name: string; readonly resourceVersion: string; readonly uid: string };
  readonly data?: { readonly v?: string };
}

export function configMap(name: string, data: Readonly<Record<string, string>> = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { test: 'contract' } }, data };
}

export function expectOk(outcome: KubeOutcome<unknown>): StoredConfigMap {
  if (outcome.kind !== 'ok')
    throw new Error(`${outcome.kind}: ${outcome.error.code} ${outcome.error.message}`);
  return outcome.value as StoredConfigMap;
}

export function projectConfigMap(raw: unknown) {
  const { metadata, data } = raw as StoredConfigMap;
  return data?.v === undefined ? undefined : { key: metadata.name, value: data.v };
}

export function describeKubeContract(name: string, access: () => ClusterAccess): void {
  describe(name, () => {
    let client: KubeClient;
    beforeAll(() => {
      client = createRestClient(access());
    });
    afterAll(() => client.close());
    const follow = () => {
      const seen = collectReflector<string>();
      const reflector = startReflector({
        client,
        path: CONFIG_MAPS,
        query: { labelSelector: 'test=contract' },
        project: projectConfigMap,
        onEvent: seen.onEvent,
        logger,
      });
      return { seen, reflector };
    };

    test('creates, reads, patches and removes; says what is there already and what is not', async () => {
      const { metadata } = expectOk(await client.create(CONFIG_MAPS, configMap('a', { v: '1' })));
      expect(await client.create(CONFIG_MAPS, configMap('a'))).toMatchObject({
        kind: 'refused',
        error: { code: 'already-exists', transient: false },
      });
      expect(
        expectOk(await client.mergePatch(`${CONFIG_MAPS}/a`, { data: { v: null, w: '3' } })).data,
      ).toEqual({ w: '3' });
      expect(await client.remove(`${CONFIG_MAPS}/a`, { uid: 'another' })).toMatchObject({
        kind: 'refused',
        error: { code: 'conflict' },
      });
      expectOk(await client.remove(`${CONFIG_MAPS}/a`, { uid: metadata.uid }));
      expect(await client.get(`${CONFIG_MAPS}/a`)).toMatchObject({
        kind: 'refused',
        error: { code: 'not-found', status: 404, transient: false },
      });
    });

    test('of two writers over one version the second is refused', async () => {
      const { metadata } = expectOk(await client.create(CONFIG_MAPS, configMap('swap')));
      const swap = {
        ...configMap('swap', { v: '2' }),
        metadata: { name: 'swap', resourceVersion: metadata.resourceVersion },
      };
      expectOk(await client.replace(`${CONFIG_MAPS}/swap`, swap));
      expect(await client.replace(`${CONFIG_MAPS}/swap`, swap)).toMatchObject({
        kind: 'refused',
        error: { code: 'conflict', status: 409 },
      });
    });

    test('gives a Lease back as it was written, MicroTimes to the last digit', async () => {
      const record: LeaseRecord = {
        name: 'micro',
        namespace: 'default',
        uid: '',
        resourceVersion: '',
        holder: 'gw-1/1',
        durationSeconds: 3,
        acquireTime: formatMicroTime(1_700_000_000_123.456),
        renewTime: formatMicroTime(1_700_000_001_000),
        transitions: 1,
      };
      const stored = parseLease(expectOk(await client.create(LEASES, renderLease(record))));
      expect(stored).toEqual({ ...record, uid: stored?.uid, resourceVersion: stored?.resourceVersion });
      expect(stored?.acquireTime).toBe('2023-11-14T22:13:20.123456Z');
    });

    test('a reflector lists by pages, follows changes, and drops what it no longer keeps', async () => {
      const names = Array.from({ length: MANY }, (_, index) => `page-${index}`);
      for (let start = 0; start < MANY; start += AT_ONCE) {
        const some = names.slice(start, start + AT_ONCE);
        await Promise.all(some.map((it) => client.create(CONFIG_MAPS, configMap(it, { v: '1' }))));
      }
      const { seen, reflector } = follow();
      const kept = () => [...seen.items.keys()].filter((it) => it.startsWith('page-')).length;
      await seen.until(() => kept() === MANY);
      expect(seen.events).toHaveLength(1);
      await client.mergePatch(`${CONFIG_MAPS}/page-0`, { data: { v: '2' } });
      await client.mergePatch(`${CONFIG_MAPS}/page-1`, { data: { v: null } });
      await client.remove(`${CONFIG_MAPS}/page-2`);
      await seen.until(() => seen.items.get('page-0') === '2' && kept() === MANY - 2);
      expect(seen.items.has('page-1')).toBe(false);
      await reflector.stop();
    });
  });
}
