/** What a message of another agent changes: each part hears what is for it, and what is for somebody else is passed on. */
import type { SessionRef } from '../egressIp.ts';
import { absorbAddress, absorbPeer } from './absorbStep.ts';
import { type AddressState, type AddressStep, becomeHeard, hearAsk, hearTold, SILENT } from './addresses.ts';
import { becomeStated, concludeDeaths, isProvenDead } from './deaths.ts';
import { becomeAnswered } from './greeting.ts';
import { acknowledge, becomeUnknown } from './holdings.ts';
import type { Holding, PeerMessage } from './messages.ts';
import {
  type OwnershipState,
  type OwnershipStep,
  only,
  selfOf,
  sends,
  withDeaths,
  withVoter,
} from './ownershipState.ts';
import { over, peerHears, sentAtMs } from './peerSession.ts';
import { becomeConfigured, voterHears } from './voter.ts';

export function hear(
  state: OwnershipState,
  from: string,
  message: PeerMessage,
  nowMs: number,
): OwnershipStep {
  switch (message.kind) {
    case 'heartbeat': {
      const heard = voterHears(state.voter, from, message, nowMs);
      return { state: withVoter(state, heard.state), effects: sends(heard.outgoing) };
    }
    case 'answer': {
      const configured =
        message.config === undefined
          ? state
          : withVoter(state, becomeConfigured(state.voter, message.config, nowMs));
      return hearAnswer(hearStatements(configured, from, message, nowMs), from, message, nowMs);
    }
    case 'statements':
      return only(hearStatements(state, from, message, nowMs));
    case 'ask':
      return hearOrRelay(state, message.target.gateway, message, () =>
        absorbAddress(state, message.address, (it) => goBack(hearAsk(it, message, selfOf(state)), from)),
      );
    case 'told':
      return hearOrRelay(state, message.candidate.gateway, message, () =>
        absorbAddress(state, message.address, (it) => justState(hearTold(it, message))),
      );
    case 'moved': {
      const { session, holdings, after, upTo } = message;
      const ack: PeerMessage = { kind: 'moved-ack', session, after, upTo };
      return {
        state: hearHoldings(becomeAcquainted(state, from), { gateway: from, session }, holdings),
        effects: [
          { kind: 'heard-holdings', session: { gateway: from, session }, holdings },
          { kind: 'send', to: from, message: ack },
        ],
      };
    }
    case 'moved-ack':
      return only({ ...state, announcing: acknowledge(state.announcing, from, message) });
    case 'hello':
      return only({ ...state, announcing: becomeUnknown(state.announcing, from, nowMs) });
    default:
      return message satisfies never;
  }
}

function becomeAcquainted(state: OwnershipState, peer: string): OwnershipState {
  const greeting = becomeAnswered(state.greeting, peer);
  return greeting === state.greeting ? state : { ...state, greeting };
}

/** Of addresses that are assigned: of others nobody would ever be rid of what was heard. */
function hearHoldings(
  state: OwnershipState,
  session: SessionRef,
  holdings: readonly Holding[],
): OwnershipState {
  let addresses: Map<string, AddressState> | undefined;
  for (const { address, right } of holdings) {
    if (!state.assignments.has(address)) continue;
    const known = state.addresses.get(address) ?? SILENT;
    const heard = becomeHeard(known, session, right);
    if (heard === known) continue;
    addresses ??= new Map(state.addresses);
    addresses.set(address, heard);
  }
  return addresses === undefined ? state : { ...state, addresses };
}

function justState(state: AddressState): AddressStep {
  return { state, effects: [], outgoing: [] };
}

/** What is answered goes the way that the question came as well: the direct one may be cut. */
function goBack(step: AddressStep, from: string): AddressStep {
  const back = step.outgoing.filter(({ to }) => to !== from).map(({ message }) => ({ to: from, message }));
  return { ...step, outgoing: [...step.outgoing, ...back] };
}

/** A message for somebody else came by way of us: the direct way may be cut. */
function hearOrRelay(
  state: OwnershipState,
  destination: string,
  message: PeerMessage,
  heard: () => OwnershipStep,
): OwnershipStep {
  if (destination === state.node) return heard();
  return { state, effects: [{ kind: 'send', to: destination, message }] };
}

function hearStatements(
  state: OwnershipState,
  voter: string,
  { echo, dead, configVersion }: Extract<PeerMessage, { readonly kind: 'statements' | 'answer' }>,
  nowMs: number,
): OwnershipState {
  const { peer, durations } = state;
  const { config } = state.voter;
  const sentMs = peer === undefined ? undefined : sentAtMs(peer, echo);
  if (sentMs === undefined || config === undefined) return state;
  const statement = { dead, freshUntilMs: sentMs + durations.statementMs, configVersion };
  return withDeaths(state, concludeDeaths(becomeStated(state.deaths, voter, statement), config, nowMs));
}

function hearAnswer(
  state: OwnershipState,
  voter: string,
  message: Extract<PeerMessage, { readonly kind: 'answer' }>,
  nowMs: number,
): OwnershipStep {
  const { peer, durations } = state;
  const { config } = state.voter;
  if (peer === undefined || config === undefined) return only(state);
  if (isProvenDead(state.deaths, { gateway: state.node, session: peer.session }))
    return absorbPeer(state, over(peer, 'called-dead'));
  return absorbPeer(state, peerHears(peer, voter, message, { durations, config, nowMs }));
}
