/** What is counted of certificates. Every label takes its values from a closed set. */
import type { CertificatePhase } from '../../policy/certificateNotes.ts';

export const CERTIFICATE_KINDS = ['ca', 'leaf'] as const;
export type CertificateKind = (typeof CERTIFICATE_KINDS)[number];

/** What could not be done: read or write the Secret, write a webhook configuration, take a pair into service, or go on. */
export const CERTIFICATE_FAILURES = [
  'read',
  'write',
  'publish',
  'load',
  'unusable',
  'too-often',
  'round',
] as const;
export type CertificateFailure = (typeof CERTIFICATE_FAILURES)[number];

export interface CertificateMeter {
  expires(kind: CertificateKind, notAfterMs: number): void;
  phase(phase: CertificatePhase): void;
  /** This replica issued one, and its write won. */
  rotated(kind: CertificateKind): void;
  failed(failure: CertificateFailure): void;
}

export const NO_METER: CertificateMeter = {
  expires: () => {},
  phase: () => {},
  rotated: () => {},
  failed: () => {},
};
