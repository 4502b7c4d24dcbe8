/** The controller: watches, leads if it may, and keeps what the API says of egress IPs true. Ends when it leads no more. */
import { randomUUID } from 'node:crypto';
import { inClusterAccess, kubeconfigAccess } from '../kube/clusterAccess.ts';
import { createEventRecorder } from '../kube/eventRecorder.ts';
import { type LeaderElector, startLeaderElector } from '../kube/leaderElector.ts';
import { createRestClient } from '../kube/restClient.ts';
import { CONTROLLER_LEASE } from '../policy/names.ts';
import { startHealthServer } from '../runtime/healthServer.ts';
import { createLogger } from '../runtime/logger.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { type ControllerConfig, readControllerConfig } from './controllerConfig.ts';
import { createControllerMetrics } from './io/controllerMetrics.ts';
import { startControllerRunner } from './io/controllerRunner.ts';
import { createPeerKeyKeeper } from './io/peerKeyKeeper.ts';

/** Addresses move without a leader; new policies and nodes that want ports wait for one. */
const LEASE_DURATION_MS = 8000;
const RENEW_DEADLINE_MS = 6000;
const RETRY_PERIOD_MS = 1500;
/** A quarter of the renew deadline: one lost answer costs no leadership. */
const ELECTION_DEADLINE_MS = RENEW_DEADLINE_MS / 4;
/** All that has to be ended is connections and one write that releases the Lease. */
const SHUTDOWN_MS = 5000;
/** Wrong settings: the exit code that says a restart will not help. */
const EXIT_CONFIG = 2;

async function run(config: ControllerConfig): Promise<void> {
  const { cluster, namespace, podName } = config;
  const logger = createLogger({ program: 'controller', level: config.logLevel }).with({ pod: podName });
  let elector: LeaderElector | undefined;
  const shutdown = installShutdown({ logger, deadlineMs: SHUTDOWN_MS });
  const access = cluster.kind === 'kubeconfig' ? kubeconfigAccess(cluster.path) : inClusterAccess(cluster);
  const client = createRestClient(access, { userAgent: 'sallyport-controller' });
  const electionClient = createRestClient(access, {
    userAgent: 'sallyport-controller',
    deadlineMs: ELECTION_DEADLINE_MS,
  });
  shutdown.onEnd('connections', async () => {
    await Promise.all([client.close(), electionClient.close()]);
  });
  const events = createEventRecorder({ client, component: CONTROLLER_LEASE, instance: podName, logger });
  shutdown.onEnd('events', () => events.stop());
  // Runs after the runner has ended: what it wrote last is in before another may lead.
  shutdown.onEnd('leadership', () => elector?.stop());
  const metrics = createControllerMetrics({
    phases: () => runner.phases(),
    portsTakenRatio: () => runner.portsTakenRatio(),
  });
  const now = () => ({ monotonicMs: performance.now(), wallMs: Date.now() });
  const holdsUntilMs = () => elector?.holdsUntilMs() ?? Number.NEGATIVE_INFINITY;
  const runner = startControllerRunner({
    client,
    namespace,
    settings: { ...config, voterSettleMs: config.durations.settledMs },
    events,
    metrics,
    logger,
    holdsUntilMs,
    now,
  });
  shutdown.onEnd('runner', () => runner.stop());
  const keys = createPeerKeyKeeper({
    client,
    namespace,
    rotateEveryMs: config.peerKeyRotationMs,
    agents: runner.agentKeys,
    leads: () => performance.now() < holdsUntilMs(),
    events,
    onAge: metrics.peerKeyAge,
    logger,
    now,
  });
  shutdown.onEnd('peer keys', () => keys.stop());
  const health = await startHealthServer({
    port: config.metricsPort,
    liveness: {},
    // Followers are ready too: a rollout waits for warm caches, not for leadership.
    readiness: { caches: runner.whyNotReady },
    registry: metrics.registry,
    logger,
  });
  shutdown.onEnd('health', () => health.stop());
  elector = startLeaderElector({
    client: electionClient,
    namespace,
    name: CONTROLLER_LEASE,
    identity: `${podName}_${randomUUID()}`,
    leaseDurationMs: LEASE_DURATION_MS,
    renewDeadlineMs: RENEW_DEADLINE_MS,
    retryPeriodMs: RETRY_PERIOD_MS,
    logger,
    onChange: (role) => {
      metrics.leads(role === 'leader');
      if (role === 'leader') {
        runner.begin();
        keys.begin();
      } else shutdown.end('another may lead now');
    },
  });
  logger.info('watching', { port: health.port, namespace });
}

const config = readControllerConfig();
if (config.kind === 'ok') {
  await run(config.value);
} else {
  process.stderr.write(config.error.map((problem) => `${problem}\n`).join(''));
  process.exitCode = EXIT_CONFIG;
}
