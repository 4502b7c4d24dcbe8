/**
 * Decides what each EgressIP should say next: owners from the claims, holder and standbys from placement over eligible
 * gateways, port blocks from the nodes' demand. Before placement it is decided whose turn it is to leave, and which
 * addresses move although they could stay.
 *
 * Leaves to planEgressIp what that means for epoch and fence, and to the caller the writing.
 */
import type { Cidr } from '../../../policy/model.ts';
import type { EgressIp } from '../egressIp.ts';
import { type AddressFacts, addressFacts, loadOf } from './addressFacts.ts';
import { type Claim, isReleased } from './claims.ts';
import type { Now } from './controllerEvents.ts';
import type { ControllerView } from './controllerView.ts';
import { decideOrder } from './decideOrder.ts';
import type { UnreadySince } from './eligibility.ts';
import { emptyEgressIp } from './emptyEgressIp.ts';
import type { Gateway } from './gatewayRank.ts';
import { decideLeaving, type LeaveTurns, type Leaving } from './leaving.ts';
import { type LingersSince, staysHeld } from './linger.ts';
import { type Move, type MoveReason, whyMoved } from './moves.ts';
import { type Placement, place } from './placement.ts';
import { planEgressIp } from './planEgressIp.ts';
import { allocatePorts, isResting } from './portBlocks.ts';
import { demandFor } from './portDemand.ts';
import { proofsFor } from './proofs.ts';
import { isLeftAlone, type LaterSince } from './restores.ts';
import { sameSession } from './sessions.ts';
import { type FitSince, gatewaysOf } from './standing.ts';
import {
  decideVoluntaryMoves,
  type Pace,
  rebalancingPolicies,
  type VoluntaryMove,
  type VoluntaryPlan,
} from './voluntaryMoves.ts';

export interface AddressSettings {
  readonly routable: readonly Cidr[];
  readonly initialPorts: number;
  readonly quarantineMs: number;
  /** How long a joint voter configuration stands after it is known. */
  readonly voterSettleMs: number;
  /** Gateways that hand their addresses over at a time because they are to. */
  readonly maxGatewaysLeaving: number;
}

export interface AddressPlan {
  readonly claim: Claim;
  readonly next: EgressIp;
  readonly action: 'none' | 'create' | 'replace' | 'remove';
  /** Why the holder is who it is, for people. */
  readonly reason: string;
  /** Gateways that could hold it now. */
  readonly eligible: readonly string[];
  /** Nodes that want ports and could get none. */
  readonly exhausted: readonly string[];
  /** Set where the holder changes from one gateway's session to another. */
  readonly move?: { readonly from: string; readonly to: string; readonly reason: MoveReason };
}

export interface AddressPlans {
  readonly plans: readonly AddressPlan[];
  readonly leaving: Leaving;
  readonly voluntary: VoluntaryPlan;
}

export interface PlanningContext {
  readonly view: ControllerView;
  readonly settings: AddressSettings;
  readonly unreadySince: UnreadySince;
  readonly fitSince: FitSince;
  readonly leaveTurns: LeaveTurns;
  readonly lingersSince: LingersSince;
  readonly laterSince: LaterSince;
  readonly pace: Pace;
  /** EgressIP name → its newest move. */
  readonly moves: ReadonlyMap<string, Move>;
  readonly now: Now;
}

export function planAddresses(claims: readonly Claim[], context: PlanningContext): AddressPlans {
  const { view, settings, unreadySince, now } = context;
  const facts = claims.map((claim) =>
    addressFacts(claim, { view, routable: settings.routable, unreadySince, nowMs: now.monotonicMs }),
  );
  const wanted = facts.filter(({ claim }) => claim.owners.length > 0);
  const load = loadOf(wanted);
  const all = gatewaysOf(view);
  const leaving = decideLeaving(wanted, {
    ...context,
    gateways: all,
    load,
    turns: context.leaveTurns,
    max: settings.maxGatewaysLeaving,
  });
  const gateways = all.map((gateway) => ({ ...gateway, waits: leaving.waiting.has(gateway.name) }));
  const rebalancing = rebalancingPolicies(view);
  const nowMs = now.monotonicMs;
  const voluntary = decideVoluntaryMoves(wanted, { ...context, gateways, load, rebalancing, nowMs });
  const placed = place(
    wanted.map((address) => unplacedOf(address, { leaving, voluntary })),
    gateways,
  );
  const known = {
    ...context,
    nodes: new Set(view.nodes.keys()),
    gateways: new Map(gateways.map((gateway) => [gateway.name, gateway])),
    leaving,
  };
  const plans = facts.map((address) => {
    const { name } = address.claim;
    return planAddress(address, {
      ...known,
      placement: placed.get(name),
      voluntary: voluntary.moves.get(name),
    });
  });
  return { plans, leaving, voluntary };
}

