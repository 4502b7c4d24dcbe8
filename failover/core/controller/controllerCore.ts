/**
 * The controller's decisions as `step(state, event, now) → effects`, level-triggered: whatever happened, it compares what
 * should be written with what was observed and asks for the difference. In this order: the voters, the
 * specs of EgressIPs, their status, policies' status and finalizers.
 *
 * Relies on the runner to carry out each effect as a compare-and-swap and to report its answer, and to give events the
 * time they are taken up at. Only a leader asks for anything; before every collection was listed once nobody does.
 */
import { absorb } from './absorb.ts';
import { decideAcceptance } from './acceptance.ts';
import { decideClaims } from './claims.ts';
import type { ControllerEffect, ControllerEvent, Now, WriteEffect } from './controllerEvents.ts';
import { targetOf } from './controllerEvents.ts';
import { type ControllerState, viewOf } from './controllerState.ts';
import type { ControllerView, EgressIpStatus } from './controllerView.ts';
import { decideEgressIpStatus } from './egressIpStatus.ts';
import { followReadiness, READY_GRACE_MS } from './eligibility.ts';
import { followMoves, type Move } from './moves.ts';
import { type AddressPlan, type AddressSettings, planAddresses } from './planAddresses.ts';
import { planPolicies } from './planPolicies.ts';
import { planVoters } from './planVoters.ts';
import { nextDeadlineMs } from './sessions.ts';
import { becomeWriting, mayWrite, nextWakeMs, type WriteLedger } from './writeLedger.ts';

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
  const unreadySince = followReadiness(state.unreadySince, view, now.monotonicMs);
  const plans = planAddresses(claims, { view, settings, unreadySince, now });
  const specs = writeSpecs(plans, { ...state, writes, now });
  const followed = followMoves(specs.moves, { view, wallMs: now.wallMs });
  const statuses = writeStatuses(plans, { view, moves: followed.moves, writes, now });
  const policies = planPolicies({ view, verdicts, plans, statuses, wallMs: now.wallMs });
  for (const { write, events } of policies) if (writes.ask(write)) writes.effects.push(...events);
  const { asked } = specs;
  const next = {
    ...state,
    ledger: writes.ledger,
    asked,
    moves: followed.moves,
    unreadySince,
    voterWaits: voters.waits,
  };
  const waking = wakeUp(next, { plans, voterWakeMs: voters.wakeMs }, now);
  return { state: next, effects: [...writes.effects, ...followed.effects, ...waking] };
}

/** Collects effects and lets each write through only if none about its object is under way. */
class Writes {
  ledger: WriteLedger;
  readonly effects: ControllerEffect[] = [];

  constructor(ledger: WriteLedger) {
    this.ledger = ledger;
  }

  ask(effect: WriteEffect): boolean {
    const { collection, key } = targetOf(effect);
    const object = `${collection}/${key}`;
    if (!mayWrite(this.ledger, object)) return false;
    this.ledger = becomeWriting(this.ledger, object);
    this.effects.push(effect);
    return true;
  }
}

function writeSpecs(
  plans: readonly AddressPlan[],
  context: Pick<ControllerState, 'moves' | 'asked'> & { readonly writes: Writes; readonly now: Now },
): Pick<ControllerState, 'moves' | 'asked'> {
  const moves = new Map(context.moves);
  const asked = new Map(context.asked);
  for (const plan of plans) {
    const { claim, next, action, move } = plan;
    if (action === 'none' || !context.writes.ask(specWrite(plan, action))) continue;
    asked.set(claim.name, next);
    if (move === undefined) continue;
    const begun = moves.get(claim.name);
    // Asked for again after a conflict: the reason was seen when it was seen first.
    const again =
      begun?.assignedAtMs === undefined && begun?.from === move.from && begun.reason === move.reason;
    moves.set(claim.name, {
      ...move,
      epoch: next.epoch,
      detectedAtMs: again ? begun.detectedAtMs : context.now.wallMs,
      assignedAtMs: undefined,
      announcedAtMs: undefined,
    });
  }
  return { moves, asked };
}

function specWrite({ next, claim }: AddressPlan, action: 'create' | 'replace' | 'remove'): WriteEffect {
  switch (action) {
    case 'create':
      return { kind: 'create-egress-ip', egressIp: next };
    case 'replace':
      return { kind: 'replace-egress-ip', egressIp: next };
    case 'remove':
      return { kind: 'remove-egress-ip', egressIp: claim.current ?? next };
    default:
      return action satisfies never;
  }
}

/** Returns every EgressIP's status as it should be, written or not. */
function writeStatuses(
  plans: readonly AddressPlan[],
  context: {
    readonly view: ControllerView;
    readonly moves: ReadonlyMap<string, Move>;
    readonly writes: Writes;
    readonly now: Now;
  },
): ReadonlyMap<string, EgressIpStatus> {
  const { view, moves, writes, now } = context;
  const statuses = new Map<string, EgressIpStatus>();
  for (const { claim, reason, action } of plans) {
    const object = view.egressIps.get(claim.name);
    if (object === undefined) continue;
    const { egressIp, status: before } = object;
    const known = { egressIp, before, reason, move: moves.get(claim.name) };
    const status = decideEgressIpStatus(known, view, now.wallMs);
    statuses.set(claim.name, status);
    if (action !== 'remove' && JSON.stringify(status) !== JSON.stringify(before))
      writes.ask({ kind: 'write-egress-ip-status', egressIp, status });
  }
  return statuses;
}

/** The next moment at which something changes by time alone. */
function wakeUp(
  state: ControllerState,
  {
    plans,
    voterWakeMs,
  }: { readonly plans: readonly AddressPlan[]; readonly voterWakeMs: number | undefined },
  now: Now,
): readonly ControllerEffect[] {
  const rested = plans.flatMap(({ next }) => next.resting.map(({ untilMs }) => untilMs));
  const untilRested = rested.length === 0 ? undefined : Math.min(...rested) - now.wallMs;
  const times = [
    state.inContact ? nextDeadlineMs(state.sessions, now.monotonicMs) : undefined,
    voterWakeMs,
    nextWakeMs(state.ledger),
    ...[...state.unreadySince.values()]
      .map((since) => since + READY_GRACE_MS)
      .filter((graceEndMs) => graceEndMs > now.monotonicMs),
    untilRested === undefined ? undefined : now.monotonicMs + Math.max(0, untilRested),
  ].filter((time) => time !== undefined);
  return times.length === 0 ? [] : [{ kind: 'wake-at', monotonicMs: Math.min(...times) }];
}
