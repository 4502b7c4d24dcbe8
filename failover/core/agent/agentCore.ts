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
import { isOlderVersion } from '../../../kube/core/isOlderVersion.ts';
import { egressIpName, formatAddress } from '../../../policy/address.ts';
import type { NodeDataPlane } from '../dataPlane.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { Assignment } from '../ownership/assignment.ts';
import type { Holding } from '../ownership/messages.ts';
import type { OwnershipWord } from '../ownership/ownershipWord.ts';
import { NO_PEER_KEYS, type PeerKeyIds } from '../peerKeys.ts';
import { remember } from '../remember.ts';
import type { AgentView } from './agentView.ts';
import type { Health } from './health.ts';
import type { Claim } from './holders.ts';
import { NodePlanner } from './nodePlanner.ts';
import { type ApiWord, assignmentsOf, wordOf } from './ownershipInput.ts';
import type { Holder } from './planNode.ts';
import { forgetTaken, NO_RETURNS, type PortReturns, type PortUse, returnIdle } from './portReturns.ts';
import { type NodeReport, type ObservedNode, reportNode } from './reportNode.ts';
import type { PodSelection } from './selectPods.ts';

/** Until the ownership thread has said something. */
export const NO_OWNERSHIP: OwnershipWord = {
  session: 0,
  holdings: [],
  released: new Map(),
  dead: [],
  config: undefined,
};

export interface AgentState {
  /** Undefined until every cache has synced once: nothing is changed in the kernel before. */
  readonly view: AgentView | undefined;
  readonly observed: ObservedNode;
  readonly ownership: OwnershipWord;
  /** The highest number of a session so far. */
  readonly lastSession: number;
  /** Undefined while the node is no gateway. */
  readonly health: Health | undefined;
  /** Those that the ownership thread confirmed. */
  readonly peerKeys: PeerKeyIds;
  /** What `DataPlane.readPressed` said last. */
  readonly pressed: ReadonlyMap<string, number>;
  /** Address as text → what gateways said by datagram, the newest word of each. */
  readonly heard: ReadonlyMap<string, readonly Claim[]>;
  readonly applying: Applying | undefined;
  readonly applyWanted: boolean;
  /** EgressIP name → `blocksVersion` that the kernel holds. */
  readonly confirmed: ReadonlyMap<string, number>;
  /** Uid of a policy that selects pods here → its generation that the kernel holds. */
  readonly programmed: ReadonlyMap<string, number>;
  /** EgressIP name → where this node sends its packets. */
  readonly holders: ReadonlyMap<string, Holder>;
  /** What a former run left in the kernel: see `planNode`. */
  readonly recalled: ReadonlyMap<string, string>;
  readonly portReturns: PortReturns;
  /** Of what is given back: what the kernel is known to use no more. */
  readonly returned: ReadonlyMap<string, number>;
  readonly lastReport: string;
  readonly lastAssigned: string;
  readonly lastWord: string;
  /** Changes how long decisions take, and nothing else. */
  readonly memory: AgentMemory;
}

/** The plan that is under way. */
interface Applying {
  readonly versions: ReadonlyMap<string, number>;
  readonly givenBack: ReadonlyMap<string, number>;
  readonly generations: ReadonlyMap<string, number>;
}

interface AgentMemory {
  readonly planner: NodePlanner;
  assigned(
    egressIps: AgentView['egressIps'],
    confirmed: AgentState['confirmed'],
  ): Said<ReadonlyMap<string, Assignment>>;
  /** Egress IPs by address as text, sorted by name. */
  texts(egressIps: AgentView['egressIps']): ReadonlyMap<string, EgressIp>;
  word(view: Pick<AgentView, 'egressIps' | 'gatewayNodes' | 'nodes'>): Said<ApiWord>;
}

/** A value and, to tell it from the one before, its text. */
interface Said<T> {
  readonly value: T;
  readonly text: string;
}

