/**
 * The agent's decisions about its own node, as `step(state, event) → effects`, level-triggered: whatever happened, it
 * compares what the node should hold with what its kernel is known to hold and asks for the difference. At most one
 * apply is under way. What it says of itself is only what the kernel, or the ownership thread, has confirmed.
 *
 * Who answers for an address is decided in core/ownership, on a thread of its own: here its word is one input among
 * others, and the assignments that the API brings are passed on to it.
 *
 * Relies on the runner to carry effects out and to report each one's outcome. Leaves the wire and the clock to it.
 */
import type { NodeDataPlane } from '../dataPlane.ts';
import type { EgressIp } from '../egressIp.ts';
import type { Assignment } from '../ownership/assignment.ts';
import { type AgentEvent, absorb } from './absorbAgentEvent.ts';
import type { AgentState } from './agentState.ts';
import type { AgentView } from './agentView.ts';
import type { ApiWord } from './ownershipInput.ts';
import { type NodeReport, reportNode } from './reportNode.ts';
import type { PodSelection } from './selectPods.ts';

export type AgentEffect =
  | { readonly kind: 'apply'; readonly plan: NodeDataPlane }
  | { readonly kind: 'report'; readonly report: NodeReport }
  /** To the ownership thread: every address, as the API has it. */
  | { readonly kind: 'assign'; readonly assignments: ReadonlyMap<string, Assignment> }
  /** To the ownership thread: what the API says of sessions. */
  | ({ readonly kind: 'state' } & ApiWord);

export interface AgentStep {
  readonly state: AgentState;
  readonly effects: readonly AgentEffect[];
}

export function stepAgent(state: AgentState, event: AgentEvent): AgentStep {
  const absorbed = absorb(state, event);
  const { view } = absorbed;
  if (view === undefined || absorbed === state) return { state: absorbed, effects: [] };
  const applied = reconcileApply(absorbed, view);
  const assigned = reconcileOwnership(applied.state, view);
  const reported = reconcileReport(assigned.state, view);
  return { state: reported.state, effects: [...applied.effects, ...assigned.effects, ...reported.effects] };
}

function reconcileApply(state: AgentState, view: AgentView): AgentStep {
  if (!state.applyWanted || state.applying !== undefined) return { state, effects: [] };
  const { holders, recalled, ownership } = state;
  const heard = forgetGone(state.heard, state.memory.texts(view.egressIps));
  const givenBack = state.portReturns.given;
  const { holdings } = ownership;
  const generations = generationsOf(view, state.memory.planner.select(view));
  const { uplinks } = state.observed;
  const known = { uplinks, holdings, heard, holders, recalled, givenBack };
  const plan = state.memory.planner.plan(view, known);
  return {
    state: {
      ...state,
      heard,
      applying: { versions: plan.versions, givenBack, generations },
      applyWanted: false,
      holders: plan.holders,
    },
    effects: [{ kind: 'apply', plan: plan.dataPlane }],
  };
}

function generationsOf({ policies }: AgentView, { selected }: PodSelection): ReadonlyMap<string, number> {
  return new Map([...selected.keys()].map((uid) => [uid, policies.get(uid)?.generation ?? 0]));
}

function forgetGone(heard: AgentState['heard'], known: ReadonlyMap<string, EgressIp>): AgentState['heard'] {
  const left = [...heard].filter(([address]) => known.has(address));
  return left.length === heard.size ? heard : new Map(left);
}

/** The ownership thread hears of assignments whose ports are in the kernel: whoever sends here has to find its way. */
function reconcileOwnership(state: AgentState, view: AgentView): AgentStep {
  const { value: assignments, text: assigned } = state.memory.assigned(view.egressIps, state.confirmed);
  const { value: word, text: said } = state.memory.word(view);
  const effects: AgentEffect[] = [];
  if (said !== state.lastWord) effects.push({ kind: 'state', ...word });
  if (assigned !== state.lastAssigned) effects.push({ kind: 'assign', assignments });
  return { state: { ...state, lastAssigned: assigned, lastWord: said }, effects };
}

function reconcileReport(state: AgentState, view: AgentView): AgentStep {
  const { observed, ownership, confirmed, programmed, health, peerKeys, pressed, returned, lastSession } =
    state;
  const report = reportNode({
    view,
    egressIps: state.memory.texts(view.egressIps),
    newest: state.newest,
    heard: state.heard,
    selection: state.memory.planner.select(view),
    observed,
    ownership,
    confirmed,
    programmed,
    health,
    peerKeys,
    ports: { pressed, returned },
    lastSession,
  });
  const text = JSON.stringify(report);
  if (text === state.lastReport) return { state, effects: [] };
  return { state: { ...state, lastReport: text }, effects: [{ kind: 'report', report }] };
}
