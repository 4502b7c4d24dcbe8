import { expect, test } from 'vitest';
import type { KubeClient, WatchFrame } from '../../kube/kubeClient.ts';
import { PEER_KEY_SECRET } from '../../policy/names.ts';
import { createLogger } from '../../runtime/logger.ts';
import type { PeerKeys } from '../core/peerKeys.ts';
import { watchOwnershipSecrets } from './ownershipSecrets.ts';

const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
const secretOf = (fill: number): Uint8Array => Buffer.alloc(32, fill);

let version = 0;
function secret(data: Readonly<Record<string, string>>): unknown {
  version += 1;
  return { metadata: { name: PEER_KEY_SECRET, namespace: 'net', resourceVersion: String(version) }, data };
}

/** Lists `first`, then what is put into the watch. */
class Api {
  readonly frames: WatchFrame[] = [];
  wake: () => void = () => {};
  readonly client: KubeClient;

  constructor(first: unknown) {
    const watch = this.#watch.bind(this);
    this.client = {
      get: async (path: string) => {
        const items = path.endsWith('/secrets') ? [first] : [];
        return { kind: 'ok', value: { metadata: { resourceVersion: '1' }, items } };
      },
      watch: (path: string, _query: unknown, signal: AbortSignal) => watch(path, signal),
    } as unknown as KubeClient; // Reflectors use no other verb.
  }

  async *#watch(path: string, signal: AbortSignal): AsyncGenerator<WatchFrame> {
    signal.addEventListener('abort', () => this.wake());
    while (!signal.aborted) {
      const frame = path.endsWith('/secrets') ? this.frames.shift() : undefined;
      if (frame !== undefined) yield frame;
      else if (path.endsWith('/secrets'))
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      else await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    }
  }

  put(type: string, object: unknown): void {
    this.frames.push({ type, object });
    this.wake();
  }
}

test('an agent keeps its keys while the Secret is gone or cannot be read, and one that is named without its bytes', async () => {
  const api = new Api(secret({ 'key-1': base64(secretOf(1)), signing: base64('1') }));
  const taken: PeerKeys[] = [];
  let news: () => void = () => {};
  const secrets = watchOwnershipSecrets({
    client: api.client,
    logger: createLogger({ program: 'test', level: 'error', write: () => {} }),
    namespace: 'net',
    onConfig: () => {},
    onKeys(keys) {
      taken.push(keys);
      news();
    },
  });
  const until = async (count: number): Promise<PeerKeys | undefined> => {
    while (taken.length < count)
      await new Promise<void>((resolve) => {
        news = resolve;
      });
    return taken.at(-1);
  };
  expect((await until(1))?.signing.id).toBe(1);
  api.put('DELETED', secret({}));
  api.put('ADDED', secret({ 'key-7': base64(secretOf(7)) }));
  api.put('MODIFIED', secret({ 'key-1': '', 'key-2': base64(secretOf(2)), signing: base64('1') }));
  expect(await until(2)).toEqual({
    accepted: [
      { id: 1, secret: secretOf(1) },
      { id: 2, secret: secretOf(2) },
    ],
    signing: { id: 1, secret: secretOf(1) },
  });
  await secrets.stop();
  expect(taken).toHaveLength(2);
});
