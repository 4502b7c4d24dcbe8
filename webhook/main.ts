/** The webhook: watches what rules need, keeps its certificate, answers reviews, and drains before it ends. */
import { inClusterAccess, kubeconfigAccess } from '../kube/clusterAccess.ts';
import { createRestClient } from '../kube/restClient.ts';
import { createLogger } from '../runtime/logger.ts';
import { readWebhookConfig, type WebhookConfig } from './config.ts';
import { watchFacts } from './io/facts.ts';
import { keepReviewsYoung } from './io/keepReviewsYoung.ts';
import { createLookAtRivals, LOOK_DEADLINE_MS } from './io/lookAtRivals.ts';
import { createWebhookMetrics } from './io/metrics.ts';
import { createWebhookServer } from './io/server.ts';
import { startCertificates } from './io/startCertificates.ts';
import { watchBundle } from './io/watchBundle.ts';

/** Long enough for every API server's node to have heard that this replica is to be asked no more. */
const DRAIN_MS = 12_000;
/**
 * API servers close what they have not used for 90 s. Of what they keep they use the newest first: an old connection may
 * lie idle until a burst of reviews needs it.
 */
const LINGER_MS = 95_000;
/** Wrong settings: the exit code that says a restart will not help. */
const EXIT_CONFIG = 2;

async function run(config: WebhookConfig): Promise<void> {
  const logger = createLogger({ program: 'webhook', level: config.logLevel }).with({ pod: config.podName });
  const { cluster } = config;
  const access = cluster.kind === 'kubeconfig' ? kubeconfigAccess(cluster.path) : inClusterAccess(cluster);
  const client = createRestClient(access, { userAgent: 'sallyport-webhook' });
  const { routable, networks, namespace } = config;
  const account = (name: string): string => `system:serviceaccount:${namespace}:${name}`;
  const facts = watchFacts({
    client,
    routable,
    networks,
    review: {
      settings: { poolAddressesMax: config.poolAddressesMax, initialPorts: config.initialPorts },
      writers: { controller: account(config.controllerAccount), agent: account(config.agentAccount) },
    },
    logger,
  });
  const lookClient = createRestClient(access, {
    userAgent: 'sallyport-webhook',
    deadlineMs: LOOK_DEADLINE_MS,
  });
  const metrics = createWebhookMetrics();
  const server = createWebhookServer({
    port: config.port,
    drainMs: DRAIN_MS,
    lingerMs: LINGER_MS,
    facts: facts.state,
    lookAtRivals: createLookAtRivals(lookClient),
    metrics,
    logger,
    ...(config.clients === undefined ? {} : { clientNames: config.clients.names }),
  });
  const bundle =
    config.clients === undefined
      ? undefined
      : watchBundle({ path: config.clients.bundlePath, logger, onBundle: server.useClientBundle });
  const port = await server.listen();
  const certificates = startCertificates(config, {
    client,
    logger,
    meter: metrics.certificates,
    onCertificate: server.useCertificate,
  });
  logger.info('listening', { port });

  const signal = await terminationSignal();
  logger.info('draining', { signal, drainMs: DRAIN_MS, lingerMs: LINGER_MS });
  bundle?.stop();
  await server.drain();
  // Whoever drains still serves, and what it serves has to stay trusted.
  await certificates.stop();
  await facts.stop();
  await Promise.all([client.close(), lookClient.close()]);
  logger.info('ended');
}

function terminationSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
}

const config = readWebhookConfig();
if (config.kind === 'ok') {
  keepReviewsYoung();
  await run(config.value);
} else {
  process.stderr.write(config.error.map((problem) => `${problem}\n`).join(''));
  process.exitCode = EXIT_CONFIG;
}
