import type { EgressIp } from '../egressIp.ts';
import type { OwnershipWord } from '../ownership/ownershipWord.ts';
import { NO_PEER_KEYS, type PeerKeyIds } from '../peerKeys.ts';
import { type AgentMemory, openMemory } from './agentMemory.ts';
import type { AgentView } from './agentView.ts';
import type { Health } from './health.ts';
import type { Claim } from './holders.ts';
import type { Holder } from './planNode.ts';
import { NO_RETURNS, type PortReturns } from './portReturns.ts';
import type { ObservedNode } from './reportNode.ts';

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
  /** By address as text: as `view` has them, but where an older copy stands there. */
  readonly newest: ReadonlyMap<string, EgressIp>;
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

export function initialAgent(
  observed: ObservedNode,
  recalled: ReadonlyMap<string, string> = new Map(),
): AgentState {
  return {
    view: undefined,
    newest: new Map(),
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
