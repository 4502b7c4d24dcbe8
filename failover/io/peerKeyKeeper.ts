/**
 * Makes the Secret with the key that agents prove themselves to each other with, where there is none. The leader does;
 * whoever else made it first is right.
 */
import { randomBytes } from 'node:crypto';
import type { KubeClient } from '../../kube/kubeClient.ts';
import { PEER_KEY_SECRET } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import { SIGNING_FIELD } from './ownershipSecrets.ts';

export interface PeerKeyKeeper {
  /** We lead: the Secret is looked after from now on. */
  begin(): void;
  stop(): Promise<void>;
}

/** A Secret that somebody deleted is made anew after this: agents keep the key they have until then. */
const LOOK_MS = 30_000;
const RETRY_MS = 1000;
const KEY_BYTES = 32;

export function createPeerKeyKeeper(options: {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly logger: Logger;
}): PeerKeyKeeper {
  const { client, namespace, logger } = options;
  const path = `/api/v1/namespaces/${namespace}/secrets`;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let stopped = false;

  const look = async (): Promise<void> => {
    const done = await ensureKey();
    if (!stopped) timer = setTimeout(begin, done ? LOOK_MS : RETRY_MS);
  };
  const begin = (): void => {
    looking = look();
  };
  const ensureKey = async (): Promise<boolean> => {
    const found = await client.get(`${path}/${PEER_KEY_SECRET}`);
    if (found.kind === 'ok') return true;
    if (found.error.code !== 'not-found') return false;
    const made = await client.create(path, renderSecret());
    if (made.kind === 'ok') logger.info('made the key of the agents', { secret: PEER_KEY_SECRET });
    return made.kind === 'ok' || made.error.code === 'already-exists';
  };
  return {
    begin,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await looking;
    },
  };
}

function renderSecret(): unknown {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: PEER_KEY_SECRET },
    type: 'Opaque',
    data: {
      'key-1': randomBytes(KEY_BYTES).toString('base64'),
      [SIGNING_FIELD]: Buffer.from('1').toString('base64'),
    },
  };
}
