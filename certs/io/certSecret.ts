/**
 * The Secret that holds CA and leaf, the only truth about them. Every write is a create or a compare-and-swap, so a replica
 * that loses reads what the winner wrote. What a replica states of itself is an annotation of its own, and changes no other.
 */

import type { KubeClient, KubeError, KubeOutcome } from '../../kube/kubeClient.ts';
import {
  type CertificatePhase,
  type RotationWish,
  replicaAnnotation,
} from '../../policy/certificateNotes.ts';
import {
  CERTIFICATE_PHASE_ANNOTATION,
  CERTIFICATE_PHASE_SINCE_ANNOTATION,
  ROTATE_ANNOTATION,
} from '../../policy/names.ts';
import { formatTimestamp } from '../../policy/timestamp.ts';
import { joinPem } from '../../runtime/pem.ts';
import type { SecretFacts } from '../core/rotationFacts.ts';
import { asRecord, type CertificateSet, EMPTY_SET, OWN_LABELS, readFacts, readSet } from './readFacts.ts';

export interface StoredSecret {
  readonly facts: SecretFacts;
  /** What could be read; meaningful as far as `facts` says so. */
  readonly set: CertificateSet;
  /** The object as read, for the compare-and-swap. Absent: it must be created. */
  readonly object?: Readonly<Record<string, unknown>>;
}

export type SecretRead =
  | { readonly kind: 'ok'; readonly value: StoredSecret }
  | { readonly kind: 'refused'; readonly error: KubeError };

/** `lost`: somebody else wrote first, or the answer never came; read again before anything else. */
export type SecretWrite =
  | { readonly kind: 'written' }
  | { readonly kind: 'lost' }
  | { readonly kind: 'refused'; readonly error: KubeError };

export interface SecretAddress {
  readonly namespace: string;
  readonly name: string;
}

export interface SecretContent {
  readonly set: CertificateSet;
  readonly phase: CertificatePhase;
  readonly sinceMs: number;
  /** Absent: nothing is asked for any more. */
  readonly asked?: RotationWish;
  /** Pods whose statements are dropped. */
  readonly gone: readonly string[];
}

export const secretCollection = ({ namespace }: SecretAddress): string =>
  `/api/v1/namespaces/${namespace}/secrets`;
export const secretPath = (address: SecretAddress): string => `${secretCollection(address)}/${address.name}`;

export async function readCertSecret(
  client: KubeClient,
  address: SecretAddress,
  names: readonly string[],
): Promise<SecretRead> {
  const outcome = await client.get(secretPath(address));
  if (outcome.kind === 'ok') {
    const object = asRecord(outcome.value);
    const set = readSet(object);
    return { kind: 'ok', value: { facts: readFacts(object, set, names), set, object } };
  }
  if (outcome.error.code === 'not-found')
    return { kind: 'ok', value: { facts: { kind: 'absent' }, set: EMPTY_SET } };
  return { kind: 'refused', error: outcome.error };
}

export async function writeCertSecret(
  client: KubeClient,
  address: SecretAddress,
  write: { readonly content: SecretContent; readonly over: StoredSecret },
): Promise<SecretWrite> {
  const { object } = write.over;
  const body = renderSecret(address, write.content, object ?? {});
  return judgeWrite(
    object === undefined
      ? await client.create(secretCollection(address), body)
      : await client.replace(secretPath(address), body),
  );
}

/** @param text undefined: the replica goes. */
export async function writeStatement(
  client: KubeClient,
  address: SecretAddress,
  statement: { readonly podName: string; readonly text: string | undefined },
): Promise<KubeOutcome<unknown>> {
  const annotations = { [replicaAnnotation(statement.podName)]: statement.text ?? null };
  return client.mergePatch(secretPath(address), { metadata: { annotations } });
}

function judgeWrite(outcome: KubeOutcome<unknown>): SecretWrite {
  if (outcome.kind === 'ok') return { kind: 'written' };
  if (outcome.kind === 'unknown') return { kind: 'lost' };
  const { code } = outcome.error;
  if (code === 'already-exists' || code === 'conflict' || code === 'not-found') return { kind: 'lost' };
  return { kind: 'refused', error: outcome.error };
}

/** What else is in the object stays. */
function renderSecret(
  address: SecretAddress,
  { set, phase, sinceMs, asked, gone }: SecretContent,
  object: Readonly<Record<string, unknown>>,
): unknown {
  const metadata = asRecord(object.metadata);
  const { [ROTATE_ANNOTATION]: _wish, ...annotations } = asRecord(metadata.annotations);
  const { 'next-ca.key': _key, ...data } = asRecord(object.data);
  const dropped = new Set(gone.map(replicaAnnotation));
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    ...object,
    metadata: {
      ...metadata,
      name: address.name,
      namespace: address.namespace,
      labels: { ...asRecord(metadata.labels), ...OWN_LABELS },
      annotations: {
        ...Object.fromEntries(Object.entries(annotations).filter(([key]) => !dropped.has(key))),
        [CERTIFICATE_PHASE_ANNOTATION]: phase,
        [CERTIFICATE_PHASE_SINCE_ANNOTATION]: formatTimestamp(sinceMs),
        ...(asked === undefined ? {} : { [ROTATE_ANNOTATION]: asked }),
      },
    },
    data: { ...data, ...renderData(set) },
  };
}

const encode = (text: string): string => Buffer.from(text, 'utf8').toString('base64');

function renderData(set: CertificateSet): Readonly<Record<string, string>> {
  return {
    'ca.crt': encode(joinPem(set.caPems)),
    'ca.key': encode(set.caKeyPem),
    'tls.crt': encode(set.leaf.certPem),
    'tls.key': encode(set.leaf.keyPem),
    ...(set.nextKeyPem === '' ? {} : { 'next-ca.key': encode(set.nextKeyPem) }),
  };
}
