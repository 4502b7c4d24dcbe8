/** What the ownership thread needs from the cluster beside assignments: the voters, and the keys of the peers. */
import type { KubeClient } from '../../kube/kubeClient.ts';
import { startReflector } from '../../kube/reflector.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import { PEER_KEY_SECRET, VOTERS_CONFIG_MAP } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import { parseVoterConfig } from '../core/ownership/parsePeerMessage.ts';
import type { VoterConfig } from '../core/ownership/voterConfig.ts';
import { type PeerKeys, resolvePeerKeys } from '../core/peerKeys.ts';
import { parsePeerKeySecret } from './peerKeySecret.ts';

export interface OwnershipSecrets {
  stop(): Promise<void>;
}

export interface OwnershipSecretsOptions {
  readonly client: KubeClient;
  readonly logger: Logger;
  readonly namespace: string;
  readonly onConfig: (config: VoterConfig) => void;
  readonly onKeys: (keys: PeerKeys) => void;
}

/** The one place where the voter configuration stands in its ConfigMap. */
export const VOTERS_FIELD = 'config';

export function readVoterConfig(raw: unknown): VoterConfig | undefined {
  const text = new FieldReader(raw, '', []).child('data').optionalText(VOTERS_FIELD);
  if (text === undefined) return undefined;
  try {
    return parseVoterConfig(JSON.parse(text));
  } catch {
    return undefined;
  }
}

export function watchOwnershipSecrets(options: OwnershipSecretsOptions): OwnershipSecrets {
  const { client, logger, namespace, onConfig, onKeys } = options;
  let held: PeerKeys | undefined;
  const watchOne = <T>(
    kind: 'configmaps' | 'secrets',
    name: string,
    {
      read,
      onValue,
    }: { readonly read: (raw: unknown) => T | undefined; readonly onValue: (value: T) => void },
  ) =>
    startReflector<T>({
      client,
      logger,
      path: `/api/v1/namespaces/${namespace}/${kind}`,
      query: { fieldSelector: `metadata.name=${name}` },
      project(raw) {
        const value = read(raw);
        if (value === undefined) logger.warn('an object cannot be read', { kind, name });
        return value === undefined ? undefined : { key: name, value };
      },
      // One that is gone is as good as unchanged: the last word stands until there is another.
      onEvent(event) {
        if (event.kind === 'synced') for (const value of event.items.values()) onValue(value);
        if (event.kind === 'upserted') onValue(event.value);
      },
    });
  const reflectors = [
    watchOne('configmaps', VOTERS_CONFIG_MAP, { read: readVoterConfig, onValue: onConfig }),
    watchOne('secrets', PEER_KEY_SECRET, {
      read: parsePeerKeySecret,
      onValue(named) {
        const keys = resolvePeerKeys(named, held);
        if (keys === undefined) return logger.warn('the peer keys name none that this agent has');
        held = keys;
        onKeys(keys);
      },
    }),
  ];
  return {
    async stop() {
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}
