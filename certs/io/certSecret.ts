/**
 * The Secret that holds CA and leaf, the only truth about them: read into facts for `decideRotation`, and written by
 * whoever wins. Every write is a create or a compare-and-swap, so a replica that loses reads what the winner wrote.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { KubeClient, KubeError } from '../../kube/kubeClient.ts';
import type { CaFacts, LeafFacts, SecretFacts, ValidityFacts } from '../core/rotation.ts';
import { splitPem } from './caBundle.ts';
import type { IssuedPair } from './issue.ts';

/** A rotation holds two or three; a bundle beyond this was not written by us. */
const BUNDLE_CERTIFICATES_MAX = 16;

export interface CertificateSet {
  /** PEM of every trusted CA, the signing one first. */
  readonly caPems: readonly string[];
  readonly caKeyPem: string;
  readonly leaf: IssuedPair;
}

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

const EMPTY_SET: CertificateSet = { caPems: [], caKeyPem: '', leaf: { certPem: '', keyPem: '' } };

export async function readCertSecret(
  client: KubeClient,
  address: SecretAddress,
  names: readonly string[],
): Promise<SecretRead> {
  const outcome = await client.get(`${collection(address)}/${address.name}`);
  if (outcome.kind === 'ok') return { kind: 'ok', value: parseStored(outcome.value, names) };
  if (outcome.error.code === 'not-found')
    return { kind: 'ok', value: { facts: { kind: 'absent' }, set: EMPTY_SET } };
  return { kind: 'refused', error: outcome.error };
}

export async function writeCertSecret(
  client: KubeClient,
  address: SecretAddress,
  write: { readonly set: CertificateSet; readonly over: StoredSecret },
): Promise<SecretWrite> {
  const data = renderData(write.set);
  const outcome =
    write.over.object === undefined
      ? await client.create(collection(address), newSecret(address, data))
      : await client.replace(`${collection(address)}/${address.name}`, {
          ...write.over.object,
          data: { ...asRecord(write.over.object.data), ...data },
        });
  if (outcome.kind === 'ok') return { kind: 'written' };
  if (outcome.kind === 'unknown') return { kind: 'lost' };
  const { code } = outcome.error;
  if (code === 'already-exists' || code === 'conflict' || code === 'not-found') return { kind: 'lost' };
  return { kind: 'refused', error: outcome.error };
}

const collection = ({ namespace }: SecretAddress): string => `/api/v1/namespaces/${namespace}/secrets`;

function newSecret(address: SecretAddress, data: Readonly<Record<string, string>>): unknown {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: {
      name: address.name,
      namespace: address.namespace,
      labels: { 'app.kubernetes.io/name': 'sallyport', 'app.kubernetes.io/component': 'webhook' },
    },
    data,
  };
}

function renderData(set: CertificateSet): Readonly<Record<string, string>> {
  return {
    'ca.crt': encode(set.caPems.map((pem) => `${pem.trim()}\n`).join('')),
    'ca.key': encode(set.caKeyPem),
    'tls.crt': encode(set.leaf.certPem),
    'tls.key': encode(set.leaf.keyPem),
  };
}

function parseStored(raw: unknown, names: readonly string[]): StoredSecret {
  const object = asRecord(raw);
  const data = asRecord(object.data);
  const caText = decode(data['ca.crt']);
  const set: CertificateSet = {
    caPems: splitPem(caText).slice(0, BUNDLE_CERTIFICATES_MAX),
    caKeyPem: decode(data['ca.key']),
    leaf: { certPem: decode(data['tls.crt']), keyPem: decode(data['tls.key']) },
  };
  return { facts: readFacts(set, names), set, object };
}

function readFacts(set: CertificateSet, names: readonly string[]): SecretFacts {
  const certificates = set.caPems.map(parseCertificate);
  const [signer, ...others] = certificates;
  if (signer === undefined || others.includes(undefined))
    return { kind: 'damaged', reason: 'ca.crt in the Secret holds no readable certificate' };
  const caKey = parseKey(set.caKeyPem);
  const canSign =
    signer.ca && signer.verify(signer.publicKey) && caKey !== undefined && signer.checkPrivateKey(caKey);
  const first: CaFacts = { ...validity(signer), canSign };
  const rest = others.flatMap((other) =>
    other === undefined ? [] : [{ ...validity(other), canSign: false }],
  );
  const leaf = readLeaf(set.leaf, signer, names);
  return { kind: 'present', cas: [first, ...rest], ...(leaf === undefined ? {} : { leaf }) };
}

function readLeaf(pair: IssuedPair, ca: X509Certificate, names: readonly string[]): LeafFacts | undefined {
  const certificate = parseCertificate(pair.certPem);
  if (certificate === undefined) return undefined;
  const key = parseKey(pair.keyPem);
  return {
    ...validity(certificate),
    signedByCa: certificate.checkIssued(ca) && certificate.verify(ca.publicKey),
    keyMatches: key !== undefined && certificate.checkPrivateKey(key),
    missingNames: names.filter((name) => certificate.checkHost(name) === undefined),
  };
}

function validity(certificate: X509Certificate): ValidityFacts {
  return {
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>) // checked in the line above
    : {};
}

const encode = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
const decode = (value: unknown): string =>
  typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';
