/** Lets a gateway name its new session in orders where no controller does: carries out what the real joinOrders plans. */
import type { Joining } from '../../../failover/core/agent/joinOrders.ts';
import type { ApiView } from './apiModel.ts';
import type { Ground } from './ground.ts';
import type { SimNode } from './simNode.ts';
import type { Thread } from './thread.ts';

export class JoinKeeper {
  readonly #node: SimNode;
  readonly #ground: Ground;
  readonly #thread: Thread;
  #joining: Joining = { missingSinceMs: new Map() };
  #wakeMs = Number.POSITIVE_INFINITY;

  constructor(node: SimNode, ground: Ground, thread: Thread) {
    this.#node = node;
    this.#ground = ground;
    this.#thread = thread;
  }

  /** @param session granted by the voters, 0: none that may be named */
  look({ ips, nodes: gatewayNodes }: ApiView, session: number): void {
    const { core, queue, api, coverage } = this.#ground;
    const { name, clock } = this.#node;
    const self = session === 0 ? undefined : { gateway: name, session };
    const nowMs = clock.read(queue.nowMs);
    const plan = core.planJoins(this.#joining, ips.values(), { self, gatewayNodes, nowMs });
    this.#joining = plan.joining;
    for (const next of plan.writes)
      api.call(
        () => this.#node.apiCuts === 0 && this.#node.on,
        () => {
          if (api.writeIp(next)) coverage.hit('order: joined by its gateway');
        },
        () => undefined,
      );
    this.#wakeMs = plan.wakeMs === undefined ? Number.POSITIVE_INFINITY : clock.worldAt(plan.wakeMs) + 1;
  }

  /** Calls `again` when time alone brings something, unless it was looked at meanwhile. */
  wake(again: () => void): void {
    const wakeMs = this.#wakeMs;
    if (wakeMs === Number.POSITIVE_INFINITY) return;
    this.#ground.queue.at(wakeMs, () => {
      if (this.#wakeMs === wakeMs) this.#thread.post(again);
    });
  }
}
