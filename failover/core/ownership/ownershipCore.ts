/**
 * Who answers for an address, decided among the agents without the API server: one node's part of it, as
 * `step(state, event) → effects`. It is a voter where the configuration says so, and a gateway while it has a session.
 *
 * The pieces: voter.ts grants heartbeats and calls sessions dead; peerSession.ts is the own session; deaths.ts what is
 * known of others'; addresses.ts when to arm, ask and let go; announceArmed.ts who is told of it, holdings.ts what the sources
 * are. The protocol and why at most one gateway answers stand in docs/architecture.md.
 *
 * Relies on the runner: effects are carried out in their order, and every kernel command is answered by its event. Events
 * carry monotonic milliseconds. A restarted process knows nothing and starts from `initialOwnership`.
 */
import type { SessionRef } from '../egressIp.ts';
import {
  type AddressEffect,
  type AddressState,
  type AddressStep,
  type Assignment,
  awaitedFor,
  becomeArmed,
  becomeDisarmed,
  becomeToldReleased,
  type CommandOutcome,
  type Gateway,
  hearAsk,
  hearTold,
  reconcileAddress,
  SILENT,
} from './addresses.ts';
import { announceArmed, holdingsOf } from './announceArmed.ts';
import {
  becomeProven,
  becomeStated,
  concludeDeaths,
  type Deaths,
  isProvenDead,
  NO_DEATHS,
} from './deaths.ts';
import type { Durations } from './durations.ts';
import { earlier } from './earlier.ts';
import { type Announcing, acknowledge, announceAgain, announceWakeMs, NOT_ANNOUNCING } from './holdings.ts';
import type { Holding, PeerMessage } from './messages.ts';
import {
  becomeAwaiting,
  becomeClosing,
  closedUnheard,
  isValid,
  openPeerSession,
  over,
  type PeerSession,
  type PeerSessionEffect,
  type PeerSessionStep,
  peerHears,
  peerInserted,
  peerTicks,
  peerWakeMs,
  sentAtMs,
} from './peerSession.ts';
import {
  becomeAware,
  becomeConfigured,
  initialVoter,
  type Outgoing,
  type VoterState,
  voterHears,
  voterTicks,
  voterWakeMs,
} from './voter.ts';
import { type VoterConfig, votersOf } from './voterConfig.ts';

export interface OwnershipState {
  readonly node: string;
  readonly durations: Durations;
  readonly voter: VoterState;
  readonly peer: PeerSession | undefined;
  readonly deaths: Deaths;
  readonly assignments: ReadonlyMap<string, Assignment>;
  readonly addresses: ReadonlyMap<string, AddressState>;
  /** All nodes with an agent but this one: who is told what we hold. */
  readonly peers: readonly string[];
  readonly announcing: Announcing;
  /** When the hosts on the uplink are told again; undefined: nothing is answered. */
  readonly refreshMs: number | undefined;
  readonly closing: boolean;
  /** Validity as the addresses last saw it. */
  readonly wasValid: boolean;
}

export type OwnershipEvent = { readonly nowMs: number } & (
  | { readonly kind: 'tick' }
  | { readonly kind: 'received'; readonly from: string; readonly message: PeerMessage }
  | { readonly kind: 'configured'; readonly config: VoterConfig }
  | { readonly kind: 'peers'; readonly peers: readonly string[] }
  /** All addresses, as the API last said. */
  | { readonly kind: 'assigned'; readonly assignments: ReadonlyMap<string, Assignment> }
  /** What the API says of sessions: dead ones, and addresses that a session stated not to answer for at an epoch. */
  | { readonly kind: 'stated'; readonly dead: readonly SessionRef[]; readonly released: readonly Release[] }
  /** The kernel was flushed and then the Lease won: a new session. */
  | { readonly kind: 'opened'; readonly session: number; readonly boot: string }
  /** The Lease is somebody else's or closed: the session ends. */
  | { readonly kind: 'lease-lost'; readonly session: number }
  | { readonly kind: 'beat-done'; readonly session: number; readonly seq: number; readonly ok: boolean }
  | ({ readonly kind: 'armed' | 'disarmed' } & CommandOutcome)
  /** Hand everything over and close the session. */
  | { readonly kind: 'close' }
);

export interface Release {
  readonly session: SessionRef;
  readonly address: string;
  readonly epoch: number;
}

