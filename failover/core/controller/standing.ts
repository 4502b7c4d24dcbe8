/**
 * Decides which gateways are fit to hold addresses, and which are to leave and why: somebody said so of the node, or the
 * agent says that it is unhealthy. Whose turn it is to leave is decided in leaving.ts.
 */
import { isGateway, type NodeLeaveReason, whyNodeLeaves } from '../../../policy/gatewayRole.ts';
import { ZONE_LABEL } from '../../../policy/names.ts';
import type { ControllerView } from './controllerView.ts';
import type { Gateway } from './gatewayRank.ts';
import { liveSession } from './proofs.ts';

export type LeaveReason = 'unhealthy' | NodeLeaveReason | 'not-allowed';

/** Undefined where it may stay. Ill health comes first: it decides behind whom the gateway stands. */
export function whyLeaves(view: ControllerView, gateway: string): LeaveReason | undefined {
  const node = view.nodes.get(gateway);
  if (node === undefined || !isGateway(node)) return 'not-allowed';
  if (view.gatewayNodes.get(gateway)?.healthy === false) return 'unhealthy';
  return whyNodeLeaves(node);
}

/** All labelled nodes, and those with a session that lost the label: they may still hold what they are to hand over. */
export function gatewaysOf(view: ControllerView): readonly Gateway[] {
  return [...view.nodes.values()]
    .filter((node) => isGateway(node) || liveSession(view, node.name) !== undefined)
    .map(({ name, labels }) => ({
      name,
      zone: labels[ZONE_LABEL] ?? '',
      capacity: view.gatewayNodes.get(name)?.capacity ?? 0,
      waits: false,
      ...standingOf(whyLeaves(view, name)),
    }));
}

function standingOf(why: LeaveReason | undefined): Pick<Gateway, 'standing' | 'why'> {
  if (why === undefined) return { standing: 'fit' };
  return { standing: why === 'unhealthy' ? 'unhealthy' : 'leaving', why };
}

/** Gateway → its session that is fit to hold addresses, and since when, monotonic: as long as this controller has watched. */
export type FitSince = ReadonlyMap<string, { readonly session: number; readonly sinceMs: number }>;

export function followFitness(before: FitSince, view: ControllerView, nowMs: number): FitSince {
  const next = new Map<string, { readonly session: number; readonly sinceMs: number }>();
  for (const { name, dataPlaneReady } of view.gatewayNodes.values()) {
    const session = liveSession(view, name);
    if (session === undefined || !dataPlaneReady || whyLeaves(view, name) !== undefined) continue;
    const known = before.get(name);
    next.set(name, known?.session === session ? known : { session, sinceMs: nowMs });
  }
  return next;
}
