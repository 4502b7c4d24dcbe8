/**
 * What the API says, as the ownership core takes it in: the assignments, dead sessions, and who let go of what. There an
 * address goes by its text, for the kernel and the neighbours are spoken to; an object's name has no colons.
 */
import { formatAddress } from '../../../policy/address.ts';
import { isPossibleEpoch, type SessionRef } from '../egressIp.ts';
import type { Assignment } from '../ownership/assignment.ts';
import { compareRights, type Right } from '../ownership/messages.ts';
import type { Release } from '../ownership/ownershipState.ts';
import type { AgentView } from './agentView.ts';
import { statementOf } from './holders.ts';

export interface ApiWord {
  readonly dead: readonly SessionRef[];
  readonly released: readonly Release[];
}

/** @param confirmed EgressIP name → the `blocksVersion` whose ports the own kernel forwards */
export function assignmentsOf(
  egressIps: AgentView['egressIps'],
  confirmed: ReadonlyMap<string, number>,
): ReadonlyMap<string, Assignment> {
  return new Map(
    [...egressIps.values()].map(({ name, address, epoch, order, fence }) => {
      const text = formatAddress(address);
      return [text, { address: text, epoch, order, fence, blocksVersion: confirmed.get(name) }];
    }),
  );
}

export function wordOf(view: Pick<AgentView, 'egressIps' | 'gatewayNodes' | 'nodes'>): ApiWord {
  return { dead: deadSessions(view), released: releases(view) };
}

/** Address → the highest right that somebody states, through the API, to answer by. */
export function statedRights({
  egressIps,
  gatewayNodes,
}: Pick<AgentView, 'egressIps' | 'gatewayNodes'>): ReadonlyMap<string, Right> {
  const assigned = new Map([...egressIps.values()].map((it) => [formatAddress(it.address), it.epoch]));
  const rights = new Map<string, Right>();
  for (const { addresses } of gatewayNodes.values()) {
    for (const { address, state, epoch, index } of addresses) {
      if (state !== 'Answering') continue;
      const text = formatAddress(address);
      const known = rights.get(text);
      const standing = assigned.get(text);
      if (standing === undefined || !isPossibleEpoch(epoch, standing)) continue;
      if (known === undefined || compareRights({ epoch, index }, known) > 0)
        rights.set(text, { epoch, index });
    }
  }
  return rights;
}

/**
 * What other gateways concluded, and every session that its own gateway has followed by a later one. Reports of nodes that do
 * not exist may be anybody's objects, and a verdict is for ever.
 */
function deadSessions({
  gatewayNodes,
  nodes,
}: Pick<AgentView, 'gatewayNodes' | 'nodes'>): readonly SessionRef[] {
  const highest = new Map<string, number>();
  const add = ({ gateway, session }: SessionRef): void => {
    if (session > (highest.get(gateway) ?? 0)) highest.set(gateway, session);
  };
  for (const { name, session, dead } of gatewayNodes.values()) {
    if (!nodes.has(name)) continue;
    add({ gateway: name, session: session - 1 });
    dead.forEach(add);
  }
  return [...highest].map(([gateway, session]) => ({ gateway, session }));
}

function releases({
  egressIps,
  gatewayNodes,
}: Pick<AgentView, 'egressIps' | 'gatewayNodes'>): readonly Release[] {
  return [...egressIps.values()].flatMap((egressIp) =>
    egressIp.fence.flatMap((session) => {
      const gateway = gatewayNodes.get(session.gateway);
      const statement = gateway === undefined ? undefined : statementOf(gateway, egressIp);
      if (statement === undefined || statement.state === 'Answering') return [];
      if (statement.session !== session.session) return [];
      return [{ session, address: formatAddress(egressIp.address), epoch: statement.epoch }];
    }),
  );
}
