/** What the ownership thread needs from the cluster beside assignments: the voters, and the keys of the peers. */
import type { KubeClient } from '../../kube/kubeClient.ts';
import { startReflector } from '../../kube/reflector.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import { PEER_KEY_SECRET, VOTERS_CONFIG_MAP } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import { parseVoterConfig } from '../core/ownership/parsePeerMessage.ts';
import type { VoterConfig } from '../core/ownership/voterConfig.ts';
import type { PeerKey, PeerKeys } from './peerTransport.ts';

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

const KEY_FIELD = /^key-([1-9]\d{0,8})$/;
const KEY_BYTES = 32;
export const SIGNING_FIELD = 'signing';

/**
 * `key-<id>`: 32 random bytes each, all accepted; `signing`: the id of the one that is signed with. Several at once, so that
 * a change of the signing key needs no agreement on a moment.
 * @param raw the Secret object
 */
export function readPeerKeys(raw: unknown): PeerKeys | undefined {
  const data = new FieldReader(raw, '', []).textMap('data');
  const accepted = data.flatMap(([name, value]): readonly PeerKey[] => {
    const id = Number(KEY_FIELD.exec(name)?.[1]);
    const secret = Buffer.from(value, 'base64');
    return Number.isInteger(id) && secret.length === KEY_BYTES ? [{ id, secret }] : [];
  });
  const named = data.find(([name]) => name === SIGNING_FIELD)?.[1] ?? '';
  const signing = accepted.find(({ id }) => String(id) === Buffer.from(named, 'base64').toString('utf8'));
  return signing === undefined ? undefined : { accepted, signing };
}

export function watchOwnershipSecrets(options: OwnershipSecretsOptions): OwnershipSecrets {
  const { client, logger, namespace, onConfig, onKeys } = options;
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
    watchOne('secrets', PEER_KEY_SECRET, { read: readPeerKeys, onValue: onKeys }),
  ];
  return {
    async stop() {
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}
