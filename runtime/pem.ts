/** Reads certificates and keys that anybody may have written: what cannot be read is undefined, never an exception. */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { DIGEST_LENGTH } from '../policy/certificateNotes.ts';

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The certificates in a text, each without what is around it. */
export function splitPem(text: string): readonly string[] {
  return text.match(PEM_BLOCK) ?? [];
}

/** As a bundle is written: every replica writes the same text. */
export function joinPem(pems: readonly string[]): string {
  return pems.map((pem) => `${pem.trim()}\n`).join('');
}

export function digest(text: string): string {
  return createHash('sha256').update(text.trim()).digest('hex').slice(0, DIGEST_LENGTH);
}

export function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

export function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

export function validity(certificate: X509Certificate): {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
} {
  return {
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

/** Intermediates on the way from a leaf to a CA. */
const CHAIN_LENGTH_MAX = 8;

/** Index of the CA that a leaf leads to, by the certificates that follow it in its text. */
export function signerOf(chainPem: string, caPems: readonly string[]): number | undefined {
  const cas = caPems.map(parseCertificate);
  for (const pem of splitPem(chainPem).slice(0, CHAIN_LENGTH_MAX)) {
    const certificate = parseCertificate(pem);
    if (certificate === undefined) return undefined;
    const index = cas.findIndex((ca) => ca !== undefined && isSignedBy(certificate, ca));
    if (index >= 0) return index;
  }
  return undefined;
}

function isSignedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  try {
    return certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
  } catch {
    return false;
  }
}
