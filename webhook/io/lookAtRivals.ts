/** Reads policies from the API server itself, before a denial rests on them. Bounded by the client's own deadline. */
import type { KubeClient } from '../../kube/kubeClient.ts';
import type { Policy, PolicyRef } from '../../policy/model.ts';
import { CILIUM_EGRESS_GATEWAY_POLICY, collectionPath, EGRESS_POLICY } from '../../policy/names.ts';
import { parsePolicy } from '../../policy/parsePolicy.ts';
import {
  type Decision,
  decideAdmission,
  policyOf,
  type ReviewRequest,
  type Snapshot,
} from '../core/review.ts';
import { decideBySight, rivalsOf, type Sightings } from '../core/rivals.ts';

/** Of the time that an API server gives a review, this much may go by until a denial stands on what the caches say. */
export const LOOK_DEADLINE_MS = 1000;

export type LookAtRivals = (rivals: readonly PolicyRef[]) => Promise<Sightings>;

const KINDS = {
  CiliumEgressGatewayPolicy: CILIUM_EGRESS_GATEWAY_POLICY,
  EgressPolicy: EGRESS_POLICY,
} as const;

/** @param client one with a deadline of LOOK_DEADLINE_MS */
export function createLookAtRivals(client: KubeClient): LookAtRivals {
  return async (rivals) => {
    const looks = rivals.map(async (ref) => [ref, await look(client, ref)] as const);
    const seen = await Promise.all(looks);
    return new Map(seen.flatMap(([ref, found]) => (found === undefined ? [] : [[ref, found] as const])));
  };
}

/** Undefined where the API server did not say: then the caches are the best there is. */
async function look(client: KubeClient, { kind, name }: PolicyRef): Promise<Policy | 'gone' | undefined> {
  const outcome = await client.get(`${collectionPath(KINDS[kind])}/${name}`);
  if (outcome.kind !== 'ok') return outcome.error.code === 'not-found' ? 'gone' : undefined;
  const parsed = parsePolicy(outcome.value, kind);
  // What does not parse is programmed nowhere, and what is being deleted makes room by itself.
  return parsed.kind === 'ok' && !parsed.value.deleting ? parsed.value : 'gone';
}

/** A denial that rests on other policies stands only where they are still there, as far as that could be seen. */
export async function decideOnSight(
  request: ReviewRequest,
  snapshot: Snapshot,
  lookAtRivals: LookAtRivals | undefined,
): Promise<Decision> {
  const { index } = snapshot;
  const decision = decideAdmission(request, snapshot);
  const changesBefore = index.changes;
  const policy = decision.allowed ? undefined : policyOf(request);
  const rivals = policy === undefined ? [] : rivalsOf(policy, index);
  if (rivals.length === 0 || lookAtRivals === undefined) return decision;
  const sightings = await lookAtRivals(rivals.map(({ ref }) => ref));
  const decide = (): Decision => decideAdmission(request, snapshot);
  const bySight = decideBySight(index, { rivals, sightings }, decide);
  if (bySight !== undefined) return bySight;
  // Nothing was seen that is new, but the index may have gone on by itself meanwhile.
  return index.changes === changesBefore ? decision : decide();
}
