/** Looks at the node again and again for as long as the agent runs: at all of it now and then, at its routes whenever they change. */
import type { Logger } from '../../runtime/logger.ts';
import type { AgentConfig } from '../agentConfig.ts';
import type { ObservedNode } from '../core/agent/reportNode.ts';
import { sameUplinks, type Uplinks } from '../core/uplinks.ts';
import { describeNode } from './agentNode.ts';
import type { AgentRunner } from './agentRunner.ts';
import type { KernelDataPlane } from './kernelDataPlane.ts';
import { observeForwarding } from './observeForwarding.ts';
import { type NodeObservation, observeNode } from './observeNode.ts';
import type { OwnershipThread } from './ownershipThread.ts';
import type { ToolStarter } from './toolStarter.ts';
import { watchRoutes } from './watchRoutes.ts';

/** How often the node is looked at and the kernel compared with the plan, whether or not anything was heard. */
const RESYNC_MS = 30_000;
/** How often it is asked whether ports are running out: doubling them takes a few of these. */
const PORTS_LOOK_MS = 5_000;
/** Far beyond any tool's normal few milliseconds. */
const TOOL_DEADLINE_MS = 5000;

interface LookedAt extends Pick<AgentConfig, 'nodeAddress' | 'sysctlDir'> {
  readonly starter: ToolStarter;
}

/** Those that come are guarded before anything else is done with them: the ownership thread hears of them first. */
function followUplinks(
  first: Uplinks,
  { thread, logger }: { readonly thread: Pick<OwnershipThread, 'post'>; readonly logger: Logger },
): Pick<AgentRunner, 'observed'> {
  let known = first;
  return {
    observed({ uplinks }) {
      if (sameUplinks(known, uplinks)) return;
      known = uplinks;
      logger.info('the uplinks are others', { uplinks: uplinks.map(({ device }) => device) });
      thread.post({ kind: 'uplinks', uplinks });
    },
  };
}

export function keepLooking(options: {
  readonly config: LookedAt;
  readonly versions: ObservedNode['versions'];
  readonly uplinks: Uplinks;
  readonly thread: Pick<OwnershipThread, 'post'>;
  readonly followers: readonly Pick<AgentRunner, 'observed'>[];
  readonly runner: AgentRunner;
  readonly dataPlane: KernelDataPlane;
  readonly logger: Logger;
}): { stop(): void } {
  const { config, versions, runner, dataPlane, logger } = options;
  const followers = [followUplinks(options.uplinks, options), ...options.followers];
  const look = async (): Promise<void> => {
    const again = await lookAgain(config, versions);
    for (const follower of followers) if (again !== undefined) follower.observed(again);
    runner.resync();
  };
  const resync = setInterval(() => void look(), RESYNC_MS);
  const ports = setInterval(() => {
    void Promise.all([dataPlane.readPressed(), dataPlane.readCounters()]).then((seen) =>
      runner.portsLookedAt(...seen),
    );
  }, PORTS_LOOK_MS);
  const routes = watchRoutes([], () => dataPlane.routesChanged(), logger.warn);
  return {
    stop() {
      clearInterval(resync);
      clearInterval(ports);
      routes.stop();
    },
  };
}

/** What was seen of it, as the agent reports it. */
export async function describeSeen(
  seen: NodeObservation,
  { nodeAddress, sysctlDir, starter }: LookedAt,
  versions: ObservedNode['versions'],
): Promise<ObservedNode> {
  const tools = { execPrefix: [], deadlineMs: TOOL_DEADLINE_MS, starter };
  const forwardingMessage = await observeForwarding(tools, { uplinks: seen.uplinks, sysctlDir });
  return describeNode(nodeAddress, seen, { versions, forwardingMessage });
}

async function lookAgain(
  config: LookedAt,
  versions: ObservedNode['versions'],
): Promise<ObservedNode | undefined> {
  const seen = await observeNode({ self: config.nodeAddress, starter: config.starter });
  return seen.kind === 'refused' ? undefined : describeSeen(seen.value, config, versions);
}