const LINGERS = 'no policy wants it any more; it goes when nodes have reset what they sent by it';

const RESTORED =
  'agents go on by a later assignment than this one, and who answers by it is awaited: etcd was restored';

const WISHES: Readonly<Record<VoluntaryMove['reason'], string>> = {
  returned: 'returns to where it was placed first',
  rebalanced: 'goes where there is more room, as was asked',
};

function unplacedOf(
  { claim: { name }, eligible, holder }: AddressFacts,
  { leaving, voluntary }: { readonly leaving: Leaving; readonly voluntary: VoluntaryPlan },
) {
  const move = voluntary.moves.get(name);
  if (move !== undefined) return { name, eligible, holder: move.to, wish: WISHES[move.reason] };
  if (holder === undefined) return { name, eligible };
  // Who lost the label is not eligible any more, and keeps the address until its turn.
  const keeps = leaving.waiting.has(holder) && !eligible.includes(holder);
  return { name, eligible: keeps ? [...eligible, holder] : eligible, holder };
}

function planAddress(
  address: AddressFacts,
  context: PlanningContext & {
    readonly nodes: ReadonlySet<string>;
    readonly gateways: ReadonlyMap<string, Gateway>;
    readonly leaving: Leaving;
    readonly placement: Placement | undefined;
    readonly voluntary: VoluntaryMove | undefined;
  },
): AddressPlan {
  const { view, settings, placement, voluntary } = context;
  const { claim, holder } = address;
  const current = claim.current ?? emptyEgressIp(claim, view, context.now.wallMs);
  if (isLeftAlone(current, context.laterSince, context.now.monotonicMs))
    return {
      claim,
      next: current,
      reason: RESTORED,
      eligible: address.eligible,
      exhausted: [],
      action: 'none',
    };
  const waits = holder !== undefined && context.leaving.waiting.has(holder);
  const allowed = waits ? new Set([...address.allowed, holder]) : address.allowed;
  const released = claim.owners.length === 0;
  const lingers = released && staysHeld(current, context.lingersSince, context.now.monotonicMs);
  const { order, reason } = lingers
    ? { order: current.order, reason: LINGERS }
    : decideOrder(current, { ...context, allowed });
  const { allocation, exhausted } = lingers
    ? { allocation: current, exhausted: [] }
    : allocatePorts({
        current,
        ...demandFor(claim, view),
        // Blocks of an address without owners come back, and rest like those of a node that is gone.
        nodes: released ? new Set() : context.nodes,
        initialPorts: settings.initialPorts,
        quarantineMs: settings.quarantineMs,
        nowMs: context.now.wallMs,
      });
  const rests = allocation.resting.some(({ untilMs }) => isResting(untilMs, context.now.wallMs));
  const owners = claim.owners.map(({ ref }) => ({ kind: ref.kind, name: ref.name, uid: ref.uid }));
  const home = decideHome(address, { assigned: order[0]?.gateway, voluntary });
  const next = planEgressIp(current, { owners, order, home, allocation }, proofsFor(claim.address, view));
  const base = { claim, next, reason, eligible: address.eligible, exhausted };
  if (claim.current === undefined) return { ...base, action: 'create' };
  if (released && isReleased(current) && current.blocks.length === 0 && !rests)
    return { ...base, action: 'remove' };
  const [from, to] = [current.order[0], next.order[0]];
  const move =
    from === undefined || to === undefined || sameSession(from, to) || placement === undefined
      ? {}
      : {
          move: {
            from: from.gateway,
            to: to.gateway,
            reason: voluntary?.reason ?? whyMoved(from, to, { view, current }),
          },
        };
  return { ...base, action: next === current ? 'none' : 'replace', ...move };
}

/**
 * Where it was placed first, as long as people have that gateway chosen for it; then where it is. Whoever asks for an even
 * spread says that it belongs where it goes.
 */
function decideHome(
  { claim, chosen }: AddressFacts,
  next: { readonly assigned: string | undefined; readonly voluntary: VoluntaryMove | undefined },
): string | undefined {
  if (claim.owners.length === 0) return undefined;
  const before = claim.current?.home;
  const keeps = before !== undefined && chosen.has(before) && next.voluntary?.reason !== 'rebalanced';
  return keeps ? before : next.assigned;
}
