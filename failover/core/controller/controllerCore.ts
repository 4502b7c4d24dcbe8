/**
 * The controller's decisions as `step(state, event, now) → effects`, level-triggered: whatever happened, it compares what
 * should be written with what was observed and asks for the difference. In this order: the voters, the
 * specs of EgressIPs, their status, policies' status and finalizers, what is left of nodes that are gone.
 *
 * Relies on the runner to carry out each effect as a compare-and-swap and to report its answer, and to give events the
 * time they are taken up at. Only a leader asks for anything; before every collection was listed once nobody does.
 */
import { earlier, earliest } from '../ownership/earlier.ts';
import { absorb } from './absorb.ts';
import { decideAcceptance } from './acceptance.ts';
import { decideClaims } from './claims.ts';
import type { ControllerEffect, ControllerEvent, Now } from './controllerEvents.ts';
import { type ControllerState, viewOf } from './controllerState.ts';
import type { ControllerView, EgressIpStatus } from './controllerView.ts';
import { decideEgressIpStatus } from './egressIpStatus.ts';
import { followReadiness, READY_GRACE_MS } from './eligibility.ts';
import { followGone, goneForGood } from './goneNodes.ts';
import { followLingers, nextLingerEndMs } from './linger.ts';
import { followMoves, type Move } from './moves.ts';
import { type AddressPlan, type AddressSettings, planAddresses } from './planAddresses.ts';
import { type PolicyWrite, planPolicies } from './planPolicies.ts';
import { planVoters } from './planVoters.ts';
import { isResting } from './portBlocks.ts';
import { followRestores, nextSettledMs } from './restores.ts';
import { nextDeadlineMs } from './sessions.ts';
import { followFitness } from './standing.ts';
import { noticeTakeovers } from './takeovers.ts';
import { followPace } from './voluntaryMoves.ts';
import { nextWakeMs } from './writeLedger.ts';
import { writeSpecs } from './writeSpecs.ts';
import { Writes } from './writes.ts';

export interface ControllerStep {
  readonly state: ControllerState;
  readonly effects: readonly ControllerEffect[];
}

export function stepController(
  state: ControllerState,
  event: ControllerEvent,
  options: { readonly settings: AddressSettings; readonly now: Now },
): ControllerStep {
  const absorbed = absorb(state, event, options.now);
  const decided = decideController(absorbed.state, options);
  return { state: decided.state, effects: [...absorbed.effects, ...decided.effects] };
}

/** What to do now. A runner may absorb many events before it decides once. */
export function decideController(
  state: ControllerState,
  options: { readonly settings: AddressSettings; readonly now: Now },
): ControllerStep {
  const view = viewOf(state, options.now.monotonicMs);
  if (!state.leading || view === undefined) return { state, effects: [] };
  const { now, settings } = options;
  const writes = new Writes(state.ledger);
  const voters = planVoters(view, state.voterWaits, {
    settledMs: settings.voterSettleMs,
    nowMs: now.monotonicMs,
  });
  if (voters.next !== undefined)
    writes.ask({
      kind: 'write-voters',
      config: voters.next,
      resourceVersion: view.voters?.resourceVersion ?? '',
    });
  const verdicts = decideAcceptance(view);
  const accepted = [...verdicts.values()].flatMap((it) => (it.kind === 'accepted' ? [it.policy] : []));
  const claims = decideClaims(accepted, view);
  const clocks = followClocks(state, view, now);
  const noticed = noticeTakeovers(state.moves, { view, now });
  writes.effects.push(...noticed.effects);
  const { moves } = noticed;
  const { plans, leaving, voluntary } = planAddresses(claims, {
    ...state,
    ...clocks,
    moves,
    view,
    settings,
    now,
  });
  // There is room for so many writes at once: what somebody can be served by comes before what no gateway can hold, and of
  // what nobody wants any more there may be thousands.
  const { served, unserved, unwanted } = inTurn(plans);
  const first = writeSpecs(served, { moves, asked: state.asked, writes, now });
  const followed = followMoves(first.moves, { view, now });
  const context = { view, moves: followed.moves, writes, now };
  const statuses = decideStatuses([...served, ...unserved], context);
  writeStatuses(served, statuses, context);
  const { uneven } = voluntary;
  const policies = planPolicies({ view, verdicts, plans, statuses, uneven, wallMs: now.wallMs });
  const ownsServed = new Set(served.flatMap(({ claim }) => claim.owners.map(({ ref }) => ref.uid)));
  writePolicies(
    policies.filter(({ uid }) => ownsServed.has(uid)),
    writes,
  );
  const second = writeSpecs(unserved, { moves: followed.moves, asked: first.asked, writes, now });
  writeStatuses(unserved, statuses, context);
  writePolicies(policies, writes);
  const last = writeSpecs(unwanted, { moves: second.moves, asked: second.asked, writes, now });
  writeStatuses(unwanted, decideStatuses(unwanted, { ...context, moves: last.moves }), context);
  const { gone, wakeMs: goneWakeMs } = goneForGood(clocks.goneSince, view, now.monotonicMs);
  for (const gatewayNode of gone) writes.ask({ kind: 'remove-gateway-node', gatewayNode });
  const next = {
    ...state,
    ...clocks,
    ledger: writes.ledger,
    asked: last.asked,
    moves: last.moves,
    leaveTurns: leaving.turns,
    pace: followPace(state.pace, first.voluntary, now.monotonicMs),
    voterWaits: voters.waits,
  };
  const wakes = [voters.wakeMs, leaving.wakeMs, voluntary.wakeMs, goneWakeMs];
  return {
    state: next,
    effects: [...writes.effects, ...followed.effects, ...wakeUp(next, { plans, wakes }, now)],
  };
}

