/**
 * One gateway's dealings with the addresses that assignments name: when it may arm one, whom it has to ask before, and
 * when it lets go.
 *
 * A right is (epoch, rank in the order). It may be used while the own session is valid, every session before it in the
 * order is dead, and every session of the fence is dead, released at this epoch or a later one, or the own one. A holder
 * whose right was overtaken by a newer assignment goes on answering until it is asked, so that nobody is without an
 * answer in between; it is asked for the last word only when nobody else is in the way.
 *
 * Whoever was heard to answer by the highest right is dealt with as if the fence named it, and lets go itself where it
 * hears of a right above its own. Both change nothing while the API forgets nothing; where etcd was restored from a
 * snapshot, orders and fences are those of then, and the gateways have only each other's word.
 *
 * Relies on the kernel to answer only while the session lives. Leaves the wire and the kernel to its caller.
 */
import type { SessionRef } from '../egressIp.ts';
import type { Assignment } from './assignment.ts';
import {
  type Candidacy,
  decideCandidacy,
  isGone,
  isSame,
  type Knowledge,
  type OthersWord,
  outstandingOf,
  sessionKey,
} from './candidacy.ts';
import { compareRights, type Outgoing, type PeerMessage, type Right } from './messages.ts';

type KernelStage =
  | { readonly kind: 'silent' }
  | { readonly kind: 'arming'; readonly right: Right }
  | { readonly kind: 'armed'; readonly right: Right }
  | { readonly kind: 'disarming' };

export interface AddressState extends OthersWord {
  readonly kernel: KernelStage;
  /** Rights of a lower epoch were given up for ever. */
  readonly releasedEpoch: number;
  /** Since when somebody is asked, and how often. */
  readonly asking: { readonly rounds: number; readonly nextMs: number } | undefined;
  /** Who waits for our letting go. */
  readonly waiting: readonly Ask[];
}

export type Ask = Extract<PeerMessage, { readonly kind: 'ask' }>;
export type Told = Extract<PeerMessage, { readonly kind: 'told' }>;

export type AddressEffect =
  | { readonly kind: 'arm'; readonly address: string; readonly session: number }
  | { readonly kind: 'disarm'; readonly address: string; readonly session: number };

export interface AddressStep {
  readonly state: AddressState;
  readonly effects: readonly AddressEffect[];
  readonly outgoing: readonly Outgoing[];
}

export const SILENT: AddressState = {
  kernel: { kind: 'silent' },
  releasedEpoch: 0,
  released: new Map(),
  heard: undefined,
  asking: undefined,
  waiting: [],
};

/** Between two rounds of asking: two heartbeats' worth would be felt, one packet's way would be a flood. */
const ASK_EVERY_MS = 20;
/** A holder that cannot be asked is asked slowly after a second of trying: its death has other ways to be known. */
const EAGER_ROUNDS = 50;
const ASK_SLOWLY_MS = 500;
/** Asks that wait for one letting go: one for each gateway that might want the address. */
const WAITING_MAX = 64;

export interface Gateway extends Knowledge {
  /** The own session is valid and not being closed. */
  readonly valid: boolean;
  readonly closing: boolean;
  readonly nowMs: number;
}

/**
 * Whose death would bring this session nearer to answering: the first that lives before it in the order, or else those of
 * the fence that did not let go. Of an address that nobody wants any more every gateway waits for the fence: it goes, and with it
 * its policy, when that is empty. Nobody else's is worth calling: a session that is called dead never comes back.
 */
export function awaitedFor(
  assignment: Assignment,
  state: AddressState,
  gateway: Knowledge,
): readonly SessionRef[] {
  const { order } = assignment;
  if (order.length === 0) return outstandingOf(assignment, state, gateway);
  const index = order.findIndex((it) => isSame(it, gateway.self));
  if (index < 0) return [];
  const first = order.slice(0, index).find((it) => !isGone(it, gateway));
  if (first !== undefined) return [first];
  const { right, outstanding } = decideCandidacy(assignment, state, gateway) ?? NO_CANDIDACY;
  return state.kernel.kind === 'armed' && compareRights(state.kernel.right, right) >= 0 ? [] : outstanding;
}

