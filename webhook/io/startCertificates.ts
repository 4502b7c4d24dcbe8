/** Starts the keeper of certificates that the settings ask for. */
import type { CertificateMeter } from '../../certs/io/certificateMeter.ts';
import type { IssuedPair } from '../../certs/io/issue.ts';
import { keepCertificates } from '../../certs/io/keepCertificates.ts';
import { readCertificates } from '../../certs/io/readCertificates.ts';
import { type RunningCertificates, runCertificates } from '../../certs/io/runCertificates.ts';
import type { KubeClient } from '../../kube/kubeClient.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { WebhookConfig } from '../config.ts';

export interface CertificateSurroundings {
  readonly client: KubeClient;
  readonly logger: Logger;
  readonly meter: CertificateMeter;
  readonly onCertificate: (pair: IssuedPair) => void;
}

export function startCertificates(
  {
    namespace,
    podName,
    serviceName,
    validatingConfiguration,
    mutatingConfiguration,
    certificates,
  }: WebhookConfig,
  around: CertificateSurroundings,
): RunningCertificates {
  const names = { namespace, podName, serviceName, validatingConfiguration, mutatingConfiguration };
  const start = certificates.mode === 'selfManaged' ? keepCertificates : readCertificates;
  const keeper = start({ ...names, ...certificates, ...around });
  return runCertificates({ keeper, secret: { namespace, name: certificates.secretName }, ...around });
}
