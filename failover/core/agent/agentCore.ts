/**
 * The agent's decisions as `step(state, event) → effects`, level-triggered: whatever happened, it compares what the
 * node should hold with what its kernel is known to hold and asks for the difference. At most one command per address
 * and one data-plane apply are under way. It disarms before it states, states only what the kernel confirmed, and arms
 * before it asks anyone to send here.
 *
 * Relies on the runner to carry effects out and to report each one's outcome. Leaves the wire and the clock to it.
 */
import type { Address } from '../../../policy/model.ts';
import type { NodeDataPlane } from '../dataPlane.ts';
import type { AgentView } from './agentView.ts';
import { decideAnswering } from './answering.ts';
import { type Holder, planNode } from './planNode.ts';
import { type NodeReport, type ObservedNode, reportNode } from './reportNode.ts';
import { selectPods } from './selectPods.ts';
import {
  openSession,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
  stepSession,
} from './session.ts';

/** What the kernel is known to hold for one address. Absent from the map: it answers nothing for it. */
interface KernelAnswer {
  readonly address: Address;
  readonly session: number;
  readonly epoch: number;
  readonly stage: 'arming' | 'armed' | 'disarming';
}

export interface AgentState {
  /** Undefined until every cache has synced once: nothing is changed in the kernel before. */
  readonly view: AgentView | undefined;
  readonly observed: ObservedNode;
  /** Undefined while this node is no gateway. */
  readonly session: SessionState | undefined;
  readonly answers: ReadonlyMap<string, KernelAnswer>;
  readonly applying: ReadonlyMap<string, number> | undefined;
  readonly applyWanted: boolean;
  /** EgressIP name → `blocksVersion` that the kernel holds. */
  readonly confirmed: ReadonlyMap<string, number>;
  /** EgressIP name → where this node sends its packets. */
  readonly holders: ReadonlyMap<string, Holder>;
  /** What a former run left in the kernel: see `planNode`. */
  readonly recalled: ReadonlyMap<string, string>;
  readonly lastReport: string;
  readonly stopping: boolean;
}

export type AgentEvent =
  | { readonly kind: 'viewed'; readonly view: AgentView }
  | { readonly kind: 'observed'; readonly observed: ObservedNode }
  | { readonly kind: 'gateway'; readonly session: SessionState }
  | { readonly kind: 'session'; readonly event: SessionEvent }
  | { readonly kind: 'armed'; readonly name: string; readonly ok: boolean }
  | { readonly kind: 'disarmed'; readonly name: string; readonly ok: boolean }
  | { readonly kind: 'applied'; readonly ok: boolean; readonly message: string }
  /** Time to compare with the kernel again: somebody else may have changed it. */
  | { readonly kind: 'resync' }
  | { readonly kind: 'report-failed' }
  | { readonly kind: 'stop' };

export type AgentEffect =
  | SessionEffect
  | { readonly kind: 'arm'; readonly name: string; readonly address: Address; readonly session: number }
  | { readonly kind: 'disarm'; readonly name: string; readonly address: Address }
  | { readonly kind: 'announce'; readonly addresses: readonly Address[] }
  | { readonly kind: 'apply'; readonly plan: NodeDataPlane }
  | { readonly kind: 'report'; readonly report: NodeReport };

export interface AgentStep {
  readonly state: AgentState;
  readonly effects: readonly AgentEffect[];
}

export function initialAgent(
  observed: ObservedNode,
  recalled: ReadonlyMap<string, string> = new Map(),
): AgentState {
  return {
    view: undefined,
    observed,
    session: undefined,
    answers: new Map(),
    applying: undefined,
    applyWanted: false,
    confirmed: new Map(),
    holders: new Map(),
    recalled,
    lastReport: '',
    stopping: false,
  };
}

export function stepAgent(state: AgentState, event: AgentEvent): AgentStep {
  const absorbed = absorb(state, event);
  const answered = reconcileAnswers(absorbed.state);
  const applied = reconcileApply(answered.state);
  const reported = reconcileReport(applied.state);
  return {
    state: reported.state,
    effects: [...absorbed.effects, ...answered.effects, ...applied.effects, ...reported.effects],
  };
}

/** True once a stopping agent has disarmed everything: the session may be closed. */
export function readyToClose(state: AgentState): boolean {
  return state.stopping && state.answers.size === 0;
}

/** Egress IPs that our kernel answers for, confirmed → epoch. */
export function answeredEpochs(state: AgentState): ReadonlyMap<string, number> {
  return new Map(
    [...state.answers].filter(([, it]) => it.stage === 'armed').map(([name, it]) => [name, it.epoch]),
  );
}

function absorb(state: AgentState, event: AgentEvent): AgentStep {
  switch (event.kind) {
    case 'viewed':
      return { state: { ...state, view: event.view, applyWanted: true }, effects: [] };
    case 'observed':
      return { state: { ...state, observed: keepReadiness(event.observed, state.observed) }, effects: [] };
    case 'gateway':
      return { state: { ...state, session: event.session }, effects: [] };
    case 'session':
      return absorbSession(state, event.event);
    case 'armed':
      return absorbArmed(state, event.name, event.ok);
    case 'disarmed':
      return absorbDisarmed(state, event.name, event.ok);
    case 'applied':
      return absorbApplied(state, event.ok, event.message);
    case 'resync':
      return { state: { ...state, applyWanted: true }, effects: [] };
    case 'report-failed':
      return { state: { ...state, lastReport: '' }, effects: [] };
    case 'stop':
      return { state: { ...state, stopping: true }, effects: [] };
    default:
      return event satisfies never;
  }
}

