/**
 * Who answers for an address, decided among the agents without the API server: one node's part of it, as
 * `step(state, event) → effects`. It is a voter where the configuration says so, and a gateway while it has a session.
 *
 * The pieces: voter.ts grants heartbeats and calls sessions dead; peerSession.ts is the own session; deaths.ts what is
 * known of others'; addresses.ts when to arm, ask and let go, one address at a time, and settleAddresses.ts goes over all of
 * them; announceArmed.ts who is told, holdings.ts how the sources are; hearPeer.ts and learnFromApi.ts take in what others
 * say; greeting.ts asks for it at the start; ownershipWord.ts is what is said to the API. The protocol and why at most one gateway answers stand in
 * docs/architecture.md.
 *
 * Relies on the runner: effects are carried out in their order, and every kernel command is answered by its event. Events
 * carry monotonic milliseconds. A restarted process knows nothing and starts from `initialOwnership`.
 */
import { absorbBeat, absorbOutcome, absorbPeer } from './absorbStep.ts';
import { becomeArmed, becomeDisarmed } from './addresses.ts';
import { announceArmed } from './announceArmed.ts';
import { earlier } from './earlier.ts';
import { becomeGreeting, greet, NOT_GREETED } from './greeting.ts';
import { hear } from './hearPeer.ts';
import { announceAgain, announceWakeMs } from './holdings.ts';
import { absorbStatements, assign, open } from './learnFromApi.ts';
import {
  type OwnershipEvent,
  type OwnershipState,
  type OwnershipStep,
  only,
  sends,
  withVoter,
} from './ownershipState.ts';
import { closedUnheard, over, peerTicks, peerWakeMs } from './peerSession.ts';
import { askWakeMs, needsReconciling, reconcileAll } from './settleAddresses.ts';
import { becomeConfigured, voterTicks, voterWakeMs } from './voter.ts';

export function stepOwnership(state: OwnershipState, event: OwnershipEvent): OwnershipStep {
  const absorbed = absorb(state, event);
  const ticked = tickAll(absorbed.state, event.nowMs);
  const settled = reconcileAll(ticked.state, event.nowMs, needsReconciling(state, ticked.state, event));
  const announced = announceArmed(state, settled.state, event.nowMs);
  const told = announceAgain(announced.state.announcing, state.peers, event.nowMs);
  const greeted = greet(announced.state.greeting, announced.state.peers, event.nowMs);
  return {
    state: withTold(announced.state, { ...told, ...greeted }),
    effects: [
      ...absorbed.effects,
      ...ticked.effects,
      ...settled.effects,
      ...announced.effects,
      ...sends(greeted.outgoing),
      ...sends(told.outgoing),
    ],
  };
}

type Told = Pick<OwnershipState, 'announcing' | 'greeting'>;

function withTold(state: OwnershipState, { announcing, greeting }: Told): OwnershipState {
  return announcing === state.announcing && greeting === state.greeting
    ? state
    : { ...state, announcing, greeting };
}

function absorb(state: OwnershipState, event: OwnershipEvent): OwnershipStep {
  const { nowMs } = event;
  switch (event.kind) {
    case 'tick':
      return only(state);
    case 'received':
      return hear(state, event.from, event.message, nowMs);
    case 'configured':
      return only({ ...state, voter: becomeConfigured(state.voter, event.config, nowMs) });
    case 'peers':
      return only(meet({ ...state, peers: event.peers.filter((peer) => peer !== state.node) }, nowMs));
    case 'assigned':
      return only(meet(assign(state, event.assignments, nowMs), nowMs));
    case 'stated':
      return only(absorbStatements(state, event));
    case 'opened':
      return only(meet({ ...open(state, event), greeting: NOT_GREETED }, nowMs));
    case 'lease-lost':
      if (state.peer?.session !== event.session) return only(state);
      return absorbPeer(state, over(state.peer, 'lease-lost'));
    case 'beat-done':
      return absorbBeat(state, event, nowMs);
    case 'armed':
      return absorbOutcome(state, event, becomeArmed);
    case 'disarmed':
      return absorbOutcome(state, event, becomeDisarmed);
    case 'close':
      return only({ ...state, closing: true });
    default:
      return event satisfies never;
  }
}

function tickAll(state: OwnershipState, nowMs: number): OwnershipStep {
  const voted = voterTicks(state.voter, nowMs);
  const next = withVoter(state, voted.state);
  const { peer, durations } = next;
  const { config } = next.voter;
  if (peer === undefined || config === undefined) {
    // Without voters there is nobody to tell that the session is closed.
    const closed = peer?.closing === undefined ? only(next) : absorbPeer(next, closedUnheard(peer));
    return { state: closed.state, effects: [...sends(voted.outgoing), ...closed.effects] };
  }
  const ticked = absorbPeer(next, peerTicks(peer, { durations, config, nowMs }));
  return { state: ticked.state, effects: [...sends(voted.outgoing), ...ticked.effects] };
}

/** Once in the life of an agent, and of each session. */
function meet(state: OwnershipState, nowMs: number): OwnershipState {
  if (state.peers.length === 0 || state.assignments.size === 0) return state;
  const greeting = becomeGreeting(state.greeting, nowMs);
  return greeting === state.greeting ? state : { ...state, greeting };
}

/** The runner calls `tick` then at the latest. */
export function ownershipWakeMs(state: OwnershipState): number | undefined {
  const { peer, voter, durations } = state;
  const peerMs = peer === undefined || voter.config === undefined ? undefined : peerWakeMs(peer, durations);
  return earlier(
    earlier(voterWakeMs(voter), peerMs),
    earlier(
      askWakeMs(state),
      earlier(announceWakeMs(state.announcing), earlier(state.greeting.nextMs, state.refreshMs)),
    ),
  );
}
