/**
 * Keeps the webhook's certificate: reads the Secret, does what `decideRotation` says, publishes trust, then serves.
 * Looks at the wall clock twice a minute instead of setting one long timer: timers do not see a suspended machine.
 *
 * Order on a change: the bundle is published on one round, the leaf that needs it is handed out on the next, so that
 * every API server has seen the bundle before it meets the leaf. Only the very first certificate is served at once.
 */
import type { KubeClient } from '../../kube/kubeClient.ts';
import type { Logger } from '../../runtime/logger.ts';
import { decideRotation, type RotationStep, TRUSTED_CAS_MAX } from '../core/rotation.ts';
import { type BundleOutcome, type ConfigurationPlural, readTrustedCas, writeCaBundle } from './caBundle.ts';
import {
  type CertificateSet,
  readCertSecret,
  type SecretAddress,
  type StoredSecret,
  writeCertSecret,
} from './certSecret.ts';
import { type IssuedPair, issueCa, issueLeaf, serviceNames } from './issue.ts';

/** How soon a reverted bundle or a due renewal is noticed. */
const CHECK_INTERVAL_MS = 30_000;
/** After a failure: soon, since without a certificate nothing is served. */
const RETRY_INTERVAL_MS = 2_000;
/** Lost races in one round; each loss means another replica got further, so two rounds suffice unless something fights. */
const ROUNDS_MAX = 4;

export interface CertificateOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly secretName: string;
  readonly serviceName: string;
  readonly validatingConfiguration: string;
  readonly mutatingConfiguration: string;
  readonly logger: Logger;
  /** May throw (a pair that TLS refuses); the old certificate then stays in service and the next round tries again. */
  readonly onCertificate: (pair: IssuedPair) => void;
  /** Milliseconds since the epoch. */
  readonly wallClock?: () => number;
}

export interface CertificateKeeper {
  /** One round now; false where it must be tried again soon. Rounds never overlap. */
  check(): Promise<boolean>;
  stop(): void;
}

export function startCertificates(options: CertificateOptions): CertificateKeeper {
  const keeper = createRounds(options);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const loop = async (): Promise<void> => {
    const fine = await keeper.check();
    if (stopped) return;
    timer = setTimeout(() => void loop(), fine ? CHECK_INTERVAL_MS : RETRY_INTERVAL_MS);
  };
  void loop();
  return {
    check: keeper.check,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

interface Served {
  readonly leafPem: string;
  readonly bundlePem: string;
  /** The CA that signed the leaf. */
  readonly signerPem: string;
}

function createRounds(options: CertificateOptions): Pick<CertificateKeeper, 'check'> {
  const { logger } = options;
  let served: Served | undefined;
  let published: string | undefined;

  const round = async (): Promise<boolean> => {
    const set = await settle(options);
    if (set === undefined) return false;
    const bundlePem = set.caPems.map((pem) => `${pem.trim()}\n`).join('');
    const trusted = await publish(options, bundlePem);
    if (!trusted && served !== undefined) return false;
    const seenBefore = published === bundlePem;
    published = bundlePem;
    if (served?.leafPem === set.leaf.certPem) return trusted;
    // Where nobody trusts any more what is served here, waiting would only make that last.
    const trustedHere = served !== undefined && bundlePem.includes(served.signerPem);
    if (served !== undefined && trustedHere && served.bundlePem !== bundlePem && !seenBefore) return false;
    options.onCertificate(set.leaf);
    served = { leafPem: set.leaf.certPem, bundlePem, signerPem: (set.caPems[0] ?? '').trim() };
    logger.info('serving a certificate', { secret: options.secretName });
    return trusted;
  };

  let running: Promise<boolean> = Promise.resolve(true);
  return {
    check: () => {
      running = running.then(round).catch((error: unknown) => {
        logger.error('the certificate round failed', { error });
        return false;
      });
      return running;
    },
  };
}

/** Reads, decides and writes until the Secret needs nothing; undefined where it could not be read or written. */
async function settle(options: CertificateOptions): Promise<CertificateSet | undefined> {
  const { client, logger } = options;
  const address: SecretAddress = { namespace: options.namespace, name: options.secretName };
  const names = serviceNames(options.serviceName, options.namespace);
  for (let attempt = 0; attempt < ROUNDS_MAX; attempt += 1) {
    const nowMs = (options.wallClock ?? Date.now)();
    const read = await readCertSecret(client, address, names);
    if (read.kind === 'refused') {
      logger.warn('the certificate Secret cannot be read', { ...address, reason: read.error.message });
      return undefined;
    }
    const step = decideRotation(read.value.facts, nowMs);
    if (step.kind === 'keep') return read.value.set;
    logger.info('issuing certificates', { step: step.kind, reason: step.reason });
    const trusted = step.kind === 'issue-ca' ? await readTrustedCas(client, validating(options), nowMs) : [];
    const set = await perform(step, { stored: read.value, names, nowMs, trusted });
    const written = await writeCertSecret(client, address, { set, over: read.value });
    if (written.kind === 'refused') {
      logger.warn('the certificate Secret cannot be written', { ...address, reason: written.error.message });
      return undefined;
    }
  }
  logger.warn('the certificate Secret keeps changing under us', { ...address });
  return undefined;
}

async function perform(
  step: Exclude<RotationStep, { readonly kind: 'keep' }>,
  context: {
    readonly stored: StoredSecret;
    readonly names: readonly string[];
    readonly nowMs: number;
    /** PEM of CAs that API servers trust now, whatever the Secret says. */
    readonly trusted: readonly string[];
  },
): Promise<CertificateSet> {
  const { set } = context.stored;
  if (step.kind === 'issue-leaf') {
    const signer = { certPem: set.caPems[0] ?? '', keyPem: set.caKeyPem };
    return { ...set, leaf: await issueLeaf(signer, context.names, context.nowMs) };
  }
  const ca = await issueCa(context.nowMs);
  const kept = step.trust.flatMap((index) => set.caPems[index] ?? []);
  const all = [ca.certPem, ...kept, ...context.trusted].map((pem) => pem.trim());
  return {
    caPems: [...new Set(all)].slice(0, TRUSTED_CAS_MAX),
    caKeyPem: ca.keyPem,
    leaf: await issueLeaf(ca, context.names, context.nowMs),
  };
}

function validating({ validatingConfiguration }: CertificateOptions) {
  return { plural: 'validatingwebhookconfigurations', name: validatingConfiguration } as const;
}

/** True when every configuration that exists carries the bundle. */
async function publish(options: CertificateOptions, bundlePem: string): Promise<boolean> {
  const targets: readonly { readonly plural: ConfigurationPlural; readonly name: string }[] = [
    validating(options),
    { plural: 'mutatingwebhookconfigurations', name: options.mutatingConfiguration },
  ];
  const outcomes = await Promise.all(
    targets.map(async (target) => {
      const outcome = await writeCaBundle(options.client, target, bundlePem);
      report(options.logger, target.name, outcome);
      return outcome;
    }),
  );
  return outcomes.every((outcome) => outcome.kind !== 'failed');
}

function report(logger: Logger, configuration: string, outcome: BundleOutcome): void {
  if (outcome.kind === 'written')
    logger.info('wrote the CA bundle', { configuration, webhooks: outcome.webhooks });
  if (outcome.kind === 'failed')
    logger.warn('the CA bundle cannot be written', { configuration, reason: outcome.error.message });
}
