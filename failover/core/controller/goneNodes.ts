/**
 * Decides which GatewayNodes go: those of nodes that are not there any more, renamed ones among them. Nobody else removes
 * them. A moment of patience, because a Node object that somebody deleted is made again by its kubelet; an agent that
 * lives writes its own anew at once.
 *
 * The gateway's Lease stays: it alone remembers which numbers of sessions were used, should a node of that name come back.
 */
import type { GatewayNode } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';

/** How long a node has to be gone, and seen to be. */
export const GONE_PATIENCE_MS = 60_000;

/** GatewayNode → since when it has no node, monotonic. */
export type GoneSince = ReadonlyMap<string, number>;

export function followGone(before: GoneSince, view: ControllerView, nowMs: number): GoneSince {
  const { nodes, gatewayNodes } = view;
  const gone = [...gatewayNodes.keys()].filter((name) => !nodes.has(name));
  return new Map(gone.map((name) => [name, before.get(name) ?? nowMs]));
}

export function goneForGood(
  goneSince: GoneSince,
  { gatewayNodes }: Pick<ControllerView, 'gatewayNodes'>,
  nowMs: number,
): { readonly gone: readonly GatewayNode[]; readonly wakeMs: number | undefined } {
  const gone: GatewayNode[] = [];
  let wakeMs: number | undefined;
  for (const [name, sinceMs] of goneSince) {
    const report = gatewayNodes.get(name);
    const dueMs = sinceMs + GONE_PATIENCE_MS;
    if (report !== undefined && nowMs >= dueMs) gone.push(report);
    else if (wakeMs === undefined || dueMs < wakeMs) wakeMs = dueMs;
  }
  return { gone, wakeMs };
}
