/** What the controller knows between two events: all of it, as one immutable value. */
import type { EgressIp } from '../egressIp.ts';
import type { CollectionName, Collections, ControllerView } from './controllerView.ts';
import type { UnreadySince } from './eligibility.ts';
import type { GoneSince } from './goneNodes.ts';
import type { LeaveTurns } from './leaving.ts';
import type { LingersSince } from './linger.ts';
import type { Move } from './moves.ts';
import { NO_WAITS, type VoterWaits } from './planVoters.ts';
import type { LaterSince } from './restores.ts';
import { type SessionsState, silentGateways } from './sessions.ts';
import type { FitSince } from './standing.ts';
import type { Pace } from './voluntaryMoves.ts';
import type { WriteLedger } from './writeLedger.ts';

/** Undefined until the first list of it was complete. */
export type Caches = { readonly [C in CollectionName]: ReadonlyMap<string, Collections[C]> | undefined };

export interface ControllerState {
  readonly caches: Caches;
  readonly sessions: SessionsState;
  readonly leading: boolean;
  readonly inContact: boolean;
  readonly ledger: WriteLedger;
  /** EgressIP name → the spec whose write is not answered yet. */
  readonly asked: ReadonlyMap<string, EgressIp>;
  /** EgressIP name → its newest move. */
  readonly moves: ReadonlyMap<string, Move>;
  readonly unreadySince: UnreadySince;
  readonly fitSince: FitSince;
  readonly leaveTurns: LeaveTurns;
  readonly pace: Pace;
  readonly voterWaits: VoterWaits;
  readonly goneSince: GoneSince;
  readonly lingersSince: LingersSince;
  readonly laterSince: LaterSince;
}

export function initialController(): ControllerState {
  return {
    caches: {
      CiliumEgressGatewayPolicy: undefined,
      EgressPolicy: undefined,
      nodes: undefined,
      gatewayNodes: undefined,
      egressIps: undefined,
      leases: undefined,
      voters: undefined,
    },
    sessions: new Map(),
    leading: false,
    inContact: true,
    ledger: new Map(),
    asked: new Map(),
    moves: new Map(),
    unreadySince: new Map(),
    fitSince: new Map(),
    leaveTurns: new Map(),
    pace: [],
    voterWaits: NO_WAITS,
    goneSince: new Map(),
    lingersSince: new Map(),
    laterSince: new Map(),
  };
}

/** Undefined until every collection was listed once. */
export function viewOf(
  { caches, sessions, asked, inContact }: ControllerState,
  nowMs: number,
): ControllerView | undefined {
  const { CiliumEgressGatewayPolicy: cilium, EgressPolicy: own, nodes, gatewayNodes } = caches;
  const { egressIps, leases, voters } = caches;
  if (cilium === undefined || own === undefined || nodes === undefined || voters === undefined)
    return undefined;
  if (gatewayNodes === undefined || egressIps === undefined || leases === undefined) return undefined;
  return {
    policies: [...cilium.values(), ...own.values()],
    nodes,
    gatewayNodes,
    egressIps,
    sessions,
    asked,
    // Without contact to the API server silence says nothing about a gateway.
    silent: inContact ? silentGateways(sessions, nowMs) : new Set(),
    voters: [...voters.values()][0],
  };
}
