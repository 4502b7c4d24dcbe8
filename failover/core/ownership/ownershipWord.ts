/** What an agent states of its own answering, for the API and so for the controller and people. */
import type { SessionRef } from '../egressIp.ts';
import { SILENT } from './addresses.ts';
import { holdingsOf } from './announceArmed.ts';
import type { Holding } from './messages.ts';
import type { OwnershipState } from './ownershipState.ts';
import type { VoterConfig } from './voterConfig.ts';

/** What this node says of itself: each part confirmed by the kernel or a promise that is kept. */
export interface OwnershipWord {
  readonly session: number;
  readonly holdings: readonly Holding[];
  readonly released: ReadonlyMap<string, number>;
  readonly dead: readonly SessionRef[];
  readonly config: VoterConfig | undefined;
}

/**
 * An address that the kernel is silent for is released at the epoch of the assignment that is known here: only rights of
 * that epoch or a later one will ever be used again.
 */
export function wordOfOwnership(state: OwnershipState): OwnershipWord {
  const { peer, assignments, addresses, deaths, voter } = state;
  const session = peer !== undefined && peer.validUntilMs > 0 && !state.closing ? peer.session : 0;
  const released = new Map<string, number>();
  for (const [name, { epoch }] of assignments) {
    const address = addresses.get(name) ?? SILENT;
    if (address.kernel.kind === 'silent') released.set(name, Math.max(epoch, address.releasedEpoch));
  }
  return {
    session,
    holdings: holdingsOf(state),
    released,
    dead: [...deaths.verdicts].map(([gateway, dead]) => ({ gateway, session: dead })),
    config: voter.config,
  };
}

/** Addresses whose kernel command is under way: nothing is stated of them. */
export function changingAddresses({ addresses }: OwnershipState): ReadonlySet<string> {
  return new Set(
    [...addresses]
      .filter(([, { kernel }]) => kernel.kind === 'arming' || kernel.kind === 'disarming')
      .map(([name]) => name),
  );
}
