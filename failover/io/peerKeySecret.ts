/**
 * The Secret with the agents' keys on the wire. Its fields: `key-<id>`, 32 random bytes each, all accepted, and `signing`,
 * the id of the one that is signed with. A `key-<id>` of another length says that the keeper does not have that key
 * (core/peerKeys.ts). Its annotations: when each was made, and whether somebody wants another. What else is there stays.
 */
import { randomBytes } from 'node:crypto';
import type { KubeClient, KubeError, KubeOutcome } from '../../kube/kubeClient.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import { keyMadeAnnotation, PEER_KEY_SECRET, ROTATE_ANNOTATION } from '../../policy/names.ts';
import { formatTimestamp, parseTimestampMs } from '../../policy/timestamp.ts';
import type { NextPeerKeys, StoredPeerKeys } from '../core/controller/peerKeyFacts.ts';
import type { NamedPeerKeys } from '../core/peerKeys.ts';

const KEY_FIELD = /^key-([1-9]\d{0,8})$/;
const MADE_ANNOTATION = /^sallyport\.dev\/key-\d+-made$/;
const SIGNING_FIELD = 'signing';
const KEY_BYTES = 32;

export type KeyBytes = ReadonlyMap<number, Uint8Array>;

/** One version of the Secret. */
export interface PeerKeySecret {
  readonly stored: StoredPeerKeys;
  /** Of the keys that can be read. */
  readonly bytes: KeyBytes;
  /** As read, for the compare-and-swap. Absent: it has to be created. */
  readonly object?: Readonly<Record<string, unknown>>;
}

export type PeerKeySecretRead =
  | { readonly kind: 'ok'; readonly value: PeerKeySecret }
  | { readonly kind: 'refused'; readonly error: KubeError };

/** What an agent reads. Undefined where nothing says which key to sign with. */
export function parsePeerKeySecret(raw: unknown): NamedPeerKeys | undefined {
  const { keys, signing } = readFields(raw);
  return signing === undefined || !keys.some(({ id }) => id === signing) ? undefined : { keys, signing };
}

export async function readPeerKeySecret(client: KubeClient, namespace: string): Promise<PeerKeySecretRead> {
  const outcome = await client.get(`${collection(namespace)}/${PEER_KEY_SECRET}`);
  if (outcome.kind === 'ok') return { kind: 'ok', value: storedOf(outcome.value) };
  if (outcome.error.code === 'not-found')
    return { kind: 'ok', value: { stored: { kind: 'absent' }, bytes: new Map() } };
  return { kind: 'refused', error: outcome.error };
}

/** Keys that are made get their bytes here. */
export function writePeerKeySecret(
  client: KubeClient,
  namespace: string,
  write: { readonly next: NextPeerKeys; readonly over: PeerKeySecret; readonly remembered: KeyBytes },
): Promise<KubeOutcome<unknown>> {
  const { next, over, remembered } = write;
  const data = renderData(next, new Map([...remembered, ...over.bytes]));
  const annotations = Object.fromEntries(
    next.keys.map(({ id, madeMs }) => [keyMadeAnnotation(id), formatTimestamp(madeMs)]),
  );
  const object = over.object;
  if (object === undefined) {
    const metadata = { name: PEER_KEY_SECRET, annotations };
    return client.create(collection(namespace), {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata,
      type: 'Opaque',
      data,
    });
  }
  const answered = next.keys.some(({ source }) => source === 'made');
  const foreign = (name: string): boolean =>
    !MADE_ANNOTATION.test(name) && !(answered && name === ROTATE_ANNOTATION);
  const metadata = asRecord(object.metadata);
  return client.replace(`${collection(namespace)}/${PEER_KEY_SECRET}`, {
    ...object,
    metadata: {
      ...metadata,
      annotations: { ...picked(asRecord(metadata.annotations), foreign), ...annotations },
    },
    data: { ...picked(asRecord(object.data), (name) => !KEY_FIELD.test(name)), ...data },
  });
}

const collection = (namespace: string): string => `/api/v1/namespaces/${namespace}/secrets`;

export function storedOf(raw: unknown): PeerKeySecret {
  const { keys, signing } = readFields(raw);
  const annotations = new Map(new FieldReader(raw, '', []).child('metadata').textMap('annotations'));
  return {
    stored: {
      kind: 'present',
      keys: keys.map(({ id, secret }) => ({
        id,
        readable: secret !== undefined,
        madeMs: parseTimestampMs(annotations.get(keyMadeAnnotation(id)) ?? ''),
      })),
      signing,
      asked: annotations.has(ROTATE_ANNOTATION),
    },
    bytes: new Map(keys.flatMap(({ id, secret }) => (secret === undefined ? [] : [[id, secret] as const]))),
    object: asRecord(raw),
  };
}

/** Keys in the order of their numbers. */
function readFields(raw: unknown): Pick<NamedPeerKeys, 'keys'> & { readonly signing: number | undefined } {
  const data = asRecord(asRecord(raw).data);
  const keys = Object.entries(data).flatMap(([name, value]) => {
    const id = Number(KEY_FIELD.exec(name)?.[1]);
    const secret = decode(value);
    return Number.isInteger(id) ? [{ id, secret: secret.length === KEY_BYTES ? secret : undefined }] : [];
  });
  const signing = KEY_FIELD.exec(`key-${decode(data[SIGNING_FIELD]).toString('utf8').trim()}`)?.[1];
  return {
    keys: keys.toSorted((a, b) => a.id - b.id),
    signing: signing === undefined ? undefined : Number(signing),
  };
}

function renderData(next: NextPeerKeys, known: KeyBytes): Readonly<Record<string, string>> {
  const keys = next.keys.map(({ id, source }) => {
    const bytes = source === 'made' ? randomBytes(KEY_BYTES) : known.get(id);
    return [`key-${id}`, bytes === undefined ? '' : Buffer.from(bytes).toString('base64')];
  });
  return {
    ...Object.fromEntries(keys),
    [SIGNING_FIELD]: Buffer.from(String(next.signing)).toString('base64'),
  };
}

function decode(value: unknown): Buffer {
  return Buffer.from(typeof value === 'string' ? value : '', 'base64');
}

function picked(
  record: Readonly<Record<string, unknown>>,
  keep: (name: string) => boolean,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => keep(name)));
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>) // checked in the line above
    : {};
}
