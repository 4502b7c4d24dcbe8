/** The agent: looks at its node, tests the data plane, watches, and keeps kernel, Lease and report true until it ends. */

import { Registry } from 'prom-client';
import { inClusterAccess } from '../kube/inClusterAccess.ts';
import { createRestClient } from '../kube/restClient.ts';
import { GATEWAY_LABEL } from '../policy/names.ts';
import { startHealthServer } from '../runtime/healthServer.ts';
import { createLogger } from '../runtime/logger.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { type AgentConfig, readAgentConfig } from './agentConfig.ts';
import type { AgentView } from './core/agent/agentView.ts';
import { tunnelMac } from './core/dataplane/tunnelMac.ts';
import { startAgentCaches } from './io/agentCaches.ts';
import { describeNode, readVersions } from './io/agentNode.ts';
import { startAgentRunner } from './io/agentRunner.ts';
import { createGatewayNodeWriter } from './io/gatewayNodeWriter.ts';
import { createKernelDataPlane } from './io/kernelDataPlane.ts';
import { createLeaseHeart } from './io/leaseHeart.ts';
import { observeNode } from './io/observeNode.ts';

const VERSION = '0.1.0';
/** Handing over, then one write; less than the pod's grace period. */
const SHUTDOWN_MS = 8000;
/** How often the node is looked at and the kernel compared with the plan, whether or not anything was heard. */
const RESYNC_MS = 30_000;
/** Wrong settings: the exit code that says a restart will not help. */
const EXIT_CONFIG = 2;
/** The node lacks something that the data plane needs. */
const EXIT_UNFIT = 3;

async function run(config: AgentConfig): Promise<void> {
  const { node, nodeAddress, namespace, lifetimeMs, heartbeatMs } = config;
  const logger = createLogger({ program: 'agent', level: config.logLevel }).with({ node });
  const seen = await observeNode({ self: nodeAddress });
  if (seen.kind === 'refused') return giveUp([seen.error]);
  const { uplink } = seen.value;
  const dataPlane = createKernelDataPlane({
    ...config,
    uplink,
    self: nodeAddress,
    warn: (message) => logger.warn(message),
  });
  const problems = await dataPlane.selfTest();
  if (problems.length > 0) return giveUp(problems);

  const shutdown = installShutdown({ logger, deadlineMs: SHUTDOWN_MS });
  const access = inClusterAccess(config.cluster);
  const client = createRestClient(access, { userAgent: 'sallyport-agent' });
  // A list must never stand before a heartbeat, and a heartbeat that takes longer than a third of the lease is lost.
  const heartClient = createRestClient(access, { userAgent: 'sallyport-agent', deadlineMs: lifetimeMs / 3 });
  shutdown.onEnd('connections', async () => {
    await Promise.all([client.close(), heartClient.close(), dataPlane.close()]);
  });
  const wallClock = Date.now;
  const versions = await readVersions(VERSION);
  const writer = createGatewayNodeWriter({
    client,
    node,
    logger,
    wallClock,
    onFailed: () => runner.reportFailed(),
  });
  shutdown.onEnd('report', () => writer.drained());
  const durationSeconds = lifetimeMs / 1000;
  const runner = startAgentRunner({
    node,
    dataPlane,
    heart: createLeaseHeart({ client: heartClient, namespace, node, durationSeconds, wallClock }),
    logger,
    observed: describeNode(nodeAddress, seen.value, versions),
    recalled: await dataPlane.readHolders(),
    heartbeatMs,
    lifetimeMs,
    report: (report) => writer.write(report),
    isGateway: (view) => isGateway(view, node),
    monotonicMs: () => performance.now(),
  });
  shutdown.onEnd('addresses', () => runner.stop());
  const caches = startAgentCaches({
    client,
    logger,
    self: { node, address: nodeAddress, mac: tunnelMac(nodeAddress) },
    uplink,
    serviceCidrs: config.serviceCidrs,
    onView: (view) => runner.viewed(view),
  });
  shutdown.onEnd('caches', () => caches.stop());
  const resync = setInterval(() => {
    void observeNode({ self: nodeAddress }).then((again) => {
      if (again.kind === 'ok') runner.observed(describeNode(nodeAddress, again.value, versions));
      runner.resync();
    });
  }, RESYNC_MS);
  shutdown.onEnd('resync', () => clearInterval(resync));
  const health = await startHealthServer({
    port: config.metricsPort,
    liveness: {},
    readiness: { dataPlane: () => runner.whyNotReady() },
    registry: new Registry(),
    logger,
  });
  shutdown.onEnd('health', () => health.stop());
  logger.info('watching', { uplink, port: health.port, versions });
}

function isGateway({ nodes }: AgentView, node: string): boolean {
  const labels = nodes.get(node)?.labels ?? {};
  return Object.hasOwn(labels, GATEWAY_LABEL) && labels[GATEWAY_LABEL] !== 'false';
}

function giveUp(problems: readonly string[]): void {
  process.stderr.write(problems.map((problem) => `this node cannot run the agent: ${problem}\n`).join(''));
  process.exit(EXIT_UNFIT);
}

const config = readAgentConfig();
if (config.kind === 'ok') {
  await run(config.value);
} else {
  process.stderr.write(config.error.map((problem) => `${problem}\n`).join(''));
  process.exitCode = EXIT_CONFIG;
}
