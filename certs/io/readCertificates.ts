/**
 * Reads the webhook's certificates from a Secret that somebody else keeps, cert-manager or a person, and never writes it. Where it is
 * asked to, writes the Secret's ca.crt into the webhook configurations; a CA of before stays in them for a while.
 */

import type { KubeClient } from '../../kube/kubeClient.ts';
import type { Logger } from '../../runtime/logger.ts';
import { joinPem, parseCertificate, parseKey, signerOf, validity } from '../../runtime/pem.ts';
import { plausibleMs } from '../core/rotationFacts.ts';
import type { CertificateMeter } from './certificateMeter.ts';
import { secretPath } from './certSecret.ts';
import { createHandOver } from './createHandOver.ts';
import type { IssuedPair } from './issue.ts';
import { createLeavingCas } from './leavingCas.ts';
import { asRecord, type CertificateSet, readSet } from './readFacts.ts';
import type { CertificateKeeper, RoundResult } from './runCertificates.ts';
import { publishBundle, readTrust } from './trustedBundles.ts';

export interface ReadOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly secretName: string;
  readonly serviceName: string;
  readonly validatingConfiguration: string;
  readonly mutatingConfiguration: string;
  readonly manageCaBundle: boolean;
  readonly propagationMs: number;
  readonly logger: Logger;
  readonly meter: CertificateMeter;
  /** May throw, see createHandOver.ts. */
  readonly onCertificate: (pair: IssuedPair) => void;
  /** Milliseconds since the epoch. */
  readonly wallClock?: () => number;
  readonly monotonic?: () => number;
}

export function readCertificates(options: ReadOptions): CertificateKeeper {
  const round = new ReadingRound(options);
  return { round: () => round.run(), stop: async () => {} };
}

class ReadingRound {
  readonly #options: ReadOptions;
  readonly #handOver: ReturnType<typeof createHandOver>;
  readonly #leaving = createLeavingCas();
  #told = '';

  constructor(options: ReadOptions) {
    this.#options = options;
    this.#handOver = createHandOver(options);
  }

  async run(): Promise<RoundResult> {
    const { client, namespace, secretName } = this.#options;
    const read = await client.get(secretPath({ namespace, name: secretName }));
    if (read.kind !== 'ok') return this.#fail('read', read.error.message);
    const set = readSet(asRecord(read.value));
    const wallMs = plausibleMs((this.#options.wallClock ?? Date.now)());
    const fault = this.#whyUnusable(set, wallMs);
    if (fault !== undefined) return this.#fail('unusable', fault);
    const ca = parseCertificate(set.caPems[0] ?? '');
    if (ca !== undefined) this.#options.meter.expires('ca', ca.validToDate.getTime());
    return this.#use(set, wallMs);
  }

  async #use(set: CertificateSet, wallMs: number): Promise<RoundResult> {
    const monotonicMs = (this.#options.monotonic ?? (() => performance.now()))();
    const trust = await readTrust(this.#options, wallMs);
    if (trust.kind === 'unknown') this.#fail('read', trust.reason);
    let trusted = trust.kind === 'known' ? trust.byAll : undefined;
    // What cannot be read is not overwritten either: a CA that has to stay might be lost.
    if (this.#managesBundle(set) && trust.kind !== 'unknown') {
      const present = trust.kind === 'known' ? trust.bySome : [];
      const kept = this.#leaving({ present, wanted: set.caPems, nowMs: monotonicMs });
      const bundle = [...set.caPems, ...kept];
      trusted = (await publishBundle(this.#options, joinPem(bundle))) ? bundle : undefined;
    }
    const handedOver = this.#handOver.offer({
      ...{ leaf: set.leaf, wallMs, monotonicMs },
      ...(trusted === undefined ? {} : { trusted }),
      ...(trusted === undefined && trust.kind === 'any' ? { trusted: 'any' as const } : {}),
    });
    if (handedOver === 'wait') return this.#wait();
    if (trusted === undefined && trust.kind !== 'any') return 'failed';
    this.#told = '';
    return 'settled';
  }

  #managesBundle({ caPems }: CertificateSet): boolean {
    if (!this.#options.manageCaBundle) return false;
    if (caPems.length === 0)
      this.#tell(
        'the Secret has no ca.crt: caBundle is left alone',
        'put the CA there, or say manageCaBundle: false',
      );
    return caPems.length > 0;
  }

  #whyUnusable({ leaf, caPems }: CertificateSet, nowMs: number): string | undefined {
    const certificate = parseCertificate(leaf.certPem);
    if (certificate === undefined) return 'tls.crt holds no certificate';
    const key = parseKey(leaf.keyPem);
    if (key === undefined || !certificate.checkPrivateKey(key)) return 'tls.key is not the key of tls.crt';
    const { notBeforeMs, notAfterMs } = validity(certificate);
    if (nowMs < notBeforeMs) return 'tls.crt is not valid yet';
    if (notAfterMs <= nowMs) return 'tls.crt has expired';
    const { serviceName, namespace } = this.#options;
    const asked = `${serviceName}.${namespace}.svc`;
    if (certificate.checkHost(asked) === undefined)
      return `tls.crt does not cover ${asked}, by which API servers ask`;
    if (caPems.length > 0 && signerOf(leaf.certPem, caPems) === undefined)
      return 'tls.crt does not lead to ca.crt';
    return undefined;
  }

  #wait(): RoundResult {
    this.#tell(
      'another certificate is in the Secret',
      'it is served when the webhook configurations trust its CA',
    );
    return 'moving';
  }

  #fail(failure: 'read' | 'unusable', reason: string): RoundResult {
    this.#options.meter.failed(failure);
    this.#tell('the certificate in the Secret cannot be used; what is served stays', reason);
    return 'failed';
  }

  /** Once, until something else is to be told. */
  #tell(message: string, reason: string): void {
    const { logger, namespace, secretName } = this.#options;
    if (this.#told === reason) return;
    this.#told = reason;
    logger.warn(message, { secret: secretName, namespace, reason });
  }
}
