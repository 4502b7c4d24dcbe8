/** Decides what a Node object says of a gateway's role: whether it is one, and whether it is to give up its egress IPs. */
import type { NodeFacts } from './model.ts';
import { GATEWAY_LABEL } from './names.ts';

/** What somebody says on the Node by which it is to hold nothing. */
export type NodeLeaveReason = 'drained' | 'cordoned' | 'tainted';

/**
 * Taints by which somebody says that the node goes away. No others: a gateway is tainted NoSchedule or NoExecute to keep
 * other pods away from it (`dedicated=egress`), for pressure on its disk or memory, or as unreachable or not ready, which
 * tells of its kubelet. None of that hinders it in forwarding, and whether it lives the agents find out by themselves.
 */
const GOING_TAINTS: ReadonlySet<string> = new Set([
  'ToBeDeletedByClusterAutoscaler',
  'karpenter.sh/disrupted',
  // Before Karpenter 1.0.
  'karpenter.sh/disruption',
  'cloud.google.com/impending-node-termination',
  'node.cloudprovider.kubernetes.io/shutdown',
  'node.kubernetes.io/out-of-service',
]);
/** A wish to the scheduler, often taken back. */
const SOFT_EFFECT = 'PreferNoSchedule';

/** It carries the gateway label with any value but "false". */
export function isGateway({ labels }: Pick<NodeFacts, 'labels'>): boolean {
  return Object.hasOwn(labels, GATEWAY_LABEL) && labels[GATEWAY_LABEL] !== 'false';
}

/** Undefined where it may stay. */
export function whyNodeLeaves(node: NodeFacts): NodeLeaveReason | undefined {
  if (node.drained) return 'drained';
  if (node.unschedulable) return 'cordoned';
  return isGoing(node) ? 'tainted' : undefined;
}

function isGoing({ taints }: NodeFacts): boolean {
  return taints.some(({ key, effect }) => effect !== SOFT_EFFECT && GOING_TAINTS.has(key));
}
