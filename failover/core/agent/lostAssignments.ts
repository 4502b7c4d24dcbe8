/**
 * Remembers of each address the newest assignment that the API ever showed to this agent, and so knows what is lost when it
 * shows an older one: etcd was restored from a snapshot.
 */
import type { EgressIp } from '../egressIp.ts';
import { type LostAssignment, supersedes } from '../ownership/assignment.ts';
import { compareRights } from '../ownership/messages.ts';
import type { Claim } from './holders.ts';

/** By address as text. */
type EgressIps = ReadonlyMap<string, EgressIp>;

/** Of an address that is gone nothing is remembered: a new object begins above whatever epoch an older one of its name had. */
export function followNewest(before: EgressIps, egressIps: EgressIps): EgressIps {
  let newest: Map<string, EgressIp> | undefined;
  for (const [address, egressIp] of egressIps) {
    const known = before.get(address);
    if (known === undefined || known === egressIp || supersedes(egressIp, known)) continue;
    newest ??= new Map(egressIps);
    newest.set(address, known);
  }
  return newest ?? egressIps;
}

/**
 * @param heard who said by datagram to answer for the address
 * @returns undefined where nothing is lost
 */
export function lostAssignment(
  newest: EgressIp,
  standing: EgressIp,
  heard: readonly Claim[],
): LostAssignment | undefined {
  if (newest === standing) return undefined;
  const { epoch, order, fence } = newest;
  // It lost standbys, or their ranks: the fence is known to all.
  if (epoch === standing.epoch) return { epoch, sessions: order };
  const holder = heard.toSorted((a, b) => compareRights(b.right, a.right)).at(0);
  if (holder === undefined || holder.right.epoch <= standing.epoch)
    return { epoch, sessions: [...order, ...fence] };
  const { node: gateway, session, right } = holder;
  return { epoch: Math.max(epoch, right.epoch), sessions: [{ gateway, session }, ...order, ...fence] };
}
