import { describe, expect, test } from 'vitest';
import type { KubeClient, KubeOutcome } from '../../kube/kubeClient.ts';
import type { JsonPatchOperation } from '../../policy/jsonPatch.ts';
import { createLogger } from '../../runtime/logger.ts';
import { applyPatch } from '../../test/lab/applyPatch.ts';
import type { WriteEffect } from '../core/controller/controllerEvents.ts';
import { parseEgressIp } from '../core/parseEgressIp.ts';
import { renderEgressIp } from '../core/renderEgressIp.ts';
import { controllerSources } from './controllerCaches.ts';
import { createControllerWrites } from './controllerWrites.ts';

const KEY = '203.0.113.10';
const written: string[] = [];
const logger = createLogger({ program: 'test', level: 'warn', write: (line) => written.push(line) });

test.each([
  {
    name: 'ports from high to low',
    blocks: [{ node: 'a', first: 9, last: 1, version: 1 }],
    kind: 'unreadable',
  },
  { name: 'nothing wrong', blocks: [], kind: 'present' },
])('an EgressIP that somebody else wrote, with $name, is $kind', async ({ blocks, kind }) => {
  written.length = 0;
  const value = { metadata: { name: KEY, uid: 'u' }, spec: { address: KEY, epoch: 1, blocks } };
  // Of the client only what a read asks for.
  const client = { get: async () => ({ kind: 'ok', value }) } as unknown as KubeClient;
  const writes = createControllerWrites({ client, sources: controllerSources('ns'), logger });
  const answer = await writes.read({ kind: 'read-object', collection: 'egressIps', key: KEY });
  expect(answer).toMatchObject({ kind: 'answered', collection: 'egressIps', key: KEY, answer: { kind } });
  expect(written.filter((line) => line.includes(KEY))).toHaveLength(kind === 'present' ? 0 : 1);
});

/** An API server with one object, at version 7, that says which version it has after each write. */
function serverWith(object: object): { readonly client: KubeClient; stands(): unknown } {
  let standing: unknown = object;
  const versionOf = (value: unknown): unknown => Object(Object(value).metadata).resourceVersion;
  const put = (next: unknown): KubeOutcome<unknown> => {
    if (versionOf(next) !== versionOf(standing))
      return { kind: 'refused', error: { code: 'conflict', transient: false, message: 'conflict' } };
    const metadata = { ...Object(next).metadata, resourceVersion: '8' };
    standing = { ...Object(next), metadata };
    return { kind: 'ok', value: standing };
  };
  const client = {
    replace: async (_path: string, body: unknown) => put(body),
    jsonPatch: async (_path: string, patch: readonly JsonPatchOperation[]) =>
      put(applyPatch(standing, patch)),
    mergePatch: async (_path: string, patch: unknown) => put(merged(standing, patch)),
  };
  // Of the client only what writes to what is there.
  return { client: client as unknown as KubeClient, stands: () => standing };
}

function merged(into: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const next: Record<string, unknown> = { ...Object(into) };
  for (const [name, value] of Object.entries(patch)) next[name] = merged(next[name], value);
  return next;
}

describe('what others put to an object', () => {
  const foreign = {
    labels: { team: 'net' },
    annotations: { 'argocd.argoproj.io/tracking-id': 'egress:sallyport.dev/EgressIP:203.0.113.10' },
    finalizers: ['example.com/hold'],
    ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'inventory', uid: 'i' }],
  };
  const metadata = { ...foreign, name: KEY, uid: 'u', resourceVersion: '7', generation: 3 };
  const spec = { address: KEY, policies: [], epoch: 4, order: [], fence: [], home: 'gw-1', blocksVersion: 0 };
  const current = parseEgressIp({ metadata, spec });
  if (current === undefined) throw new Error('no EgressIP');
  const { home: _home, ...homeless } = current;
  const next = { ...homeless, epoch: 5 };

  async function write(client: KubeClient, effect: WriteEffect): Promise<string> {
    const event = await createControllerWrites({ client, sources: controllerSources('ns'), logger }).write(
      effect,
    );
    return event.kind === 'answered' ? event.answer.kind : event.kind;
  }

  test('outlives a new spec of an EgressIP, of which nothing of before is left', async () => {
    const server = serverWith({ metadata, spec, status: { phase: 'Held' } });
    expect(await write(server.client, { kind: 'replace-egress-ip', egressIp: next })).toBe('present');
    expect(server.stands()).toEqual({
      metadata: { ...metadata, resourceVersion: '8' },
      spec: Object(renderEgressIp(next)).spec,
      status: { phase: 'Held' },
    });
  });

  test('outlives other voters in the ConfigMap', async () => {
    const map = { metadata: { ...metadata, name: 'sallyport-voters' }, data: { voters: '{}', note: 'kept' } };
    const server = serverWith(map);
    const config = { version: 2, sets: [['a']] };
    const effect: WriteEffect = { kind: 'write-voters', config, resourceVersion: '7' };
    await write(server.client, effect);
    const { data, ...rest } = Object(server.stands());
    expect(rest.metadata).toEqual({ ...map.metadata, resourceVersion: '8' });
    expect(data).toMatchObject({ note: 'kept' });
    expect(Object.values(data)).toContain(JSON.stringify(config));
  });

  test.each([
    {
      name: 'waits for it: asked for again after a pause',
      answer: { metadata: { ...metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } },
      kind: 'failed',
    },
    { name: 'is none: gone', answer: { kind: 'Status', metadata: {}, status: 'Success' }, kind: 'stale' },
  ])('as a finalizer of an EgressIP that is deleted $name', async ({ answer, kind }) => {
    // Of the client only what deletes.
    const client = { remove: async () => ({ kind: 'ok', value: answer }) } as unknown as KubeClient;
    expect(await write(client, { kind: 'remove-egress-ip', egressIp: current })).toBe(kind);
  });

  const older: readonly { readonly name: string; readonly effect: WriteEffect }[] = [
    {
      name: 'an EgressIP',
      effect: { kind: 'replace-egress-ip', egressIp: { ...next, resourceVersion: '6' } },
    },
    {
      name: 'the voters',
      effect: { kind: 'write-voters', config: { version: 2, sets: [['a']] }, resourceVersion: '6' },
    },
  ];
  test.each(older)('$name that changed meanwhile is not written over', async ({ effect }) => {
    const object = { metadata, spec, data: {} };
    const server = serverWith(object);
    expect(await write(server.client, effect)).toBe('stale');
    expect(server.stands()).toBe(object);
  });
});
