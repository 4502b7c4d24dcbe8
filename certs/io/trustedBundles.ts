/** The webhook configurations as a whole: which CAs all of them trust, and one bundle for all of them. */
import type { KubeClient } from '../../kube/kubeClient.ts';
import type { Logger } from '../../runtime/logger.ts';
import { parseCertificate } from '../../runtime/pem.ts';
import { type ConfigurationName, readCaBundles, writeCaBundle } from './caBundle.ts';
import type { CertificateMeter } from './certificateMeter.ts';

export interface ConfigurationOptions {
  readonly client: KubeClient;
  readonly validatingConfiguration: string;
  readonly mutatingConfiguration: string;
  readonly logger: Logger;
  readonly meter: CertificateMeter;
}

/** `any`: no webhook has a bundle, so API servers go by the authorities that their systems know. */
export type Trust =
  | { readonly kind: 'known'; readonly byAll: readonly string[]; readonly bySome: readonly string[] }
  | { readonly kind: 'any' }
  | { readonly kind: 'unknown'; readonly reason: string };

function configurations(options: ConfigurationOptions): readonly ConfigurationName[] {
  return [
    { plural: 'validatingwebhookconfigurations', name: options.validatingConfiguration },
    { plural: 'mutatingwebhookconfigurations', name: options.mutatingConfiguration },
  ];
}

/** PEM of CAs that are valid at `nowMs`; a webhook without a bundle is left out. */
export async function readTrust(options: ConfigurationOptions, nowMs: number): Promise<Trust> {
  const reads = await Promise.all(configurations(options).map((it) => readCaBundles(options.client, it)));
  const failed = reads.find((read) => read.kind === 'failed');
  if (failed !== undefined) return { kind: 'unknown', reason: failed.error.message };
  const bundles = reads
    .flatMap((read) => (read.kind === 'ok' ? read.bundles : []))
    .map((pems) => new Set(pems.map((pem) => pem.trim()).filter((pem) => isValidCa(pem, nowMs))))
    .filter(({ size }) => size > 0);
  const [first, ...others] = bundles;
  if (first === undefined) return { kind: 'any' };
  const byAll = [...first].filter((pem) => others.every((bundle) => bundle.has(pem)));
  return { kind: 'known', byAll, bySome: [...new Set(bundles.flatMap((bundle) => [...bundle]))] };
}

function isValidCa(pem: string, nowMs: number): boolean {
  const certificate = parseCertificate(pem);
  if (certificate === undefined) return false;
  return (
    certificate.ca &&
    certificate.validFromDate.getTime() <= nowMs &&
    nowMs < certificate.validToDate.getTime()
  );
}

/** True when every configuration that exists carries the bundle. */
export async function publishBundle(options: ConfigurationOptions, bundlePem: string): Promise<boolean> {
  const { client, logger, meter } = options;
  const outcomes = await Promise.all(
    configurations(options).map(async ({ name, plural }) => {
      const outcome = await writeCaBundle(client, { name, plural }, bundlePem);
      if (outcome.kind === 'written')
        logger.info('wrote the CA bundle', { configuration: name, plural, webhooks: outcome.webhooks });
      if (outcome.kind !== 'failed') return true;
      const reason = outcome.error.message;
      logger.warn('the CA bundle cannot be written', { configuration: name, plural, reason });
      meter.failed('publish');
      return false;
    }),
  );
  return outcomes.every((it) => it);
}
