/** The Job before an uninstall: does what io/uninstall.ts says, once, and ends. */
import { setTimeout } from 'node:timers/promises';
import { createEventRecorder } from '../kube/eventRecorder.ts';
import { inClusterAccess } from '../kube/inClusterAccess.ts';
import { createRestClient } from '../kube/restClient.ts';
import { createLogger } from '../runtime/logger.ts';
import { uninstall } from './io/uninstall.ts';
import { readUninstallConfig, type UninstallConfig } from './uninstallConfig.ts';

const COMPONENT = 'sallyport-uninstall';
const EXIT_FAILED = 1;
/** Wrong settings: the exit code that says a restart will not help. */
const EXIT_CONFIG = 2;

async function run({ cluster, names, timeoutMs, logLevel, podName }: UninstallConfig): Promise<void> {
  const logger = createLogger({ program: 'uninstall', level: logLevel });
  const client = createRestClient(inClusterAccess(cluster), { userAgent: COMPONENT });
  const events = createEventRecorder({ client, component: COMPONENT, instance: podName, logger });
  try {
    const monotonicMs = (): number => performance.now();
    await uninstall({ client, names, timeoutMs, events, logger, monotonicMs, pause: setTimeout });
  } catch (error) {
    logger.error('the uninstall did not come to its end; asked for again it goes on', { error });
    process.exitCode = EXIT_FAILED;
  }
  await events.stop();
  await client.close();
}

const config = readUninstallConfig();
if (config.kind === 'ok') {
  await run(config.value);
} else {
  process.stderr.write(config.error.map((problem) => `${problem}\n`).join(''));
  process.exitCode = EXIT_CONFIG;
}
