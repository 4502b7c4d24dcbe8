/**
 * Issues the CA and the leaf: keys come from `node:crypto`, which makes them off the event loop; node-forge only
 * assembles and signs. It knows RSA alone, hence RSA 2048. Nothing here ever parses a foreign certificate with it.
 */
import { generateKeyPair, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { CA_LIFETIME_MS, LEAF_LIFETIME_MS, plausibleMs, VALID_SINCE_MS } from '../core/rotationFacts.ts';

const MODULUS_BITS = 2048;
/** RFC 5280 allows 20 octets; 16 random ones never repeat. */
const SERIAL_BYTES = 16;
/** What the common names of our CAs begin with. */
export const CA_NAME = 'sallyport-webhook-ca';

export interface IssuedPair {
  readonly certPem: string;
  readonly keyPem: string;
}

/** The DNS names under which the API server and people inside the cluster reach a Service. */
export function serviceNames(service: string, namespace: string): readonly string[] {
  const base = `${service}.${namespace}`;
  return [service, base, `${base}.svc`, `${base}.svc.cluster.local`];
}

/** @param nameStart what the common name begins with. */
export async function issueCa(nowMs: number, nameStart = CA_NAME): Promise<IssuedPair> {
  const keys = await createKeys();
  const certificate = blankCertificate(keys.publicPem, nowMs, CA_LIFETIME_MS);
  const name = [{ name: 'commonName', value: `${nameStart}-${certificate.serialNumber.slice(0, 8)}` }];
  certificate.setSubject(name);
  certificate.setIssuer(name);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true, pathLenConstraint: 0 },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  return signed(certificate, keys.privatePem, keys.privatePem);
}

/** `ca` is one that `issueCa` made; `names` are DNS names, the first is the common name. */
export async function issueLeaf(
  ca: IssuedPair,
  names: readonly string[],
  nowMs: number,
): Promise<IssuedPair> {
  const keys = await createKeys();
  const issuer = forge.pki.certificateFromPem(ca.certPem);
  const certificate = blankCertificate(keys.publicPem, nowMs, LEAF_LIFETIME_MS);
  certificate.setSubject([{ name: 'commonName', value: names[0] ?? CA_NAME }]);
  certificate.setIssuer(issuer.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectAltName', altNames: names.map((value) => ({ type: 2, value })) },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ]);
  return signed(certificate, ca.keyPem, keys.privatePem);
}

const generateKeys = promisify(generateKeyPair);

async function createKeys(): Promise<{ readonly publicPem: string; readonly privatePem: string }> {
  const pair = await generateKeys('rsa', {
    modulusLength: MODULUS_BITS,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return { publicPem: pair.publicKey, privatePem: pair.privateKey };
}

function blankCertificate(publicPem: string, nowMs: number, lifetimeMs: number): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicPem);
  certificate.serialNumber = randomSerial();
  certificate.validity.notBefore = new Date(VALID_SINCE_MS);
  certificate.validity.notAfter = new Date(plausibleMs(nowMs) + lifetimeMs);
  return certificate;
}

/** Positive and without leading zero octets, as DER wants it. */
function randomSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function signed(certificate: forge.pki.Certificate, signerKeyPem: string, keyPem: string): IssuedPair {
  certificate.sign(forge.pki.privateKeyFromPem(signerKeyPem), forge.md.sha256.create());
  return { certPem: forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n'), keyPem };
}