/** Whether the data plane works is known from applying plans, not from looking at the node. */
function keepReadiness(observed: ObservedNode, known: ObservedNode): ObservedNode {
  const { dataPlaneReady, dataPlaneMessage } = known;
  return { ...observed, dataPlaneReady, dataPlaneMessage };
}

function absorbSession(state: AgentState, event: SessionEvent): AgentStep {
  if (state.session === undefined) return { state, effects: [] };
  const stepped = stepSession(state.session, event);
  // A flush took every right out of the kernel: what we knew of it is void.
  const answers = event.kind === 'flushed' && event.ok ? new Map<string, KernelAnswer>() : state.answers;
  return { state: { ...state, session: stepped.state, answers }, effects: stepped.effects };
}

function absorbArmed(state: AgentState, name: string, ok: boolean): AgentStep {
  const answer = state.answers.get(name);
  if (answer?.stage !== 'arming') return { state, effects: [] };
  // A failed or uncertain command may have taken effect: disarm before trying again.
  const stage = ok ? 'armed' : 'disarming';
  const next = {
    ...state,
    answers: new Map(state.answers).set(name, { ...answer, stage }),
    applyWanted: true,
  } as const;
  return ok
    ? { state: next, effects: [{ kind: 'announce', addresses: [answer.address] }] }
    : { state: next, effects: [{ kind: 'disarm', name, address: answer.address }] };
}

function absorbDisarmed(state: AgentState, name: string, ok: boolean): AgentStep {
  const answer = state.answers.get(name);
  if (answer?.stage !== 'disarming') return { state, effects: [] };
  if (!ok) return { state, effects: [{ kind: 'disarm', name, address: answer.address }] };
  const answers = new Map(state.answers);
  answers.delete(name);
  return { state: { ...state, answers, applyWanted: true }, effects: [] };
}

function absorbApplied(state: AgentState, ok: boolean, message: string): AgentStep {
  const confirmed = ok && state.applying !== undefined ? state.applying : state.confirmed;
  const observed = { ...state.observed, dataPlaneReady: ok, dataPlaneMessage: ok ? '' : message };
  return {
    state: { ...state, applying: undefined, applyWanted: state.applyWanted || !ok, confirmed, observed },
    effects: [],
  };
}

function reconcileAnswers(state: AgentState): AgentStep {
  const { view } = state;
  if (view === undefined) return { state, effects: [] };
  const session = state.session === undefined || state.stopping ? undefined : openSession(state.session);
  const rights = decideAnswering({
    node: view.node,
    session,
    egressIps: [...view.egressIps.values()],
    gatewayNodes: view.gatewayNodes,
  });
  const answers = new Map(state.answers);
  const effects: AgentEffect[] = [];
  for (const [name, answer] of state.answers) {
    const epoch = rights.get(name);
    if (answer.stage !== 'armed') continue;
    if (epoch === undefined || answer.session !== session) {
      answers.set(name, { ...answer, stage: 'disarming' });
      effects.push({ kind: 'disarm', name, address: answer.address });
    } else if (epoch !== answer.epoch) answers.set(name, { ...answer, epoch });
  }
  for (const [name, epoch] of rights) {
    const address = view.egressIps.get(name)?.address;
    // The port map must be in the kernel first: whoever sends here has to find its way.
    if (session === undefined || address === undefined || answers.has(name) || !state.confirmed.has(name))
      continue;
    answers.set(name, { address, session, epoch, stage: 'arming' });
    effects.push({ kind: 'arm', name, address, session });
  }
  return { state: { ...state, answers }, effects };
}

function reconcileApply(state: AgentState): AgentStep {
  if (state.view === undefined || !state.applyWanted || state.applying !== undefined)
    return { state, effects: [] };
  const known = { answered: answeredEpochs(state), holders: state.holders, recalled: state.recalled };
  const plan = planNode(state.view, selectPods(state.view), known);
  return {
    state: { ...state, applying: plan.versions, applyWanted: false, holders: plan.holders },
    effects: [{ kind: 'apply', plan: plan.dataPlane }],
  };
}

function reconcileReport(state: AgentState): AgentStep {
  if (state.view === undefined) return { state, effects: [] };
  const session = state.session === undefined ? undefined : openSession(state.session);
  const report = reportNode({
    view: state.view,
    observed: state.observed,
    session: session ?? 0,
    answered: answeredEpochs(state),
    changing: new Set([...state.answers].filter(([, it]) => it.stage !== 'armed').map(([name]) => name)),
    confirmed: state.confirmed,
  });
  const text = JSON.stringify(report);
  if (text === state.lastReport) return { state, effects: [] };
  return { state: { ...state, lastReport: text }, effects: [{ kind: 'report', report }] };
}
