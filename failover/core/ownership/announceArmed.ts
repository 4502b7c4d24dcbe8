/**
 * Tells of what the kernel answers for, confirmed: the sources whenever it changes, the hosts on the uplink when an address
 * is answered that was not, and now and then although nothing changed. That last word is for a host that was told wrong:
 * the last announcement was lost, or a machine that thawed announced what it had held before it froze, after the new
 * holder's had come. Such a host would err until its own cache runs out, on Linux 15 to 45 s.
 */
import type { AddressState } from './addresses.ts';
import { becomeHolding, isAnnounced } from './holdings.ts';
import type { Holding, Right } from './messages.ts';
import type { OwnershipEffect, OwnershipState, OwnershipStep } from './ownershipState.ts';

/** One frame for each address in so long: 1,400 addresses on one gateway are 140 a second. */
export const REFRESH_MS = 10_000;

export function announceArmed(before: OwnershipState, after: OwnershipState, nowMs: number): OwnershipStep {
  // While the session had lapsed the kernel was silent, announcements included.
  const revived = !before.wasValid && after.wasValid;
  if (revived || before.addresses !== after.addresses || before.assignments !== after.assignments)
    return announceNews(revived ? [] : holdingsOf(before), after, nowMs);
  if (after.refreshMs === undefined || nowMs < after.refreshMs) return { state: after, effects: [] };
  const held = after.wasValid ? holdingsOf(after) : [];
  return {
    state: { ...after, refreshMs: held.length === 0 ? undefined : nowMs + REFRESH_MS },
    effects: held.map(({ address }) => ({ kind: 'refresh', address })),
  };
}

function announceNews(before: readonly Holding[], state: OwnershipState, nowMs: number): OwnershipStep {
  const holdings = holdingsOf(state);
  const held = new Set(before.map(({ address }) => address));
  const effects = holdings
    .filter(({ address }) => !held.has(address))
    .map(({ address }): OwnershipEffect => ({ kind: 'announce', address }));
  // A later news does not put off the refreshing of the others.
  const refreshMs = holdings.length === 0 ? undefined : (state.refreshMs ?? nowMs + REFRESH_MS);
  const refreshing = refreshMs === state.refreshMs ? state : { ...state, refreshMs };
  if (isAnnounced(state.announcing, holdings)) return { state: refreshing, effects };
  const announcing = becomeHolding(state.announcing, {
    session: state.peer?.session ?? 0,
    holdings,
    nowMs,
  });
  return { state: { ...refreshing, announcing }, effects };
}

/** What this node's kernel answers for, confirmed. */
export function holdingsOf({
  addresses,
  assignments,
  peer,
}: Pick<OwnershipState, 'addresses' | 'assignments' | 'peer'>): readonly Holding[] {
  if (peer === undefined) return [];
  return [...addresses].flatMap(([address, state]) => {
    const right = rightOf(state);
    const blocksVersion = assignments.get(address)?.blocksVersion ?? 0;
    return right === undefined ? [] : [{ address, right, blocksVersion }];
  });
}

export function rightOf(address: AddressState | undefined): Right | undefined {
  return address?.kernel.kind === 'armed' ? address.kernel.right : undefined;
}