/** Since when each gateway and each address is as it is. */
function followClocks(
  { unreadySince, fitSince, goneSince, lingersSince, laterSince }: ControllerState,
  view: ControllerView,
  { monotonicMs }: Now,
): Pick<ControllerState, 'unreadySince' | 'fitSince' | 'goneSince' | 'lingersSince' | 'laterSince'> {
  return {
    goneSince: followGone(goneSince, view, monotonicMs),
    unreadySince: followReadiness(unreadySince, view, monotonicMs),
    fitSince: followFitness(fitSince, view, monotonicMs),
    lingersSince: followLingers(lingersSince, view, monotonicMs),
    laterSince: followRestores(laterSince, view, monotonicMs),
  };
}

/** In the order in which they are written. */
function inTurn(plans: readonly AddressPlan[]) {
  const wanted = plans.filter(({ claim }) => claim.owners.length > 0);
  return {
    served: wanted.filter(({ next }) => next.order.length > 0),
    unserved: wanted.filter(({ next }) => next.order.length === 0),
    unwanted: plans.filter(({ claim }) => claim.owners.length === 0),
  };
}

interface StatusContext {
  readonly view: ControllerView;
  readonly moves: ReadonlyMap<string, Move>;
  readonly writes: Writes;
  readonly now: Now;
}

/** Every EgressIP's status as it should be. */
function decideStatuses(
  plans: readonly AddressPlan[],
  { view, moves, now }: StatusContext,
): ReadonlyMap<string, EgressIpStatus> {
  const statuses = new Map<string, EgressIpStatus>();
  for (const { claim, reason } of plans) {
    const object = view.egressIps.get(claim.name);
    if (object === undefined) continue;
    const { egressIp, status: before } = object;
    const known = { egressIp, before, reason, move: moves.get(claim.name) };
    statuses.set(claim.name, decideEgressIpStatus(known, view, now.wallMs));
  }
  return statuses;
}

/** Those that are not written so yet. */
function writeStatuses(
  plans: readonly AddressPlan[],
  statuses: ReadonlyMap<string, EgressIpStatus>,
  { view, writes }: Pick<StatusContext, 'view' | 'writes'>,
): void {
  for (const { claim, action } of plans) {
    if (writes.full) return;
    const [object, status] = [view.egressIps.get(claim.name), statuses.get(claim.name)];
    if (object === undefined || status === undefined || action === 'remove') continue;
    if (JSON.stringify(status) !== JSON.stringify(object.status))
      writes.ask({ kind: 'write-egress-ip-status', egressIp: object.egressIp, status });
  }
}

/** What was asked for before is not asked for again. */
function writePolicies(policies: readonly PolicyWrite[], writes: Writes): void {
  for (const { write, events } of policies) if (writes.ask(write)) writes.effects.push(...events);
}

/** The next moment at which something changes by time alone. */
function wakeUp(
  state: ControllerState,
  {
    plans,
    wakes,
  }: { readonly plans: readonly AddressPlan[]; readonly wakes: readonly (number | undefined)[] },
  now: Now,
): readonly ControllerEffect[] {
  const restedMs = nextRestedMs(plans, now.wallMs);
  const times = [
    ...wakes,
    state.inContact ? nextDeadlineMs(state.sessions, now.monotonicMs) : undefined,
    nextWakeMs(state.ledger),
    nextLingerEndMs(state.lingersSince, now.monotonicMs),
    nextSettledMs(state.laterSince, now.monotonicMs),
    ...[...state.unreadySince.values()]
      .map((since) => since + READY_GRACE_MS)
      .filter((graceEndMs) => graceEndMs > now.monotonicMs),
    restedMs === undefined ? undefined : now.monotonicMs + restedMs - now.wallMs,
  ];
  const wakeMs = earliest(times);
  return wakeMs === undefined ? [] : [{ kind: 'wake-at', monotonicMs: wakeMs }];
}

/** When the next block has rested, wall clock. An address may have a thousand of them, and a cluster thousands of addresses. */
function nextRestedMs(plans: readonly AddressPlan[], wallMs: number): number | undefined {
  let next: number | undefined;
  for (const plan of plans)
    for (const { untilMs } of plan.next.resting)
      if (isResting(untilMs, wallMs)) next = earlier(next, untilMs);
  return next;
}
