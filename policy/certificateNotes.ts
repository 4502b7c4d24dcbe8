/** What the annotations of the Secret with the webhook's certificates say: for who keeps it, and for who looks at it. */
import { FieldReader } from './fieldReader.ts';
import {
  CERTIFICATE_PHASE_ANNOTATION,
  CERTIFICATE_PHASE_SINCE_ANNOTATION,
  REPLICA_ANNOTATION_PREFIX,
  ROTATE_ANNOTATION,
} from './names.ts';
import { formatTimestamp, parseTimestampMs } from './timestamp.ts';

/**
 * settled: one authority, which signs. publishing: a new one is trusted as well, the old one signs. retiring: the new one
 * signs, the old one is trusted still.
 */
export const CERTIFICATE_PHASES = ['settled', 'publishing', 'retiring'] as const;
export type CertificatePhase = (typeof CERTIFICATE_PHASES)[number];

export type RotationWish = 'leaf' | 'ca';

/** What a replica of the webhook says of itself, as the digests of what it has read. */
export interface ReplicaStatement {
  /** Of its pod. */
  readonly name: string;
  /** The bundle that it has seen in every webhook configuration; empty: none yet. */
  readonly trusts: string;
  /** The leaf that it shows to new connections; empty: none yet. */
  readonly serves: string;
  /** Another text each time that it states anything: who is heard lives. */
  readonly beat: string;
  readonly statedAtMs: number;
}

export interface CertificateNotes {
  readonly phase?: CertificatePhase;
  readonly sinceMs?: number;
  readonly asked?: RotationWish;
  readonly replicas: readonly ReplicaStatement[];
}

/** A digest in a statement: long enough that two never meet by chance. */
export const DIGEST_LENGTH = 16;
/** Pods' names are mostly shorter; as the name of an annotation no more is allowed. */
const NAME_LENGTH_MAX = 63;
/** The chart allows ten replicas; what died without a word stays until the next write. */
const REPLICAS_MAX = 64;

/** @param annotations as they stand in the object. */
export function parseCertificateNotes(annotations: unknown): CertificateNotes {
  const texts = new Map(
    Object.entries(typeof annotations === 'object' && annotations !== null ? annotations : {}).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  );
  const phase = CERTIFICATE_PHASES.find((known) => known === texts.get(CERTIFICATE_PHASE_ANNOTATION));
  const sinceMs = parseTimestampMs(texts.get(CERTIFICATE_PHASE_SINCE_ANNOTATION) ?? '');
  const wish = texts.get(ROTATE_ANNOTATION);
  return {
    ...(phase === undefined ? {} : { phase }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(wish === undefined ? {} : { asked: wish.trim() === 'ca' ? 'ca' : 'leaf' }),
    replicas: [...texts].flatMap(([key, text]) => parseStatement(key, text)).slice(0, REPLICAS_MAX),
  };
}

function parseStatement(key: string, text: string): readonly ReplicaStatement[] {
  if (!key.startsWith(REPLICA_ANNOTATION_PREFIX)) return [];
  const fields = new FieldReader(readJson(text), '', []);
  const field = (name: string): string => fields.optionalText(name) ?? '';
  return [
    {
      name: key.slice(REPLICA_ANNOTATION_PREFIX.length),
      trusts: field('trusts'),
      serves: field('serves'),
      beat: field('beat'),
      statedAtMs: parseTimestampMs(field('at')) ?? 0,
    },
  ];
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function replicaAnnotation(podName: string): string {
  return `${REPLICA_ANNOTATION_PREFIX}${replicaName(podName)}`;
}

/** A pod's name as statements have it: its end tells pods apart. */
export function replicaName(podName: string): string {
  return podName.slice(-NAME_LENGTH_MAX).replace(/^[^A-Za-z0-9]+/, '');
}

export function renderStatement({
  trusts,
  serves,
  beat,
  statedAtMs,
}: Omit<ReplicaStatement, 'name'>): string {
  return JSON.stringify({ trusts, serves, beat, at: formatTimestamp(statedAtMs) });
}
