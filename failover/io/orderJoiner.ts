/** Names the own session in orders where no controller does (core/agent/joinOrders.ts): one look at a time, and its writes. */
import type { KubeClient } from '../../kube/kubeClient.ts';
import { collectionPath, EGRESS_IP } from '../../policy/names.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { AgentView } from '../core/agent/agentView.ts';
import { NOT_JOINING, planJoins } from '../core/agent/joinOrders.ts';
import type { EgressIp, SessionRef } from '../core/egressIp.ts';

export interface OrderJoiner {
  /** Called whenever one of them may have changed; undefined: no session of ours may be named. */
  look(view: Pick<AgentView, 'egressIps' | 'gatewayNodes'>, self: SessionRef | undefined): void;
  stop(): void;
}

export function createOrderJoiner(options: {
  readonly client: Pick<KubeClient, 'jsonPatch'>;
  readonly logger: Logger;
  readonly monotonicMs: () => number;
}): OrderJoiner {
  const { client, logger, monotonicMs } = options;
  let joining = NOT_JOINING;
  let timer: NodeJS.Timeout | undefined;

  const write = async ({ name, resourceVersion, order }: EgressIp): Promise<void> => {
    // The one entry and nothing around it: agents may change nothing else of an EgressIP.
    const outcome = await client.jsonPatch(`${collectionPath(EGRESS_IP)}/${name}`, [
      { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
      { op: 'add', path: '/spec/order/-', value: order.at(-1) },
    ]);
    // A conflict is as good: somebody else has written, and the watch brings what.
    if (outcome.kind === 'ok')
      logger.info('named itself in an order that no controller looks after', { name });
    else logger.debug('could not name itself in an order', { name, error: outcome.error.message });
  };
  const look: OrderJoiner['look'] = (view, self) => {
    clearTimeout(timer);
    const nowMs = monotonicMs();
    const plan = planJoins(joining, view.egressIps.values(), {
      self,
      gatewayNodes: view.gatewayNodes,
      nowMs,
    });
    joining = plan.joining;
    for (const egressIp of plan.writes) void write(egressIp);
    if (plan.wakeMs === undefined) return;
    timer = setTimeout(() => look(view, self), Math.max(1, Math.ceil(plan.wakeMs - nowMs)));
  };
  return { look, stop: () => clearTimeout(timer) };
}
