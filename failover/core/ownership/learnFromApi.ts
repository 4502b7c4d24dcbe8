/**
 * What the API says, taken in: orders and fences, sessions that are dead, addresses that others let go of, and the own
 * session once its Lease is won. Nothing of it is taken back by an older word.
 */
import type { SessionRef } from '../egressIp.ts';
import { type AddressState, becomeToldReleased, SILENT } from './addresses.ts';
import { type Assignment, supersedes } from './assignment.ts';
import { becomeProven } from './deaths.ts';
import type { OwnershipState, Release } from './ownershipState.ts';
import { openPeerSession } from './peerSession.ts';
import { becomeAware } from './voter.ts';

export function assign(
  state: OwnershipState,
  assignments: ReadonlyMap<string, Assignment>,
  nowMs: number,
): OwnershipState {
  const kept = new Map(
    [...assignments].map(([name, assignment]) => {
      const known = state.assignments.get(name);
      return [name, known === undefined || supersedes(assignment, known) ? assignment : known] as const;
    }),
  );
  const named = [...kept.values()].flatMap(({ order, fence }) => [...order, ...fence]);
  const voter = becomeAware(state.voter, named, nowMs);
  return { ...state, assignments: kept, addresses: rememberGone(state, kept), voter };
}

/** Of an address that is gone no older right is used again, should an older list show it once more. */
function rememberGone(
  { assignments, addresses }: OwnershipState,
  kept: ReadonlyMap<string, Assignment>,
): ReadonlyMap<string, AddressState> {
  const gone = [...assignments.values()].filter(({ address }) => !kept.has(address));
  if (gone.length === 0) return addresses;
  const next = new Map(addresses);
  for (const { address, epoch } of gone) {
    const known = next.get(address) ?? SILENT;
    next.set(address, { ...known, releasedEpoch: Math.max(epoch, known.releasedEpoch) });
  }
  return next;
}

export function absorbStatements(
  state: OwnershipState,
  { dead, released }: { readonly dead: readonly SessionRef[]; readonly released: readonly Release[] },
): OwnershipState {
  const addresses = new Map(state.addresses);
  for (const { session, address, epoch } of released)
    addresses.set(address, becomeToldReleased(addresses.get(address) ?? SILENT, session, epoch));
  return { ...state, addresses, deaths: becomeProven(state.deaths, dead) };
}

/** What is known of the addresses in the kernel is void: it was flushed. What others told stays true. */
export function open(
  state: OwnershipState,
  { session, boot, nowMs }: { readonly session: number; readonly boot: string; readonly nowMs: number },
): OwnershipState {
  const addresses = new Map(
    [...state.addresses].map(
      ([name, { released, heard }]) => [name, { ...SILENT, released, heard }] as const,
    ),
  );
  return { ...state, addresses, peer: openPeerSession(session, boot, nowMs) };
}