function openMemory(): AgentMemory {
  const word = remember(
    (
      egressIps: AgentView['egressIps'],
      gatewayNodes: AgentView['gatewayNodes'],
      nodes: AgentView['nodes'],
    ): Said<ApiWord> => {
      const value = wordOf({ egressIps, gatewayNodes, nodes });
      return { value, text: JSON.stringify(value) };
    },
  );
  return {
    planner: new NodePlanner(),
    texts: remember(
      (egressIps) =>
        new Map(
          [...egressIps.values()]
            .toSorted((a, b) => (a.name < b.name ? -1 : 1))
            .map((it) => [formatAddress(it.address), it]),
        ),
    ),
    assigned: remember((...inputs: Parameters<AgentMemory['assigned']>) => {
      const value = assignmentsOf(...inputs);
      return { value, text: JSON.stringify([...value]) };
    }),
    word: ({ egressIps, gatewayNodes, nodes }) => word(egressIps, gatewayNodes, nodes),
  };
}

export type AgentEvent =
  | { readonly kind: 'viewed'; readonly view: AgentView }
  | { readonly kind: 'observed'; readonly observed: ObservedNode }
  | { readonly kind: 'ownership'; readonly report: OwnershipWord }
  | { readonly kind: 'heard'; readonly session: SessionRef; readonly holdings: readonly Holding[] }
  | { readonly kind: 'health'; readonly health: Health | undefined }
  | { readonly kind: 'keys-taken'; readonly keys: PeerKeyIds }
  | { readonly kind: 'pressed'; readonly pressed: ReadonlyMap<string, number> }
  /** Egress IP as text → connections of this node to its busiest destination. */
  | { readonly kind: 'port-use'; readonly use: PortUse; readonly nowMs: number }
  | { readonly kind: 'applied'; readonly ok: boolean; readonly message: string }
  /** Time to compare with the kernel again: somebody else may have changed it. */
  | { readonly kind: 'resync' }
  | { readonly kind: 'report-failed' };

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