const NO_CANDIDACY: Candidacy = { right: { epoch: 0, index: 0 }, outstanding: [] };

/** Whatever changed: asks, arms, goes on with a better right, or lets go. */
export function reconcileAddress(
  state: AddressState,
  assignment: Assignment | undefined,
  { gateway, name }: { readonly gateway: Gateway; readonly name: string },
): AddressStep {
  if (assignment === undefined || assignment.order.length === 0 || gateway.closing)
    return becomeSilent(withoutAsking(state), name, gateway.self);
  if (isOvertaken(state, gateway)) return becomeSilent(withoutAsking(state), name, gateway.self);
  const candidacy = gateway.valid ? decideCandidacy(assignment, state, gateway) : undefined;
  if (candidacy === undefined || candidacy.right.epoch < state.releasedEpoch)
    return stay(withoutAsking(state));
  const { right, outstanding } = candidacy;
  const held = state.kernel.kind === 'armed' ? state.kernel.right : undefined;
  if (held !== undefined && compareRights(held, right) >= 0) return stay(withoutAsking(state));
  if (outstanding.length > 0) return ask(state, assignment, { outstanding, gateway });
  const settled = withoutAsking(state);
  switch (state.kernel.kind) {
    case 'armed':
      return stay({ ...settled, kernel: { kind: 'armed', right } });
    case 'silent':
      // Whoever sends here has to find its way.
      if (assignment.blocksVersion === undefined) return stay(settled);
      return {
        state: { ...settled, kernel: { kind: 'arming', right } },
        effects: [{ kind: 'arm', address: assignment.address, session: gateway.self.session }],
        outgoing: [],
      };
    case 'arming':
    case 'disarming':
      return stay(settled);
    default:
      return state.kernel satisfies never;
  }
}

/** Another one that may be alive answers by a higher right: one of us has a history that the other does not know. */
function isOvertaken({ kernel, heard }: AddressState, gateway: Gateway): boolean {
  return (
    kernel.kind === 'armed' &&
    heard !== undefined &&
    compareRights(heard.right, kernel.right) > 0 &&
    !isGone(heard.session, gateway)
  );
}

function stay(state: AddressState): AddressStep {
  return { state, effects: [], outgoing: [] };
}

function withoutAsking(state: AddressState): AddressState {
  return state.asking === undefined ? state : { ...state, asking: undefined };
}

function becomeSilent(state: AddressState, address: string, self: SessionRef): AddressStep {
  return state.kernel.kind === 'armed' ? disarm(state, address, self) : stay(state);
}

function disarm(state: AddressState, address: string, { session }: SessionRef): AddressStep {
  return {
    state: { ...state, kernel: { kind: 'disarming' } },
    effects: [{ kind: 'disarm', address, session }],
    outgoing: [],
  };
}

function ask(
  state: AddressState,
  { address, epoch }: Assignment,
  { outstanding, gateway }: { readonly outstanding: readonly SessionRef[]; readonly gateway: Gateway },
): AddressStep {
  const { nowMs, self } = gateway;
  const { rounds, nextMs } = state.asking ?? { rounds: 0, nextMs: nowMs };
  if (nowMs < nextMs) return stay(state);
  const last = outstanding.length === 1;
  const everyMs = rounds < EAGER_ROUNDS ? ASK_EVERY_MS : ASK_SLOWLY_MS;
  return {
    state: { ...state, asking: { rounds: rounds + 1, nextMs: nowMs + everyMs } },
    effects: [],
    outgoing: outstanding.map((target) => ({
      to: target.gateway,
      message: { kind: 'ask', candidate: self, target, address, epoch, last },
    })),
  };
}

