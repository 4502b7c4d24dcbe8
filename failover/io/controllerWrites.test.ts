import { expect, test } from 'vitest';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { createLogger } from '../../runtime/logger.ts';
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