export function initialAgent(
  observed: ObservedNode,
  recalled: ReadonlyMap<string, string> = new Map(),
): AgentState {
  return {
    view: undefined,
    observed,
    ownership: NO_OWNERSHIP,
    lastSession: 0,
    health: undefined,
    peerKeys: NO_PEER_KEYS,
    pressed: new Map(),
    heard: new Map(),
    applying: undefined,
    applyWanted: false,
    confirmed: new Map(),
    programmed: new Map(),
    holders: new Map(),
    recalled,
    portReturns: NO_RETURNS,
    returned: new Map(),
    lastReport: '',
    lastAssigned: '',
    lastWord: '',
    memory: openMemory(),
  };
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

function absorb(state: AgentState, event: AgentEvent): AgentState {
  switch (event.kind) {
    case 'viewed':
      return absorbView(state, event.view);
    case 'observed':
      return { ...state, observed: keepReadiness(event.observed, state.observed) };
    case 'ownership':
      return {
        ...state,
        ownership: event.report,
        lastSession: Math.max(state.lastSession, event.report.session),
        applyWanted: true,
      };
    case 'heard':
      return absorbHeard(state, event.session, event.holdings);
    case 'health':
      return { ...state, health: event.health };
    case 'keys-taken':
      return { ...state, peerKeys: event.keys };
    case 'pressed':
      return { ...state, pressed: event.pressed };
    case 'port-use':
      return absorbUse(state, event);
    case 'applied':
      return absorbApplied(state, event.ok, event.message);
    case 'resync':
      // Reported again as well: a write that was given up as lost may have landed after its successor. The same again
      // costs the API server no write.
      return { ...state, applyWanted: true, lastReport: '' };
    case 'report-failed':
      return { ...state, lastReport: '' };
    default:
      return event satisfies never;
  }
}

/** Whether the data plane works is known from applying plans, not from looking at the node. */
function keepReadiness(observed: ObservedNode, known: ObservedNode): ObservedNode {
  const { dataPlaneReady, dataPlaneMessage } = known;
  return { ...observed, dataPlaneReady, dataPlaneMessage };
}

/** A gateway repeats itself until everybody has heard: only news are worth an apply. */
function absorbHeard(
  state: AgentState,
  { gateway, session }: SessionRef,
  holdings: readonly Holding[],
): AgentState {
  const heard = new Map(state.heard);
  let news = false;
  for (const { address, right, blocksVersion } of holdings) {
    const claim: Claim = { node: gateway, session, right, blocksVersion };
    const before = heard.get(address) ?? [];
    if (before.some((it) => JSON.stringify(it) === JSON.stringify(claim))) continue;
    heard.set(address, [...before.filter(({ node }) => node !== gateway), claim]);
    news = true;
  }
  return news ? { ...state, heard, applyWanted: true } : state;
}

function absorbView(state: AgentState, view: AgentView): AgentState {
  const known = state.view === undefined ? recallReturns(view) : state.portReturns;
  const portReturns = forgetTaken(known, view.egressIps, view.node);
  const lastReport = wasTakenBack(state.view, view) ? '' : state.lastReport;
  return { ...state, view, portReturns, lastReport, applyWanted: true };
}

/** What we said is not there any more: etcd was restored from a snapshot, or somebody deleted the object. */
function wasTakenBack(before: AgentView | undefined, { node, gatewayNodes }: AgentView): boolean {
  const said = before?.gatewayNodes.get(node);
  if (said === undefined) return false;
  const says = gatewayNodes.get(node);
  return says === undefined || isOlderVersion(says.resourceVersion, said.resourceVersion);
}

/** What a former run of this agent said to be returned is not this one's to use either. */
function recallReturns({ node, gatewayNodes, egressIps }: AgentView): PortReturns {
  const said = gatewayNodes.get(node)?.demand ?? [];
  const given = said.flatMap(({ address, returned }) => {
    const name = egressIpName(address);
    return returned === undefined || !egressIps.has(name) ? [] : [[name, returned] as const];
  });
  return { ...NO_RETURNS, given: new Map(given) };
}

function absorbUse(
  state: AgentState,
  { use, nowMs }: { readonly use: PortUse; readonly nowMs: number },
): AgentState {
  const { view } = state;
  if (view === undefined) return state;
  const egressIps = state.memory.texts(view.egressIps);
  const { wanted } = state.memory.planner.select(view);
  const isWanted = (text: string): boolean => wanted.has(text);
  const { node } = view;
  const portReturns = returnIdle(state.portReturns, { node, egressIps, use, isWanted, nowMs });
  const news = portReturns.given.size !== state.portReturns.given.size;
  if (!news && sameTimes(portReturns.idleSince, state.portReturns.idleSince)) return state;
  return { ...state, portReturns, applyWanted: state.applyWanted || news };
}

function sameTimes(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a].every(([name, sinceMs]) => b.get(name) === sinceMs);
}

function absorbApplied(state: AgentState, ok: boolean, message: string): AgentState {
  const applied = ok ? state.applying : undefined;
  const observed = { ...state.observed, dataPlaneReady: ok, dataPlaneMessage: ok ? '' : message };
  return {
    ...state,
    applying: undefined,
    applyWanted: state.applyWanted || !ok,
    confirmed: applied?.versions ?? state.confirmed,
    returned: applied?.givenBack ?? state.returned,
    programmed: applied?.generations ?? state.programmed,
    observed,
  };
}

function reconcileApply(state: AgentState, view: AgentView): AgentStep {
  if (!state.applyWanted || state.applying !== undefined) return { state, effects: [] };
  const { holders, recalled, ownership } = state;
  const heard = forgetGone(state.heard, state.memory.texts(view.egressIps));
  const givenBack = state.portReturns.given;
  const { holdings } = ownership;
  const generations = generationsOf(view, state.memory.planner.select(view));
  const plan = state.memory.planner.plan(view, { holdings, heard, holders, recalled, givenBack });
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
