import { expect, test, vi } from 'vitest';
import type { KubeClient, WatchFrame } from '../../kube/kubeClient.ts';
import { createLogger } from '../../runtime/logger.ts';
import { DEFAULT_REVIEW_SETTINGS } from '../core/snapshot.ts';
import { watchFacts } from './facts.ts';

/** A cluster in which nothing is; lists are answered once `open` resolved. */
function emptyCluster(open: Promise<void>): KubeClient {
  return {
    async get() {
      await open;
      return { kind: 'ok', value: { metadata: { resourceVersion: '1' }, items: [] } };
    },
    async *watch(_path: string, _query: unknown, signal: AbortSignal): AsyncGenerator<WatchFrame> {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
  } as unknown as KubeClient; // reflectors use no other verb
}

test('there is no snapshot before everything is in, and then it has the settings with it', async () => {
  const open = Promise.withResolvers<void>();
  const facts = watchFacts({
    client: emptyCluster(open.promise),
    routable: [],
    networks: [],
    review: DEFAULT_REVIEW_SETTINGS,
    logger: createLogger({ program: 'test', level: 'error', write: () => {} }),
  });
  expect(facts.state()).toEqual({ kind: 'waiting', reason: 'nodes are not synced yet' });
  open.resolve();
  await vi.waitUntil(() => facts.state().kind === 'synced');
  expect(facts.state()).toMatchObject({ kind: 'synced', snapshot: DEFAULT_REVIEW_SETTINGS });
  await facts.stop();
});
