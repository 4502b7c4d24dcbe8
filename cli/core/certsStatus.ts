/** Reads the webhook's certificates into what a person asks: what there is, until when, who trusts it, and what is amiss. */
import type { CertificateNotes } from '../../policy/certificateNotes.ts';
import { formatTimestamp } from '../../policy/timestamp.ts';

/** A certificate of the Secret as it was read. */
export interface CertificateFacts {
  /** Digest, as replicas name it. */
  readonly id: string;
  readonly subject: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface CaCertificate extends CertificateFacts {
  /** Which key of the Secret is its own: the one that signs, the one that signs next, or none. */
  readonly key: 'signs' | 'next' | 'none';
}

export interface LeafCertificate extends CertificateFacts {
  /** Id of the CA that signed it; absent: none of the Secret's. */
  readonly signedBy?: string;
  readonly keyMatches: boolean;
}

export interface WebhookTrust {
  readonly configuration: string;
  readonly webhook: string;
  /** Ids of the CAs in its bundle. */
  readonly cas: readonly string[];
  /** `unset`: it has no bundle. */
  readonly trustsLeaf: 'yes' | 'no' | 'unset';
}

export interface CertsFacts {
  readonly mode: string;
  readonly namespace: string;
  readonly secret: string;
  readonly cas: readonly CaCertificate[];
  /** Of the Secret's CAs together, as replicas name it. */
  readonly bundleId: string;
  readonly leaf?: LeafCertificate;
  readonly webhooks: readonly WebhookTrust[];
  readonly notes: CertificateNotes;
  readonly nowMs: number;
}

export interface CertificateLine {
  readonly role: 'leaf' | 'signs' | 'next' | 'trusted';
  readonly id: string;
  readonly subject: string;
  readonly expires: string;
  readonly signedBy: string;
}

export interface ReplicaLine {
  readonly name: string;
  readonly serves: string;
  readonly current: boolean;
  readonly trusts: boolean;
  readonly stated: string;
}

export interface CertsStatus {
  readonly mode: string;
  readonly namespace: string;
  readonly secret: string;
  readonly phase: string;
  readonly since: string;
  readonly asked: string;
  readonly certificates: readonly CertificateLine[];
  readonly webhooks: readonly WebhookTrust[];
  readonly replicas: readonly ReplicaLine[];
  /** A sentence each; none: all is well. */
  readonly problems: readonly string[];
}

/** Long before, whoever keeps the certificate has renewed it. */
const EXPIRES_SOON_MS = 14 * 86_400_000;

export function readCertsStatus(facts: CertsFacts): CertsStatus {
  const { leaf, cas, notes, mode, namespace, secret, webhooks } = facts;
  const own = mode === 'selfManaged';
  const { phase, sinceMs } = notes;
  return {
    ...{ mode, namespace, secret, webhooks },
    phase: own ? (phase ?? 'unknown') : '',
    since: own && sinceMs !== undefined ? formatTimestamp(sinceMs) : '',
    asked: notes.asked ?? '',
    certificates: [
      ...(leaf === undefined
        ? []
        : [{ ...lineOf(leaf), role: 'leaf' as const, signedBy: leaf.signedBy ?? '' }]),
      ...cas.map((ca) => ({
        ...lineOf(ca),
        role: ca.key === 'none' ? ('trusted' as const) : ca.key,
        signedBy: '',
      })),
    ],
    replicas: own
      ? notes.replicas.map(({ name, serves, trusts, statedAtMs }) => ({
          ...{ name, serves, current: leaf !== undefined && serves === leaf.id },
          ...{ trusts: trusts === facts.bundleId, stated: formatTimestamp(statedAtMs) },
        }))
      : [],
    problems: findProblems(facts),
  };
}

function lineOf({ id, subject, notAfterMs }: CertificateFacts) {
  return { id, subject, expires: formatTimestamp(notAfterMs) };
}

function findProblems({ leaf, cas, webhooks, nowMs }: CertsFacts): readonly string[] {
  if (leaf === undefined) return ['tls.crt in the Secret holds no certificate'];
  const signer = cas.find(({ id }) => id === leaf.signedBy);
  return [
    ...(leaf.keyMatches ? [] : ['tls.key in the Secret is not the key of tls.crt']),
    ...(cas.length > 0 && signer === undefined ? ['the leaf was signed by no CA of the Secret'] : []),
    ...whyDated('the leaf', leaf, nowMs),
    ...(signer === undefined ? [] : whyDated('the CA of the leaf', signer, nowMs)),
    ...webhooks
      .filter(({ trustsLeaf }) => trustsLeaf === 'no')
      .map(({ configuration, webhook }) => `${webhook} in ${configuration} does not trust the leaf`),
  ];
}

function whyDated(
  what: string,
  { notBeforeMs, notAfterMs }: CertificateFacts,
  nowMs: number,
): readonly string[] {
  const until = formatTimestamp(notAfterMs);
  if (notBeforeMs > nowMs) return [`${what} is valid only from ${formatTimestamp(notBeforeMs)}`];
  if (notAfterMs <= nowMs) return [`${what} expired at ${until}`];
  return notAfterMs - nowMs < EXPIRES_SOON_MS ? [`${what} expires at ${until}, and was not renewed yet`] : [];
}
