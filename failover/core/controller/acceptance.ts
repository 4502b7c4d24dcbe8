/**
 * Decides which policies are served. One is when it parses, breaks no rule that the controller holds by itself, and
 * does not want addresses of an older one. Nothing is handed on by that alone: claims.ts waits until no EgressIP names
 * the policy that had the addresses before.
 *
 * Leaves routability to placement (a pool that no gateway can host has no gateway) and the rest of the rules to
 * admission: what was refused there for being unwise may have been put past it on purpose.
 */
import { UNKNOWN_FACTS } from '../../../policy/facts.ts';
import type { ClusterFacts, NodeFacts, Policy, ViolationCode } from '../../../policy/model.ts';
import { acceptPolicies } from '../../../policy/precedence.ts';
import { checkPolicy } from '../../../policy/rules.ts';
import type { ControllerView, PolicyObject } from './controllerView.ts';

export type Verdict =
  | { readonly kind: 'accepted'; readonly policy: Policy }
  | { readonly kind: 'invalid'; readonly message: string }
  | { readonly kind: 'conflicting'; readonly message: string };

/** Pools that would take an address which the cluster itself needs, or none that can be served. */
const HELD_CODES: ReadonlySet<ViolationCode> = new Set([
  'special-use',
  'pool-overlap-self',
  'pool-node-address',
]);

/** Policy uid → verdict, oldest first among those accepted; a policy that is being deleted has none. */
export function decideAcceptance(view: ControllerView): ReadonlyMap<string, Verdict> {
  const verdicts = new Map<string, Verdict>();
  const candidates: Policy[] = [];
  for (const object of view.policies) {
    if (object.deleting) continue;
    const policy = read(object, view.nodes);
    if (typeof policy === 'string') verdicts.set(object.uid, { kind: 'invalid', message: policy });
    else candidates.push(policy);
  }
  const { accepted, conflicts } = acceptPolicies(candidates);
  for (const policy of accepted) verdicts.set(policy.ref.uid, { kind: 'accepted', policy });
  for (const [uid, { message }] of conflicts) verdicts.set(uid, { kind: 'conflicting', message });
  return verdicts;
}

/** The policy, or everything that is wrong with it. */
function read({ parsed }: PolicyObject, nodes: ReadonlyMap<string, NodeFacts>): Policy | string {
  if (parsed.kind === 'refused')
    return parsed.error.map(({ path, message }) => `${path}: ${message}`).join('; ');
  const facts: ClusterFacts = { ...UNKNOWN_FACTS, nodes: [...nodes.values()] };
  const broken = checkPolicy(parsed.value, facts).filter(({ code }) => HELD_CODES.has(code));
  return broken.length === 0
    ? parsed.value
    : broken.map(({ path, message }) => `${path}: ${message}`).join('; ');
}
