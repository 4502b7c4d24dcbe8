/** What the Secret's object holds, read into facts for `decideRotation`. */
import { parseCertificateNotes } from '../../policy/certificateNotes.ts';
import {
  digest,
  joinPem,
  parseCertificate,
  parseKey,
  signerOf,
  splitPem,
  validity,
} from '../../runtime/pem.ts';
import type { CaFacts, LeafFacts, SecretFacts } from '../core/rotationFacts.ts';
import { CA_NAME, type IssuedPair } from './issue.ts';

/** A rotation holds two or three; a bundle beyond this was not written by us. */
const BUNDLE_CERTIFICATES_MAX = 16;
export const OWN_LABELS: Readonly<Record<string, string>> = {
  'app.kubernetes.io/name': 'sallyport',
  'app.kubernetes.io/component': 'webhook',
  'app.kubernetes.io/managed-by': 'sallyport-webhook',
};

export interface CertificateSet {
  /** PEM of every trusted CA, the signing one first. */
  readonly caPems: readonly string[];
  readonly caKeyPem: string;
  /** Of the CA that signs next; empty where there is none. */
  readonly nextKeyPem: string;
  readonly leaf: IssuedPair;
}

export const EMPTY_SET: CertificateSet = {
  caPems: [],
  caKeyPem: '',
  nextKeyPem: '',
  leaf: { certPem: '', keyPem: '' },
};

type Json = Readonly<Record<string, unknown>>;

export function asRecord(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Json) // checked in the line above
    : {};
}

const decode = (value: unknown): string =>
  typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';

export function readSet(object: Json): CertificateSet {
  const data = asRecord(object.data);
  return {
    caPems: splitPem(decode(data['ca.crt'])).slice(0, BUNDLE_CERTIFICATES_MAX),
    caKeyPem: decode(data['ca.key']),
    nextKeyPem: decode(data['next-ca.key']),
    leaf: { certPem: decode(data['tls.crt']), keyPem: decode(data['tls.key']) },
  };
}

/** @param names DNS names that the leaf has to cover. */
export function readFacts(object: Json, set: CertificateSet, names: readonly string[]): SecretFacts {
  const metadata = asRecord(object.metadata);
  const certificates = set.caPems.map(parseCertificate);
  const ours = certificates.some((it) => it?.subject.startsWith(`CN=${CA_NAME}`) === true);
  if (!ours && !isLabelled(asRecord(metadata.labels)))
    return { kind: 'foreign', reason: 'the Secret holds what somebody else has put there' };
  const readable = certificates.filter((it) => it !== undefined);
  const [signer, ...others] = readable;
  if (signer === undefined || readable.length < certificates.length)
    return { kind: 'damaged', reason: 'ca.crt in the Secret holds what is no certificate' };
  const [caKey, nextKey] = [parseKey(set.caKeyPem), parseKey(set.nextKeyPem)];
  const canSign =
    signer.ca && signer.verify(signer.publicKey) && caKey !== undefined && signer.checkPrivateKey(caKey);
  const first: CaFacts = { ...validity(signer), canSign };
  const rest = others.map((other): CaFacts => ({ ...validity(other), canSign: false }));
  const next =
    nextKey === undefined
      ? -1
      : readable.findIndex((ca, index) => index > 0 && ca.ca && ca.checkPrivateKey(nextKey));
  const leaf = readLeaf(set.leaf, set.caPems, names);
  const { phase, sinceMs, asked } = parseCertificateNotes(metadata.annotations);
  return {
    kind: 'present',
    cas: [first, ...rest],
    ...(next < 0 ? {} : { next }),
    ...(leaf === undefined ? {} : { leaf }),
    bundleId: digest(joinPem(set.caPems)),
    leafId: digest(set.leaf.certPem),
    noted: {
      ...(phase === undefined ? {} : { phase }),
      ...(sinceMs === undefined ? {} : { sinceMs }),
      ...(asked === undefined ? {} : { asked }),
    },
  };
}

function isLabelled(labels: Json): boolean {
  return Object.entries(OWN_LABELS).every(([label, value]) => labels[label] === value);
}

function readLeaf(
  pair: IssuedPair,
  caPems: readonly string[],
  names: readonly string[],
): LeafFacts | undefined {
  const certificate = parseCertificate(pair.certPem);
  if (certificate === undefined) return undefined;
  const key = parseKey(pair.keyPem);
  const signedBy = signerOf(pair.certPem, caPems);
  return {
    ...validity(certificate),
    ...(signedBy === undefined ? {} : { signedBy }),
    keyMatches: key !== undefined && certificate.checkPrivateKey(key),
    missingNames: names.filter((name) => certificate.checkHost(name) === undefined),
  };
}