export type OwnershipEffect =
  | AddressEffect
  | PeerSessionEffect
  | { readonly kind: 'send'; readonly to: string; readonly message: PeerMessage }
  /** Gratuitous ARP: the kernel answers for it from now on, or, said once, still. */
  | { readonly kind: 'announce' | 'refresh'; readonly address: string }
  /** A gateway said what it answers for. */
  | { readonly kind: 'heard-holdings'; readonly session: SessionRef; readonly holdings: readonly Holding[] };

export interface OwnershipStep {
  readonly state: OwnershipState;
  readonly effects: readonly OwnershipEffect[];
}

export function initialOwnership(options: {
  readonly node: string;
  /** Unlike that of any former process on this node. */
  readonly incarnation: string;
  readonly durations: Durations;
  readonly nowMs: number;
}): OwnershipState {
  const { node, durations } = options;
  return {
    node,
    durations,
    voter: initialVoter(options),
    peer: undefined,
    deaths: NO_DEATHS,
    assignments: new Map(),
    addresses: new Map(),
    peers: [],
    announcing: NOT_ANNOUNCING,
    refreshMs: undefined,
    closing: false,
    wasValid: false,
  };
}

export function stepOwnership(state: OwnershipState, event: OwnershipEvent): OwnershipStep {
  const absorbed = absorb(state, event);
  const ticked = tickAll(absorbed.state, event.nowMs);
  const settled = reconcileAll(ticked.state, event.nowMs, needsReconciling(state, ticked.state, event));
  const announced = announceArmed(state, settled.state, event.nowMs);
  const told = announceAgain(announced.state.announcing, state.peers, event.nowMs);
  return {
    state: withAnnouncing(announced.state, told.announcing),
    effects: [
      ...absorbed.effects,
      ...ticked.effects,
      ...settled.effects,
      ...announced.effects,
      ...sends(told.outgoing),
    ],
  };
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
      return only({ ...state, peers: event.peers.filter((peer) => peer !== state.node) });
    case 'assigned':
      return only(assign(state, event.assignments, nowMs));
    case 'stated':
      return only(absorbStatements(state, event));
    case 'opened':
      return only(open(state, event));
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

function only(state: OwnershipState): OwnershipStep {
  return { state, effects: NOTHING };
}

/** A step that changes nothing of a part hands the same state on: most of them are heartbeats and their answers. */
function withVoter(state: OwnershipState, voter: VoterState): OwnershipState {
  return voter === state.voter ? state : { ...state, voter };
}

function withDeaths(state: OwnershipState, deaths: Deaths): OwnershipState {
  return deaths === state.deaths ? state : { ...state, deaths };
}

function withPeer(state: OwnershipState, peer: PeerSession): OwnershipState {
  return peer === state.peer ? state : { ...state, peer };
}

function withAnnouncing(state: OwnershipState, announcing: Announcing): OwnershipState {
  return announcing === state.announcing ? state : { ...state, announcing };
}

const NOTHING: readonly never[] = [];

function sends(outgoing: readonly Outgoing[]): readonly OwnershipEffect[] {
  if (outgoing.length === 0) return NOTHING;
  return outgoing.map(({ to, message }) => ({ kind: 'send', to, message }));
}

/** An epoch never goes back here: a watch that starts anew may show an older object for a moment. */
function assign(
  state: OwnershipState,
  assignments: ReadonlyMap<string, Assignment>,
  nowMs: number,
): OwnershipState {
  const kept = new Map(
    [...assignments].map(([name, assignment]) => {
      const known = state.assignments.get(name);
      return [name, known !== undefined && known.epoch > assignment.epoch ? known : assignment] as const;
    }),
  );
  const named = [...kept.values()].flatMap(({ order, fence }) => [...order, ...fence]);
  const voter = becomeAware(state.voter, named, nowMs);
  return { ...state, assignments: kept, addresses: rememberGone(state, kept), voter };
}

/** Of an address that is gone no older right is used again, should an older list show it once more. */
function rememberGone(
  { assignments, addresses }: OwnershipState,
  kept: ReadonlyMap<string, Assignment>,
): ReadonlyMap<string, AddressState> {
  const gone = [...assignments.values()].filter(({ address }) => !kept.has(address));
  if (gone.length === 0) return addresses;
  const next = new Map(addresses);
  for (const { address, epoch } of gone) {
    const known = next.get(address) ?? SILENT;
    next.set(address, { ...known, releasedEpoch: Math.max(epoch, known.releasedEpoch) });
  }
  return next;
}

function absorbStatements(
  state: OwnershipState,
  { dead, released }: { readonly dead: readonly SessionRef[]; readonly released: readonly Release[] },
): OwnershipState {
  const addresses = new Map(state.addresses);
  for (const { session, address, epoch } of released)
    addresses.set(address, becomeToldReleased(addresses.get(address) ?? SILENT, session, epoch));
  return { ...state, addresses, deaths: becomeProven(state.deaths, dead) };
}

/** What is known of the addresses in the kernel is void: it was flushed. What others told stays true. */
function open(
  state: OwnershipState,
  { session, boot, nowMs }: { readonly session: number; readonly boot: string; readonly nowMs: number },
): OwnershipState {
  const addresses = new Map(
    [...state.addresses].map(([name, { released }]) => [name, { ...SILENT, released }] as const),
  );
  return { ...state, addresses, peer: openPeerSession(session, boot, nowMs) };
}

function absorbPeer(state: OwnershipState, step: PeerSessionStep): OwnershipStep {
  const over = step.effects.some(({ kind }) => kind === 'session-over' || kind === 'session-closed');
  const next = over ? { ...state, peer: undefined, announcing: NOT_ANNOUNCING } : withPeer(state, step.peer);
  return { state: next, effects: [...step.effects, ...sends(step.outgoing)] };
}

function absorbBeat(
  state: OwnershipState,
  done: { readonly session: number; readonly seq: number; readonly ok: boolean },
  nowMs: number,
): OwnershipStep {
  const { peer, durations, voter } = state;
  if (peer?.session !== done.session || voter.config === undefined) return only(state);
  return absorbPeer(state, peerInserted(peer, done, { durations, config: voter.config, nowMs }));
}

function absorbAddress(
  state: OwnershipState,
  name: string,
  change: (address: AddressState) => AddressStep,
): OwnershipStep {
  const step = change(state.addresses.get(name) ?? SILENT);
  return {
    state: { ...state, addresses: new Map(state.addresses).set(name, step.state) },
    effects: [...step.effects, ...sends(step.outgoing)],
  };
}

/** Commands of a former session were undone by the flush before this one. */
function absorbOutcome(
  state: OwnershipState,
  outcome: CommandOutcome,
  change: (address: AddressState, outcome: CommandOutcome, self: SessionRef) => AddressStep,
): OwnershipStep {
  const self = selfOf(state);
  if (self === undefined || self.session !== outcome.session) return only(state);
  return absorbAddress(state, outcome.address, (it) => change(it, outcome, self));
}

function hear(state: OwnershipState, from: string, message: PeerMessage, nowMs: number): OwnershipStep {
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
        state,
        effects: [
          { kind: 'heard-holdings', session: { gateway: from, session }, holdings },
          { kind: 'send', to: from, message: ack },
        ],
      };
    }
    case 'moved-ack':
      return only({ ...state, announcing: acknowledge(state.announcing, from, message) });
    default:
      return message satisfies never;
  }
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

