/**
 * Decides for which egress IPs this gateway may answer ARP now, and what it states about the others.
 *
 * A right to answer is (epoch, first in order). It may be used once every session of the fence is gone: it is our own,
 * its gateway has opened a later session (a new agent flushes the kernel before it opens one), the gateway stated
 * `Released` at this epoch or a later one, or the controller proved it dead and took it out of the fence. Standbys do
 * not take over by themselves yet: that needs a majority that declares the holder dead without the API.
 */
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { AddressStatement, GatewayNode } from '../gatewayNode.ts';

export interface AnsweringView {
  readonly node: string;
  /** Our open session; undefined: nothing may be answered. */
  readonly session: number | undefined;
  readonly egressIps: readonly EgressIp[];
  readonly gatewayNodes: ReadonlyMap<string, GatewayNode>;
}

/** Names of the egress IPs that this gateway may answer for → the epoch of that right. */
export function decideAnswering(view: AnsweringView): ReadonlyMap<string, number> {
  const rights = new Map<string, number>();
  const { node, session } = view;
  if (session === undefined) return rights;
  for (const egressIp of view.egressIps) {
    const first = egressIp.order[0];
    if (first?.gateway !== node || first.session !== session) continue;
    const open = egressIp.fence.every((entry) =>
      isGone(entry, egressIp, { node, session }, view.gatewayNodes),
    );
    if (open) rights.set(egressIp.name, egressIp.epoch);
  }
  return rights;
}

function isGone(
  entry: SessionRef,
  egressIp: EgressIp,
  self: { readonly node: string; readonly session: number },
  gatewayNodes: ReadonlyMap<string, GatewayNode>,
): boolean {
  if (entry.gateway === self.node) return entry.session <= self.session;
  const gateway = gatewayNodes.get(entry.gateway);
  if (gateway === undefined) return false;
  if (gateway.session > entry.session) return true;
  const statement = statementOf(gateway, egressIp);
  return (
    statement !== undefined &&
    statement.state !== 'Answering' &&
    statement.session >= entry.session &&
    statement.epoch >= egressIp.epoch
  );
}

/** What `gateway` last said of the address. */
export function statementOf(gateway: GatewayNode, egressIp: EgressIp): AddressStatement | undefined {
  const { family, value } = egressIp.address;
  return gateway.addresses.find((it) => it.address.value === value && it.address.family === family);
}

/**
 * The node that sources should send to: whoever stated `Answering` at the highest epoch. The old holder stays the target
 * until the new one has said so, because it goes on forwarding. Only sessions that the assignment still names count: what
 * a gateway said before it died stays in its report until its next life. Nobody when the assignment itself is empty.
 */
export function decideHolder(
  egressIp: EgressIp,
  gatewayNodes: Iterable<GatewayNode>,
): { readonly node: string; readonly statement: AddressStatement } | undefined {
  if (egressIp.order.length === 0) return undefined;
  const named = [...egressIp.order, ...egressIp.fence];
  let best: { readonly node: string; readonly statement: AddressStatement } | undefined;
  for (const gatewayNode of gatewayNodes) {
    const node = gatewayNode.name;
    const statement = statementOf(gatewayNode, egressIp);
    if (statement?.state !== 'Answering') continue;
    if (!named.some(({ gateway, session }) => gateway === node && session === statement.session)) continue;
    if (best === undefined || statement.epoch > best.statement.epoch) best = { node, statement };
  }
  return best;
}
