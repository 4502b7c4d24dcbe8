/**
 * Decides what each EgressIP should say next: owners from the claims, holder and standbys from placement over eligible
 * gateways, port blocks from the nodes' demand. Where no gateway is eligible the assignment stays as it is, unless its
 * holder is not allowed to hold the address any more.
 *
 * Leaves to planEgressIp what that means for epoch and fence, and to the caller the writing.
 */
import type { Cidr } from '../../../policy/model.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import { type Claim, isReleased } from './claims.ts';
import type { Now } from './controllerEvents.ts';
import type { ControllerView } from './controllerView.ts';
import { decideEligibility, type Eligibility, gatewaysOf, type UnreadySince } from './eligibility.ts';
import { type MoveReason, whyMoved } from './moves.ts';
import { type Placement, place } from './placement.ts';
import { planEgressIp } from './planEgressIp.ts';
import { allocatePorts } from './portBlocks.ts';
import { answererOf, liveSession, proofsFor } from './proofs.ts';

export interface AddressSettings {
  readonly routable: readonly Cidr[];
  readonly initialPorts: number;
  readonly quarantineMs: number;
  /** How long a joint voter configuration stands after it is known. */
  readonly voterSettleMs: number;
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

export interface PlanningContext {
  readonly view: ControllerView;
  readonly settings: AddressSettings;
  readonly unreadySince: UnreadySince;
  readonly now: Now;
}

export function planAddresses(claims: readonly Claim[], context: PlanningContext): readonly AddressPlan[] {
  const { view, settings } = context;
  const gateways = gatewaysOf(view);
  const eligibilities = new Map(
    claims.map((claim) => {
      const { unreadySince, now } = context;
      const facts = { view, routable: settings.routable, unreadySince, nowMs: now.monotonicMs };
      return [claim.name, decideEligibility(claim, facts)];
    }),
  );
  const placed = place(
    claims
      .filter(({ owners }) => owners.length > 0)
      .map(({ name, current }) => {
        const holder = current === undefined ? undefined : holderOf(current, view);
        const eligible = eligibilities.get(name)?.eligible ?? [];
        return { name, eligible, ...(holder === undefined ? {} : { holder }) };
      }),
    gateways,
  );
  const nodes = new Set(view.nodes.keys());
  return claims.map((claim) => {
    const eligibility = eligibilities.get(claim.name) ?? { allowed: new Set<string>(), eligible: [] };
    return planAddress(claim, { ...context, nodes, eligibility, placement: placed.get(claim.name) });
  });
}

function planAddress(
  claim: Claim,
  context: PlanningContext & {
    readonly nodes: ReadonlySet<string>;
    readonly eligibility: Eligibility;
    readonly placement: Placement | undefined;
  },
): AddressPlan {
  const { view, settings, eligibility, placement } = context;
  const current = claim.current ?? emptyEgressIp(claim, view, context.now.wallMs);
  const { order, reason } = decideOrder(current, context);
  const released = claim.owners.length === 0;
  const { allocation, exhausted } = allocatePorts({
    current,
    demand: demandFor(claim, view),
    // Blocks of an address without owners come back, and rest like those of a node that is gone.
    nodes: released ? new Set() : context.nodes,
    initialPorts: settings.initialPorts,
    quarantineMs: settings.quarantineMs,
    nowMs: context.now.wallMs,
  });
  const owners = claim.owners.map(({ ref }) => ({ kind: ref.kind, name: ref.name, uid: ref.uid }));
  const next = planEgressIp(current, { owners, order, allocation }, proofsFor(claim.address, view));
  const base = { claim, next, reason, eligible: eligibility.eligible, exhausted };
  if (claim.current === undefined) return { ...base, action: 'create' };
  if (released && isReleased(current) && current.blocks.length === 0 && allocation.resting.length === 0)
    return { ...base, action: 'remove' };
  const [from, to] = [current.order[0], next.order[0]];
  const move =
    from === undefined || to === undefined || isSame(from, to) || placement === undefined
      ? {}
      : { move: { from: from.gateway, to: to.gateway, reason: whyMoved(from, to, view) } };
  return { ...base, action: next === current ? 'none' : 'replace', ...move };
}

function decideOrder(
  current: EgressIp,
  context: {
    readonly view: ControllerView;
    readonly eligibility: Eligibility;
    readonly placement: Placement | undefined;
  },
): { readonly order: readonly SessionRef[]; readonly reason: string } {
  const { view, eligibility, placement } = context;
  if (placement === undefined) return { order: [], reason: 'no policy wants it' };
  if (placement.order.length > 0) {
    const wished = placement.order.flatMap((gateway) => {
      const session = liveSession(view, gateway);
      return session === undefined ? [] : [{ gateway, session }];
    });
    return { order: keepOrder(current.order, wished, context), reason: placement.reason };
  }
  const holder = current.order[0]?.gateway;
  if (holder !== undefined && eligibility.allowed.has(holder))
    return { order: current.order, reason: `${holder} is not healthy, and no other gateway is eligible` };
  return { order: [], reason: placement.reason };
}

/** Who answers really: a standby that took over without being asked, else the first that lives. */
function holderOf(current: EgressIp, view: ControllerView): string | undefined {
  const answerer = answererOf(current, view);
  const lives = ({ gateway, session }: SessionRef): boolean => liveSession(view, gateway) === session;
  if (answerer !== undefined && current.order.some((it) => isSame(it, answerer)) && lives(answerer))
    return answerer.gateway;
  return (current.order.find(lives) ?? current.order[0])?.gateway;
}

/**
 * While the holder is first and everybody after it may still take over, the order stays and grows at its end: any other
 * change of it is a new assignment, which every gateway of the old one has to hear of first.
 */
function keepOrder(
  current: readonly SessionRef[],
  wished: readonly SessionRef[],
  { view, eligibility }: { readonly view: ControllerView; readonly eligibility: Eligibility },
): readonly SessionRef[] {
  const [holder] = wished;
  const stands =
    holder !== undefined &&
    current.length > 0 &&
    isSame(current[0], holder) &&
    current.every(
      (it) => liveSession(view, it.gateway) === it.session && eligibility.allowed.has(it.gateway),
    );
  if (!stands) return wished;
  const missing = wished.filter((it) => !current.some((known) => isSame(known, it)));
  return [...current, ...missing].slice(0, Math.max(current.length, wished.length));
}

function isSame(a: SessionRef | undefined, b: SessionRef): boolean {
  return a?.gateway === b.gateway && a.session === b.session;
}

/**
 * An address may have had an EgressIP before, of which agents remember who let go at which epoch although nobody states it
 * any more. Epochs of the new object must be above all of those: they start at the milliseconds of the wall clock, because
 * no object changes its epoch as fast, and above whatever is still stated.
 */
function emptyEgressIp({ name, address }: Claim, view: ControllerView, wallMs: number): EgressIp {
  const stated = [...view.gatewayNodes.values()].flatMap(({ addresses }) =>
    addresses
      .filter((it) => it.address.value === address.value && it.address.family === address.family)
      .map(({ epoch }) => epoch),
  );
  return {
    name,
    uid: '',
    resourceVersion: '',
    address,
    policies: [],
    epoch: Math.max(wallMs, ...stated),
    order: [],
    fence: [],
    blocksVersion: 0,
    blocks: [],
    resting: [],
  };
}

function demandFor({ address }: Claim, view: ControllerView): ReadonlyMap<string, number> {
  const demand = new Map<string, number>();
  for (const { name, demand: wishes } of view.gatewayNodes.values()) {
    const wish = wishes.find(
      (it) => it.address.value === address.value && it.address.family === address.family,
    );
    if (wish !== undefined && wish.ports > 0) demand.set(name, wish.ports);
  }
  return demand;
}
