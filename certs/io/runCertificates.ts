/**
 * Runs the rounds of a keeper, never two at once: at each change of the Secret, and by a timer. The timer is short, since
 * one long timer does not see a suspended machine, and the wall clock may jump.
 */
import type { KubeClient } from '../../kube/kubeClient.ts';
import { startReflector } from '../../kube/reflector.ts';
import { FieldReader } from '../../policy/fieldReader.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { CertificateMeter } from './certificateMeter.ts';
import { type SecretAddress, secretCollection } from './certSecret.ts';

/** How soon a reverted bundle, a due renewal or a jump of the wall clock is noticed. */
const SETTLED_INTERVAL_MS = 30_000;
/** After a failure, and while a rotation goes on. */
const MOVING_INTERVAL_MS = 2_000;

/** `settled`: all is as it should be. `moving`: something is awaited. */
export type RoundResult = 'settled' | 'moving' | 'failed';

export interface CertificateKeeper {
  round(): Promise<RoundResult>;
  /** After the last round, when nothing is served any more. */
  stop(): Promise<void>;
}

export interface RunningCertificates {
  stop(): Promise<void>;
}

export interface RunOptions {
  readonly keeper: CertificateKeeper;
  readonly client: KubeClient;
  readonly secret: SecretAddress;
  readonly logger: Logger;
  readonly meter: CertificateMeter;
}

export function runCertificates(options: RunOptions): RunningCertificates {
  const { keeper, logger, meter } = options;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let wanted = true;
  let running = Promise.resolve();
  const rounds = async (): Promise<void> => {
    while (wanted && !stopped) {
      wanted = false;
      const result = await keeper.round().catch((error: unknown): RoundResult => {
        logger.error('the certificate round failed', { error });
        meter.failed('round');
        return 'failed';
      });
      clearTimeout(timer);
      if (!stopped) timer = setTimeout(wake, result === 'settled' ? SETTLED_INTERVAL_MS : MOVING_INTERVAL_MS);
    }
  };
  const wake = (): void => {
    if (wanted) return;
    wanted = true;
    running = running.then(rounds);
  };
  running = rounds();
  const watch = watchSecret(options, wake);
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await Promise.all([running, watch.stop()]);
      await keeper.stop();
    },
  };
}

function watchSecret({ client, secret, logger }: RunOptions, onChange: () => void) {
  return startReflector({
    client,
    path: secretCollection(secret),
    query: { fieldSelector: `metadata.name=${secret.name}` },
    project: (raw) => ({
      key: secret.name,
      value: new FieldReader(raw, '', []).child('metadata').optionalText('resourceVersion') ?? '',
    }),
    onEvent: ({ kind }) => {
      if (kind !== 'disconnected') onChange();
    },
    logger,
  });
}
