/** The agent: looks at its node, tests the data plane, watches, and keeps kernel, Lease and report true until it ends. */
import { randomBytes } from 'node:crypto';
import { inClusterAccess } from '../kube/inClusterAccess.ts';
import { createRestClient } from '../kube/restClient.ts';
import type { Address } from '../policy/model.ts';
import { GATEWAY_LABEL } from '../policy/names.ts';
import { type HealthServer, startHealthServer } from '../runtime/healthServer.ts';
import { createLogger, type Logger } from '../runtime/logger.ts';
import { installShutdown } from '../runtime/shutdown.ts';
import { type AgentConfig, readAgentConfig } from './agentConfig.ts';
import type { AgentView } from './core/agent/agentView.ts';
import type { FamilyFastRoutes, FastRoutes } from './core/dataplane/fastRoutes.ts';
import { TOKEN_BYTES } from './core/dataplane/kernelCommands.ts';
import { tunnelMac } from './core/dataplane/tunnelMac.ts';
import { startAgentCaches } from './io/agentCaches.ts';
import { createAgentMetrics } from './io/agentMetrics.ts';
import { readVersions } from './io/agentNode.ts';
import { type AgentRunner, type AgentRunnerOptions, startAgentRunner } from './io/agentRunner.ts';
import { createGatewayNodeWriter } from './io/gatewayNodeWriter.ts';
import { type HealthProbes, type HealthProbesOptions, startHealthProbes } from './io/healthProbes.ts';
import { describeSeen, keepLooking } from './io/keepLooking.ts';
import {
  createKernelDataPlane,
  type KernelDataPlane,
  type KernelDataPlaneOptions,
} from './io/kernelDataPlane.ts';
import { createLeaseHeart } from './io/leaseHeart.ts';
import { observeNode } from './io/observeNode.ts';
import { createOrderJoiner } from './io/orderJoiner.ts';
import { type OwnershipSecretsOptions, watchOwnershipSecrets } from './io/ownershipSecrets.ts';
import { type OwnershipThread, startOwnershipThread } from './io/ownershipThread.ts';
import { createToolStarter } from './io/toolStarter.ts';
import { type PortWatch, watchPortUse } from './io/watchPortUse.ts';

const VERSION = '0.1.0';
/** Handing over, then one write; less than the pod's grace period. */
const SHUTDOWN_MS = 8000;
/** One lost and one slow renewal must not cost a gateway its Lease. */
const RENEWALS_PER_LEASE = 4;
/** Beside this file, as source and as bundle. */
const OWNERSHIP_MODULE = new URL(
  import.meta.url.endsWith('.ts') ? 'ownership.ts' : 'ownership.js',
  import.meta.url,
);
/** Wrong settings: the exit code that says a restart will not help. */
const EXIT_CONFIG = 2;
/** The node lacks something that the data plane needs. */
const EXIT_UNFIT = 3;
/** A part of the agent that it cannot go on without ended. */
const EXIT_BROKEN = 1;

async function run(config: AgentConfig): Promise<void> {
  const { node, nodeAddress, namespace, leaseMs } = config;
  const logger = createLogger({ program: 'agent', level: config.logLevel }).with({ node });
  const { starter, seen, token, dataPlane } = await openNode(config, logger);
  const { uplink, uplinks } = seen;

  const shutdown = installShutdown({ logger, deadlineMs: SHUTDOWN_MS });
  const { client, heartClient } = connect(config);
  shutdown.onEnd('connections', async () => {
    await Promise.all([client.close(), heartClient.close(), dataPlane.close()]);
    starter.close();
  });
  const wallClock = Date.now;
  const versions = await readVersions(VERSION);
  const onFailed = (): void => runner.reportFailed();
  const writer = createGatewayNodeWriter({ client, node, logger, wallClock, onFailed });
  shutdown.onEnd('report', () => writer.drained());
  const thread = await startOwnershipThread({
    module: OWNERSHIP_MODULE,
    settings: { ...config, address: nodeAddress, uplinks, execPrefix: [], token },
    onMessage: (message) => runner.heard(message),
    onEnd: (reason) => fail(logger, `the ownership thread is gone: ${reason}`),
  });
  shutdown.onEnd('ownership thread', () => thread.stop());
  const metrics = createAgentMetrics();
  const durationSeconds = leaseMs / 1000;
  const observed = await describeSeen(seen, { ...config, starter }, versions);
  const runner = startAgentRunner({
    node,
    dataPlane,
    heart: createLeaseHeart({ client: heartClient, namespace, node, durationSeconds, wallClock }),
    logger,
    metrics,
    observed,
    recalled: await dataPlane.readHolders(),
    renewMs: leaseMs / RENEWALS_PER_LEASE,
    report: (report) => writer.write(report),
    joiner: createOrderJoiner({ client, logger, monotonicMs: () => performance.now() }),
    post: (message) => thread.post(message),
    boot: randomBytes(6).toString('hex'),
    isGateway: (view) => isGateway(view, node),
    monotonicMs: () => performance.now(),
  });
  shutdown.onEnd('addresses', () => runner.stop());
  const probes = probeHealth(config, { uplink, observed, logger, runner });
  shutdown.onEnd('probes', () => probes.stop());
  const ports = watchPorts({ node, runner, logger });
  shutdown.onEnd('ports', () => ports.stop());
  // In this order: what the status says of this gateway's health must not be overwritten unread.
  const followers = [probes, runner];
  const secrets = watchSecrets({ client, logger, namespace, thread });
  shutdown.onEnd('secrets', () => secrets.stop());
  const caches = startAgentCaches({
    client,
    logger,
    self: { node, address: nodeAddress, mac: tunnelMac(nodeAddress) },
    serviceCidrs: config.serviceCidrs,
    onPodsUnseen: (unseen) => runner.podsUnseen(unseen),
    onView: (view) => [ports, ...followers].forEach((follower) => void follower.viewed(view)),
  });
  shutdown.onEnd('caches', () => caches.stop());
  const looks = keepLooking({
    config: { ...config, starter },
    versions,
    uplinks,
    thread,
    followers,
    runner,
    dataPlane,
    logger,
  });
  shutdown.onEnd('looks', () => looks.stop());
  const health = await serveHealth(config, { runner, metrics, logger });
  shutdown.onEnd('health', () => health.stop());
  logger.info('watching', { uplink, port: health.port, versions });
}