function selfOf({ node, peer }: OwnershipState): SessionRef | undefined {
  return peer === undefined ? undefined : { gateway: node, session: peer.session };
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

/** Most events are heartbeats and their answers, and change nothing for any address. */
function needsReconciling(before: OwnershipState, after: OwnershipState, event: OwnershipEvent): boolean {
  return (
    before.assignments !== after.assignments ||
    before.addresses !== after.addresses ||
    before.closing !== after.closing ||
    before.deaths.verdicts !== after.deaths.verdicts ||
    before.peer?.session !== after.peer?.session ||
    after.wasValid !== isValid(after.peer, event.nowMs) ||
    event.nowMs >= (askWakeMs(after) ?? Number.POSITIVE_INFINITY)
  );
}

/** When somebody is to be asked again; undefined: nobody is asked. */
function askWakeMs({ addresses }: OwnershipState): number | undefined {
  let wakeMs: number | undefined;
  for (const { asking } of addresses.values()) wakeMs = earlier(wakeMs, asking?.nextMs);
  return wakeMs;
}

function reconcileAll(state: OwnershipState, nowMs: number, needed: boolean): OwnershipStep {
  if (!needed) return only(state);
  const { peer, closing, deaths } = state;
  const wasValid = isValid(peer, nowMs);
  const self = selfOf(state);
  if (self === undefined) return only({ ...state, wasValid, addresses: withoutAsking(state.addresses) });
  const gateway: Gateway = { self, valid: wasValid && !closing, closing, deaths, nowMs };
  const addresses = new Map(state.addresses);
  const effects: OwnershipEffect[] = [];
  const awaited = new Set<string>();
  const names = new Set([...state.assignments.keys(), ...state.addresses.keys()]);
  for (const name of names) {
    const known = state.addresses.get(name) ?? SILENT;
    const step = reconcileAddress(known, state.assignments.get(name), { gateway, name });
    if (step.state === SILENT && !state.assignments.has(name)) addresses.delete(name);
    else if (step.state !== known) addresses.set(name, step.state);
    effects.push(...step.effects, ...sends(throughVoters(state, step)));
    for (const { gateway: other } of awaitedBy(state, name, step.state)) awaited.add(other);
  }
  const waiting = peer === undefined ? peer : becomeAwaiting(peer, awaited, nowMs);
  const next = { ...state, addresses, wasValid, peer: waiting };
  return { state: becomeClosed(next, nowMs), effects };
}

function awaitedBy(state: OwnershipState, name: string, address: AddressState): readonly SessionRef[] {
  const [assignment, self] = [state.assignments.get(name), selfOf(state)];
  if (assignment === undefined || self === undefined || state.closing) return [];
  return awaitedFor(assignment, address, { self, deaths: state.deaths });
}

/** Who has no session asks nobody, and need not be woken for it. */
function withoutAsking(addresses: OwnershipState['addresses']): OwnershipState['addresses'] {
  if (![...addresses.values()].some(({ asking }) => asking !== undefined)) return addresses;
  return new Map([...addresses].map(([name, address]) => [name, { ...address, asking: undefined }] as const));
}

/** From the fourth round on an ask goes by way of the voters as well. */
const DIRECT_ROUNDS = 3;

function throughVoters(
  { voter, node }: OwnershipState,
  { state, outgoing }: AddressStep,
): readonly Outgoing[] {
  if (outgoing.length === 0 || (state.asking?.rounds ?? 0) <= DIRECT_ROUNDS) return outgoing;
  const relays = voter.config === undefined ? [] : votersOf(voter.config).filter((relay) => relay !== node);
  return [
    ...outgoing,
    ...outgoing.flatMap(({ to, message }) =>
      relays.filter((relay) => relay !== to).map((relay) => ({ to: relay, message })),
    ),
  ];
}

function becomeClosed(state: OwnershipState, nowMs: number): OwnershipState {
  const { peer, closing } = state;
  if (!closing || peer === undefined) return state;
  const busy = [...state.addresses.values()].some(({ kernel }) => kernel.kind !== 'silent');
  return busy ? state : { ...state, peer: becomeClosing(peer, nowMs) };
}

/** Addresses whose kernel command is under way: nothing is stated of them. */
export function changingAddresses({ addresses }: OwnershipState): ReadonlySet<string> {
  return new Set(
    [...addresses]
      .filter(([, { kernel }]) => kernel.kind === 'arming' || kernel.kind === 'disarming')
      .map(([name]) => name),
  );
}

/** The runner calls `tick` then at the latest. */
export function ownershipWakeMs(state: OwnershipState): number | undefined {
  const { peer, voter, durations } = state;
  const peerMs = peer === undefined || voter.config === undefined ? undefined : peerWakeMs(peer, durations);
  return earlier(
    earlier(voterWakeMs(voter), peerMs),
    earlier(askWakeMs(state), earlier(announceWakeMs(state.announcing), state.refreshMs)),
  );
}

/** What this node says of itself: each part confirmed by the kernel or a promise that is kept. */
export interface OwnershipWord {
  readonly session: number;
  readonly holdings: readonly Holding[];
  readonly released: ReadonlyMap<string, number>;
  readonly dead: readonly SessionRef[];
  readonly config: VoterConfig | undefined;
}

/**
 * An address that the kernel is silent for is released at the epoch of the assignment that is known here: only rights of
 * that epoch or a later one will ever be used again.
 */
export function wordOfOwnership(state: OwnershipState): OwnershipWord {
  const { peer, assignments, addresses, deaths, voter } = state;
  const session = peer !== undefined && peer.validUntilMs > 0 && !state.closing ? peer.session : 0;
  const released = new Map<string, number>();
  for (const [name, { epoch }] of assignments) {
    const address = addresses.get(name) ?? SILENT;
    if (address.kernel.kind === 'silent') released.set(name, Math.max(epoch, address.releasedEpoch));
  }
  return {
    session,
    holdings: holdingsOf(state),
    released,
    dead: [...deaths.verdicts].map(([gateway, dead]) => ({ gateway, session: dead })),
    config: voter.config,
  };
}
