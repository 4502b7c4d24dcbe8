/**
 * Decides what the agent states of egress IPs: what its session answers for, what it will never answer for by a right of a
 * lower epoch, and what it goes on by though the API does not show it any more.
 */
import type { EgressIp, SessionRef } from '../egressIp.ts';
import type { AddressStatement } from '../gatewayNode.ts';
import type { LostAssignment } from '../ownership/assignment.ts';
import type { Right } from '../ownership/messages.ts';
import type { OwnershipWord } from '../ownership/ownershipWord.ts';
import type { Claim } from './holders.ts';
import { lostAssignment } from './lostAssignments.ts';

/** As the wire has it: the address as text. */
export interface StatedAddress extends Omit<AddressStatement, 'address'> {
  readonly address: string;
}

interface Known {
  /** By address as text, as all of these but `confirmed`. */
  readonly egressIps: ReadonlyMap<string, EgressIp>;
  /** The same, but where an older copy stands in the API. */
  readonly newest: ReadonlyMap<string, EgressIp>;
  readonly heard: ReadonlyMap<string, readonly Claim[]>;
  readonly ownership: OwnershipWord;
  /** EgressIP name → the `blocksVersion` that the kernel forwards. */
  readonly confirmed: ReadonlyMap<string, number>;
}

/**
 * Sessions of lost assignments in one report: an object must stay far below a megabyte. What is left out is stated when the
 * controller has written the first of them anew.
 */
const LOST_SESSIONS_MAX = 8_192;

export function stateAddresses(node: string, known: Known): readonly StatedAddress[] {
  const { egressIps, newest, heard, ownership, confirmed } = known;
  const self = { gateway: node, session: ownership.session };
  const rights = new Map(ownership.holdings.map(({ address, right }) => [address, right]));
  let lostSessions = 0;
  return [...egressIps].flatMap(([address, egressIp]): readonly StatedAddress[] => {
    const lost = lostAssignment(newest.get(address) ?? egressIp, egressIp, heard.get(address) ?? []);
    // A part of it would hide the rest. The first is stated, however long it is.
    if (lost !== undefined && lostSessions > 0 && lostSessions + lost.sessions.length > LOST_SESSIONS_MAX)
      return [];
    lostSessions += lost?.sessions.length ?? 0;
    const about = {
      egressIp,
      right: rights.get(address),
      released: ownership.released.get(address),
      blocksVersion: confirmed.get(egressIp.name),
    };
    const stated = stateOwn(about, self) ?? stateLater(about, lost);
    if (stated === undefined) return [];
    return [{ address, ...stated, ...(lost === undefined ? {} : { lost }) }];
  });
}

interface About {
  readonly egressIp: EgressIp;
  readonly right: Right | undefined;
  /** The epoch of which no lower right will be used. */
  readonly released: number | undefined;
  /** That the kernel forwards. */
  readonly blocksVersion: number | undefined;
}

type Stated = Omit<StatedAddress, 'address' | 'lost'>;

/** Of addresses that name this gateway. There may be thousands of others, and each change of one would be a report. */
function stateOwn({ egressIp, right, released, blocksVersion }: About, self: SessionRef): Stated | undefined {
  const { gateway, session } = self;
  if (session === 0 || blocksVersion === undefined) return undefined;
  if (right !== undefined) return { state: 'Answering', ...right, session, blocksVersion };
  if (released === undefined) return undefined;
  const isHere = (it: SessionRef): boolean => it.gateway === gateway;
  const isFenced = egressIp.fence.some(isHere);
  if (!isFenced && !egressIp.order.some(isHere)) return undefined;
  return { state: isFenced ? 'Released' : 'Standby', epoch: released, index: 0, session, blocksVersion };
}

/**
 * Under no session, and so nothing of its own answering: that an epoch or an order stood once and does not any more. Whoever
 * remembers it tells the controller to begin above.
 */
function stateLater(
  { egressIp, released = 0, blocksVersion = 0 }: About,
  lost: LostAssignment | undefined,
): Stated | undefined {
  const epoch = Math.max(released, lost?.epoch ?? 0);
  if (lost === undefined && epoch <= egressIp.epoch) return undefined;
  return { state: 'Standby', epoch, index: 0, session: 0, blocksVersion };
}