/** Somebody wants us, or a session of ours that is over, to let go. */
export function hearAsk(state: AddressState, message: Ask, self: SessionRef | undefined): AddressStep {
  const { target, epoch, last } = message;
  if (self === undefined || target.session > self.session) return stay(state);
  // A former session: the kernel was flushed before ours was opened.
  if (target.session < self.session) return reply(state, message, 'released');
  switch (state.kernel.kind) {
    case 'silent':
      return reply(becomeReleased(state, epoch), message, 'released');
    case 'armed':
      if (state.kernel.right.epoch >= epoch) return stay(state);
      if (!last) return reply(state, message, 'holding');
      return disarm({ ...state, waiting: [message] }, message.address, self);
    case 'arming':
      return reply(state, message, 'holding');
    case 'disarming': {
      const waiting = state.waiting.filter(({ candidate }) => !isSame(candidate, message.candidate));
      return stay({ ...state, waiting: [...waiting, message].slice(-WAITING_MAX) });
    }
    default:
      return state.kernel satisfies never;
  }
}

function becomeReleased(state: AddressState, epoch: number): AddressState {
  return { ...state, releasedEpoch: Math.max(epoch, state.releasedEpoch) };
}

function reply(state: AddressState, message: Ask, answer: Told['state']): AddressStep {
  const { candidate, target, address, epoch } = message;
  return {
    state,
    effects: [],
    outgoing: [
      { to: candidate.gateway, message: { kind: 'told', candidate, target, address, epoch, state: answer } },
    ],
  };
}

/** The target let go; one that holds still is asked again in the next round. */
export function hearTold(state: AddressState, { target, epoch, state: answer }: Told): AddressState {
  if (answer === 'holding') return state;
  return becomeToldReleased(state, target, epoch);
}

/** A gateway's own word that it answers. */
export function becomeHeard(state: AddressState, session: SessionRef, right: Right): AddressState {
  const known = state.heard;
  if (known !== undefined && compareRights(known.right, right) > 0) return state;
  if (known !== undefined && isSame(known.session, session) && compareRights(known.right, right) === 0)
    return state;
  return { ...state, heard: { session, right } };
}

/** Heard from the gateway or read from its GatewayNode. */
export function becomeToldReleased(state: AddressState, session: SessionRef, epoch: number): AddressState {
  const key = sessionKey(session);
  if ((state.released.get(key) ?? 0) >= epoch) return state;
  // One missing less: whoever is the last one now is asked without waiting.
  const asking = state.asking === undefined ? undefined : { ...state.asking, nextMs: 0 };
  return { ...state, released: new Map(state.released).set(key, epoch), asking };
}

/** What became of a kernel command for one address. */
export interface CommandOutcome {
  readonly address: string;
  /** The session that it was asked for by. */
  readonly session: number;
  readonly ok: boolean;
}

export function becomeArmed(state: AddressState, outcome: CommandOutcome, self: SessionRef): AddressStep {
  if (state.kernel.kind !== 'arming') return stay(state);
  if (outcome.ok) return stay({ ...state, kernel: { kind: 'armed', right: state.kernel.right } });
  // A command that failed or whose outcome is unknown may have taken effect.
  return disarm(state, outcome.address, self);
}

/** The kernel answers no more: whoever waited for it is told, and only now. */
export function becomeDisarmed(state: AddressState, outcome: CommandOutcome, self: SessionRef): AddressStep {
  if (state.kernel.kind !== 'disarming') return stay(state);
  if (!outcome.ok) return disarm(state, outcome.address, self);
  const replies = state.waiting.map((message) => reply(state, message, 'released'));
  const epoch = Math.max(0, ...state.waiting.map((message) => message.epoch));
  return {
    state: { ...becomeReleased(state, epoch), kernel: { kind: 'silent' }, waiting: [] },
    effects: [],
    outgoing: replies.flatMap(({ outgoing }) => outgoing),
  };
}
