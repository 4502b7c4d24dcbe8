/** What the agent's decisions are made from, worked out once for as long as it does not change. */
import { formatAddress } from '../../../policy/address.ts';
import type { EgressIp } from '../egressIp.ts';
import type { Assignment } from '../ownership/assignment.ts';
import { remember } from '../remember.ts';
import type { AgentView } from './agentView.ts';
import { NodePlanner } from './nodePlanner.ts';
import { type ApiWord, assignmentsOf, wordOf } from './ownershipInput.ts';

export interface AgentMemory {
  readonly planner: NodePlanner;
  assigned(
    egressIps: AgentView['egressIps'],
    confirmed: ReadonlyMap<string, number>,
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

export function openMemory(): AgentMemory {
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
