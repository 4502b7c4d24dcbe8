/** Takes in what happened. What follows from it is agentCore.ts's to decide. */

import { isOlderVersion } from '../../../kube/core/isOlderVersion.ts';
import { egressIpName } from '../../../policy/address.ts';
import type { SessionRef } from '../egressIp.ts';
import type { Holding } from '../ownership/messages.ts';
import type { OwnershipWord } from '../ownership/ownershipWord.ts';
import type { PeerKeyIds } from '../peerKeys.ts';
import { sameUplinks } from '../uplinks.ts';
import type { AgentState } from './agentState.ts';
import type { AgentView } from './agentView.ts';
import type { Health } from './health.ts';
import type { Claim } from './holders.ts';
import { followNewest } from './lostAssignments.ts';
import { forgetTaken, NO_RETURNS, type PortReturns, type PortUse, returnIdle } from './portReturns.ts';
import type { ObservedNode } from './reportNode.ts';

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

export function absorb(state: AgentState, event: AgentEvent): AgentState {
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

/** Whether the data plane works is known from applying plans, not from looking at the node. The same uplinks are the same object. */
function keepReadiness(observed: ObservedNode, known: ObservedNode): ObservedNode {
  const { dataPlaneReady, dataPlaneMessage } = known;
  const uplinks = sameUplinks(observed.uplinks, known.uplinks) ? known.uplinks : observed.uplinks;
  return { ...observed, uplinks, dataPlaneReady, dataPlaneMessage };
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
  const newest = followNewest(state.newest, state.memory.texts(view.egressIps));
  return { ...state, view, newest, portReturns, lastReport, applyWanted: true };
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
