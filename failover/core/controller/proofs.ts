/**
 * Decides, from what gateways and their Leases say, which sessions live, which are over for certain, and who answers for
 * an address. The same reasoning as the agents' own, on the controller's view; the verdicts of the voters reach it
 * through the gateways that heard them.
 */
import type { Address } from '../../../policy/model.ts';
import { type EgressIp, isPossibleEpoch, type SessionRef } from '../egressIp.ts';
import type { AddressStatement } from '../gatewayNode.ts';
import { compareRights, type Right } from '../ownership/messages.ts';
import { remember } from '../remember.ts';
import { statedAbove } from '../statedAbove.ts';
import type { ControllerView } from './controllerView.ts';
import type { SessionProofs } from './planEgressIp.ts';
import { isOver, leasedSession } from './sessions.ts';
import { statementIndex } from './statementIndex.ts';

/** Nothing of the session answers any more, and never will. */
export function isDead(view: ControllerView, session: SessionRef): boolean {
  // A new agent flushes its kernel before it opens a session, so a later one says enough.
  if (isOver(view.sessions, session) || sessionOf(view, session.gateway) > session.session) return true;
  return wasCalledDead(view, session);
}

/** A majority of voters called it dead, as some gateway heard. */
export function wasCalledDead({ gatewayNodes, nodes }: ControllerView, session: SessionRef): boolean {
  return (calledDead(gatewayNodes, nodes).get(session.gateway) ?? 0) >= Math.max(1, session.session);
}

/**
 * Gateway → its highest session that is called dead, by agents of nodes that exist: other reports may be anybody's objects,
 * and what is dead is never given an address again.
 */
const calledDead = remember(
  (gatewayNodes: ControllerView['gatewayNodes'], nodes: ControllerView['nodes']) => {
    const dead = new Map<string, number>();
    for (const report of gatewayNodes.values())
      if (nodes.has(report.name))
        for (const it of report.dead) dead.set(it.gateway, Math.max(it.session, dead.get(it.gateway) ?? 0));
    return dead;
  },
);

function sessionOf({ gatewayNodes }: ControllerView, gateway: string): number {
  return gatewayNodes.get(gateway)?.session ?? 0;
}

/**
 * The session under which a gateway may be given addresses: its Lease is held and renewed, its agent says that the voters
 * granted it, and nobody called it dead. Only such sessions are ever named in an assignment.
 */
export function liveSession(view: ControllerView, gateway: string): number | undefined {
  const session = leasedSession(view.sessions, gateway);
  if (session === undefined || view.silent.has(gateway) || sessionOf(view, gateway) !== session)
    return undefined;
  return isDead(view, { gateway, session }) ? undefined : session;
}

export function statementOn(
  view: ControllerView,
  gateway: string,
  address: Address,
): AddressStatement | undefined {
  const said = statementIndex(view.gatewayNodes).on(address);
  return said.find((it) => it.gateway === gateway)?.statement;
}

export function proofsFor(address: Address, view: ControllerView): SessionProofs {
  return {
    isDead: (session) => isDead(view, session),
    hasReleased: ({ gateway, session }, epoch) => {
      const statement = statementOn(view, gateway, address);
      return (
        statement !== undefined &&
        statement.state !== 'Answering' &&
        statement.session === session &&
        statement.epoch >= epoch
      );
    },
    statedAbove: (standing) => statedAbove(standing, statementIndex(view.gatewayNodes).on(standing.address)),
  };
}

export interface Answerer extends SessionRef {
  readonly right: Right;
}

/**
 * Whoever states `Answering` by the highest right under a session that is not proven dead. What a gateway that is not
 * heard of any more stated last is no word about now.
 */
export function answererOf(egressIp: EgressIp, view: ControllerView): Answerer | undefined {
  let best: Answerer | undefined;
  for (const { gateway, statement } of statementIndex(view.gatewayNodes).on(egressIp.address)) {
    if (statement.state !== 'Answering') continue;
    const { session, epoch, index } = statement;
    if (view.silent.has(gateway) || isDead(view, { gateway, session })) continue;
    if (!isPossibleEpoch(epoch, egressIp.epoch)) continue;
    const right = { epoch, index };
    if (best === undefined || compareRights(right, best.right) > 0) best = { gateway, session, right };
  }
  return best;
}

/** Somebody of the assignment that stands states that its kernel answers: its first, or a standby that took over. */
export function isAnnounced(egressIp: EgressIp, view: ControllerView): boolean {
  return answererOf(egressIp, view)?.right.epoch === egressIp.epoch;
}
