/**
 * Decides who owns each address: which accepted policies an EgressIP names. Agents program a policy through that list
 * alone, so two policies that conflict must never be named at once, not even on different addresses:
 *
 * - An owner that is no longer wanted goes at once.
 * - A policy is named anywhere new only when no EgressIP still names another one, past its time, that it conflicts with.
 * - An address whose owners all went names none first. While it lingers (linger.ts) who wants it next has it as it is held; once its
 *   release has begun, when that is over (nobody in order, fence empty).
 */

import { egressIpName } from '../../../policy/address.ts';
import { addressesOf } from '../../../policy/cidr.ts';
import type { Address, Policy } from '../../../policy/model.ts';
import { POLICY_ADDRESSES_MAX } from '../../../policy/parsePolicy.ts';
import { entriesConflict } from '../../../policy/precedence.ts';
import type { EgressIp } from '../egressIp.ts';
import type { ControllerView } from './controllerView.ts';
import { isLingering } from './linger.ts';

export interface Claim {
  readonly name: string;
  readonly address: Address;
  /** Oldest first; empty: the address is being released. */
  readonly owners: readonly Policy[];
  readonly current: EgressIp | undefined;
}

/**
 * One claim for each address that is wanted or has an object, by name.
 * @param policies accepted and not being deleted, oldest first
 */
export function decideClaims(policies: readonly Policy[], view: ControllerView): readonly Claim[] {
  const egressIps = new Map([...view.egressIps].map(([name, { egressIp }]) => [name, egressIp]));
  const wanted = wantedAddresses(policies);
  const blocked = blockedPolicies(policies, wanted, view);
  const claims: Claim[] = [];
  for (const [name, { address, owners }] of wanted) {
    const current = egressIps.get(name);
    const named = new Set(current?.policies.map(({ uid }) => uid));
    const staying = owners.filter(({ ref }) => named.has(ref.uid));
    const free = current === undefined || staying.length > 0 || isLingering(current) || isReleased(current);
    const joining = owners.filter(({ ref }) => free && !named.has(ref.uid) && !blocked.has(ref.uid));
    const joined = new Set([...staying, ...joining]);
    claims.push({ name, address, owners: owners.filter((it) => joined.has(it)), current });
  }
  for (const [name, current] of egressIps) {
    if (!wanted.has(name)) claims.push({ name, address: current.address, owners: [], current });
  }
  return claims
    .filter(({ owners, current }) => owners.length > 0 || current !== undefined)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Every EgressIP as it stands or, for all we know, may stand already: whoever one of them names may be programmed. */
export function namings(view: ControllerView): readonly EgressIp[] {
  return [...[...view.egressIps.values()].map(({ egressIp }) => egressIp), ...view.asked.values()];
}

/** Nobody owns it, and nobody answers or may still answer for it. */
export function isReleased({ policies, order, fence }: EgressIp): boolean {
  return policies.length === 0 && order.length === 0 && fence.length === 0;
}

/**
 * Policies that have to wait: another one is named still where its time is over. What that one holds there, and what it wants
 * today: by either they may conflict.
 */
function blockedPolicies(
  policies: readonly Policy[],
  wanted: ReadonlyMap<string, Wanted>,
  view: ControllerView,
): ReadonlySet<string> {
  const lingering = lingeringOwners(wanted, view);
  const blocked = new Set<string>();
  for (const { uid, name } of lingering)
    for (const { ref } of wanted.get(name)?.owners ?? []) if (ref.uid !== uid) blocked.add(ref.uid);
  // Most of them are no policies any more, and want nothing.
  const uids = new Set(lingering.map(({ uid }) => uid));
  for (const { uid, parsed } of view.policies) {
    if (!uids.has(uid) || parsed.kind !== 'ok') continue;
    const theirs = parsed.value.pools;
    for (const { ref, pools } of policies)
      if (ref.uid !== uid && pools.some((our) => theirs.some((it) => entriesConflict(our, it))))
        blocked.add(ref.uid);
  }
  return blocked;
}

interface Wanted {
  readonly address: Address;
  readonly owners: readonly Policy[];
}

function wantedAddresses(policies: readonly Policy[]): ReadonlyMap<string, Wanted> {
  const wanted = new Map<string, { readonly address: Address; readonly owners: Policy[] }>();
  for (const policy of policies) {
    for (const { range } of policy.pools) {
      for (const address of addressesOf(range, POLICY_ADDRESSES_MAX)) {
        const name = egressIpName(address);
        const known = wanted.get(name);
        if (known === undefined) wanted.set(name, { address, owners: [policy] });
        else known.owners.push(policy);
      }
    }
  }
  return wanted;
}

/** Owners that EgressIPs name although they are not wanted there any more. */
function lingeringOwners(
  wanted: ReadonlyMap<string, Wanted>,
  view: ControllerView,
): readonly { readonly uid: string; readonly name: string }[] {
  return namings(view).flatMap(({ name, policies }) => {
    if (policies.length === 0) return [];
    const wanting = new Set(wanted.get(name)?.owners.map(({ ref }) => ref.uid));
    return policies.filter(({ uid }) => !wanting.has(uid)).map(({ uid }) => ({ uid, name }));
  });
}
