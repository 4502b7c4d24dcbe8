/**
 * Decides, from what gateways and their Leases say, whether a session may still answer for an address. The same reasoning
 * as an agent's own (agent/answering.ts), on the controller's view.
 */
import type { Address } from '../../../policy/model.ts';
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { AddressStatement } from '../gatewayNode.ts';
import type { ControllerView } from './controllerView.ts';
import type { SessionProofs } from './planEgressIp.ts';
import { isDead } from './sessions.ts';

export function statementOn(
  view: ControllerView,
  gateway: string,
  { family, value }: Address,
): AddressStatement | undefined {
  return view.gatewayNodes
    .get(gateway)
    ?.addresses.find(({ address }) => address.value === value && address.family === family);
}

export function proofsFor(address: Address, view: ControllerView): SessionProofs {
  return {
    isDead: (session) => isDead(view.sessions, session),
    hasReleased: ({ gateway, session }, epoch) => {
      // A new agent flushes its kernel before it opens a session, so a later one says enough.
      if ((view.gatewayNodes.get(gateway)?.session ?? 0) > session) return true;
      const statement = statementOn(view, gateway, address);
      return (
        statement !== undefined &&
        statement.state !== 'Answering' &&
        statement.session >= session &&
        statement.epoch >= epoch
      );
    },
  };
}

/** The holder states, under its assigned session and at this epoch, that its kernel answers. */
export function isAnnounced({ order, epoch, address }: EgressIp, view: ControllerView): boolean {
  const [holder] = order;
  if (holder === undefined || isDead(view.sessions, holder)) return false;
  const statement = statementOn(view, holder.gateway, address);
  return (
    statement?.state === 'Answering' && statement.session === holder.session && statement.epoch === epoch
  );
}

/** Whoever states `Answering` at the highest epoch under a session that is not proven dead. */
export function answeringGateway(egressIp: EgressIp, view: ControllerView): string | undefined {
  let best: { readonly gateway: string; readonly epoch: number } | undefined;
  for (const gateway of view.gatewayNodes.keys()) {
    const statement = statementOn(view, gateway, egressIp.address);
    if (statement?.state !== 'Answering') continue;
    const session: SessionRef = { gateway, session: statement.session };
    if (isDead(view.sessions, session)) continue;
    if (best === undefined || statement.epoch > best.epoch) best = { gateway, epoch: statement.epoch };
  }
  return best?.gateway;
}
