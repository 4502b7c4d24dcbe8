/** Hands a leaf to the server when its clients trust it: watches since when each CA stands in every webhook configuration. */
import type { Logger } from '../../runtime/logger.ts';
import { digest, parseCertificate, signerOf, validity } from '../../runtime/pem.ts';
import { decideHandOver, type HandOver } from '../core/handOver.ts';
import { plausibleMs } from '../core/rotationFacts.ts';
import type { CertificateMeter } from './certificateMeter.ts';
import type { IssuedPair } from './issue.ts';

export interface Offer {
  readonly leaf: IssuedPair;
  /** CAs that every webhook configuration trusts now, as PEM. Absent: that could not be read. See core/handOver.ts. */
  readonly trusted?: readonly string[] | 'any';
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export interface HandOverPlace {
  offer(offer: Offer): HandOver;
  /** Digest of what is served; empty: nothing. */
  served(): string;
}

export function createHandOver(options: {
  /** May throw (a pair that TLS refuses): what was served then stays, and the next round tries again. */
  readonly onCertificate: (pair: IssuedPair) => void;
  readonly propagationMs: number;
  readonly logger: Logger;
  readonly meter: CertificateMeter;
}): HandOverPlace {
  let current: IssuedPair | undefined;
  let since: ReadonlyMap<string, number> = new Map();

  const decide = ({ leaf, wallMs, monotonicMs, ...offer }: Offer): HandOver => {
    const trusted = offer.trusted === 'any' ? undefined : offer.trusted;
    if (trusted !== undefined)
      since = new Map(trusted.map((pem) => [pem.trim(), since.get(pem.trim()) ?? monotonicMs]));
    const signer = trusted?.[signerOf(leaf.certPem, trusted) ?? -1]?.trim();
    const trustedSinceMs = signer === undefined ? undefined : since.get(signer);
    const served = current && {
      same: current.certPem === leaf.certPem && current.keyPem === leaf.keyPem,
      valid: isValid(current, wallMs),
      trusted: trusted === undefined || signerOf(current.certPem, trusted) !== undefined,
    };
    return decideHandOver({
      ...(served === undefined ? {} : { served }),
      ...(trustedSinceMs === undefined ? {} : { trustedSinceMs }),
      trust: offer.trusted === 'any' ? 'any' : trusted === undefined ? 'unknown' : 'known',
      nowMs: monotonicMs,
      propagationMs: options.propagationMs,
    });
  };

  return {
    offer: (offer) => {
      const decided = decide(offer);
      if (decided !== 'serve') return decided;
      try {
        options.onCertificate(offer.leaf);
      } catch (error) {
        options.logger.error('a certificate cannot be taken into service; the one before stays', { error });
        options.meter.failed('load');
        return 'wait';
      }
      current = offer.leaf;
      const notAfter = parseCertificate(offer.leaf.certPem)?.validToDate;
      options.meter.expires('leaf', notAfter?.getTime() ?? 0);
      options.logger.info('serving a certificate', { leaf: digest(offer.leaf.certPem), notAfter });
      return decided;
    },
    served: () => (current === undefined ? '' : digest(current.certPem)),
  };
}

function isValid({ certPem }: IssuedPair, wallMs: number): boolean {
  const certificate = parseCertificate(certPem);
  if (certificate === undefined) return false;
  const { notBeforeMs, notAfterMs } = validity(certificate);
  const nowMs = plausibleMs(wallMs);
  return notBeforeMs <= nowMs && nowMs < notAfterMs;
}