/** Ends the agent where the node is not fit for it. */
async function openNode(config: AgentConfig, logger: Logger) {
  const starter = createToolStarter();
  const seen = await observeNode({ self: config.nodeAddress, starter });
  if (seen.kind === 'refused') return giveUp([seen.error]);
  const token = randomBytes(TOKEN_BYTES);
  const dataPlane = await openDataPlane(config, { uplink: seen.value.uplink, token, logger, starter });
  const problems = await dataPlane.selfTest();
  if (problems.length > 0) return giveUp(problems);
  return { starter, seen: seen.value, token, dataPlane };
}

/** After a boot the first thing is to hold what this node held before. */
async function openDataPlane(
  config: AgentConfig,
  tools: Pick<KernelDataPlaneOptions, 'uplink' | 'token' | 'starter'> & { readonly logger: Logger },
): Promise<KernelDataPlane> {
  const { logger } = tools;
  const onFastRoutes = (fast: FastRoutes): void => logger.info('the fast path', describeFast(fast));
  const { warn } = logger;
  const self = config.nodeAddress;
  const dataPlane = createKernelDataPlane({ ...config, ...tools, self, onFastRoutes, warn });
  await dataPlane.holdAtBoot();
  return dataPlane;
}

/** A list must never stand before a renewal of the Lease, and one that takes longer than a third of it is lost. */
function connect({ cluster, leaseMs }: AgentConfig) {
  const access = inClusterAccess(cluster);
  const userAgent = 'sallyport-agent';
  return {
    client: createRestClient(access, { userAgent }),
    heartClient: createRestClient(access, { userAgent, deadlineMs: leaseMs / 3 }),
  };
}

function watchSecrets({
  thread,
  ...rest
}: Pick<OwnershipSecretsOptions, 'client' | 'logger' | 'namespace'> & {
  readonly thread: Pick<OwnershipThread, 'post'>;
}): ReturnType<typeof watchOwnershipSecrets> {
  return watchOwnershipSecrets({
    ...rest,
    onConfig: (voters) => thread.post({ kind: 'event', event: { kind: 'configured', config: voters } }),
    onKeys: (keys) => thread.post({ kind: 'keys', keys }),
  });
}

/** Of the addresses that this node has ports of. */
function watchPorts(options: {
  readonly node: string;
  readonly runner: AgentRunner;
  readonly logger: Logger;
}): PortWatch & { viewed(view: AgentView): void } {
  const { node, runner, logger } = options;
  let addresses: readonly Address[] = [];
  const watch = watchPortUse({
    addresses: () => addresses,
    onUse: (use) => runner.portUse(use),
    warn: logger.warn,
  });
  return {
    viewed({ egressIps }) {
      addresses = [...egressIps.values()].flatMap(({ address, blocks }) =>
        blocks.some((block) => block.node === node) ? [address] : [],
      );
    },
    stop: watch.stop,
  };
}

function describeFast(fast: FastRoutes): Readonly<Record<string, string>> {
  const describe = (it: FamilyFastRoutes): string =>
    it.kind === 'on' ? `by ${it.nextHop}` : `off: ${it.reason}`;
  return { ipv4: describe(fast[4]), ipv6: describe(fast[6]) };
}

function probeHealth(
  { node, nodeAddress, health }: AgentConfig,
  {
    runner,
    ...rest
  }: Pick<HealthProbesOptions, 'uplink' | 'observed' | 'logger'> & { readonly runner: AgentRunner },
): HealthProbes {
  return startHealthProbes({
    ...rest,
    node,
    onHealth: (verdict) => runner.health(verdict),
    address: nodeAddress,
    settings: health,
    isGateway: (view) => isGateway(view, node),
  });
}

function serveHealth(
  { metricsPort: port }: AgentConfig,
  {
    runner,
    metrics,
    logger,
  }: Pick<AgentRunnerOptions, 'metrics' | 'logger'> & { readonly runner: AgentRunner },
): Promise<HealthServer> {
  const readiness = { dataPlane: () => runner.whyNotReady() };
  return startHealthServer({ port, liveness: {}, readiness, registry: metrics.registry, logger });
}

function isGateway({ nodes }: AgentView, node: string): boolean {
  const labels = nodes.get(node)?.labels ?? {};
  return Object.hasOwn(labels, GATEWAY_LABEL) && labels[GATEWAY_LABEL] !== 'false';
}

/** The kernel goes silent by itself; a new agent starts from a known state. */
function fail(logger: Logger, reason: string): void {
  logger.error(reason);
  process.exit(EXIT_BROKEN);
}

function giveUp(problems: readonly string[]): never {
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
