/**
 * Decides which policies are served. One is when it parses, breaks no rule that the controller holds by itself, and
 * does not want addresses of an older one. Nothing is handed on by that alone: claims.ts waits until no EgressIP names
 * the policy that had the addresses before.
 *
 * What a policy is by itself is judged at any time. What the cluster is may change under a policy that is served: a node
 * that gets an address of its pool does not end it. Entries that are served stay, and the status says what is wrong;
 * entries that are not served yet are held back.
 *
 * Leaves routability to placement (a pool that no gateway can host has no gateway) and the rest of the rules to
 * admission: what was refused there for being unwise may have been put past it on purpose.
 */
import { rangeContains } from '../../../policy/cidr.ts';
import type { Policy, PoolEntry, Violation, ViolationCode } from '../../../policy/model.ts';
import { type Acceptance, acceptPolicies } from '../../../policy/precedence.ts';
import type { EgressIp } from '../egressIp.ts';
import { namings } from './claims.ts';
import type { ControllerView } from './controllerView.ts';
import { storedRules } from './storedRules.ts';

export type Verdict =
  | {
      readonly kind: 'accepted';
      /** Without the entries that are held back. */
      readonly policy: Policy;
      /** What else in the cluster has addresses of the pools, one sentence each. */
      readonly contested: readonly string[];
    }
  | { readonly kind: 'invalid'; readonly message: string }
  | { readonly kind: 'conflicting'; readonly message: string };

/** Of the policy alone: pools that can never be served. */
const OWN_CODES: ReadonlySet<ViolationCode> = new Set(['special-use', 'pool-overlap-self', 'pool-too-large']);
/** Of the cluster: pools that would take an address which the cluster itself needs. */
const CLUSTER_CODES: ReadonlySet<ViolationCode> = new Set([
  'pool-node-address',
  'pool-cluster-network',
  'pool-router-address',
  'pool-edge-address',
]);

/** Policy uid → verdict, oldest first among those accepted; a policy that is being deleted has none. */
export function decideAcceptance(view: ControllerView): ReadonlyMap<string, Verdict> {
  const verdicts = new Map<string, Verdict>();
  const judge = storedRules(view);
  const served = servedBy(view);
  const sound = new Map<Policy, Verdict>();
  for (const { uid, deleting, parsed } of view.policies) {
    if (deleting) continue;
    if (parsed.kind === 'refused') verdicts.set(uid, { kind: 'invalid', message: sentences(parsed.error) });
    else {
      const verdict = judgeCandidate(parsed.value, judge(parsed.value), served.get(uid) ?? []);
      if (verdict.kind === 'accepted') sound.set(parsed.value, verdict);
      else verdicts.set(uid, verdict);
    }
  }
  const { accepted, conflicts } = acceptOnce([...sound.keys()]);
  for (const policy of accepted) {
    const verdict = sound.get(policy);
    if (verdict !== undefined) verdicts.set(policy.ref.uid, verdict);
  }
  for (const [uid, { message }] of conflicts) verdicts.set(uid, { kind: 'conflicting', message });
  return verdicts;
}

/** The newest answer and the policies that it is about: most events change none of them. */
let newest: { readonly candidates: readonly Policy[]; readonly acceptance: Acceptance } = {
  candidates: [],
  acceptance: acceptPolicies([]),
};

/** Remembers, which changes no answer: a hundred thousand pool entries are compared only when one of them is new. */
function acceptOnce(candidates: readonly Policy[]): Acceptance {
  const same =
    candidates.length === newest.candidates.length &&
    candidates.every((policy, at) => policy === newest.candidates[at]);
  if (!same) newest = { candidates, acceptance: acceptPolicies(candidates) };
  return newest.acceptance;
}

function judgeCandidate(
  policy: Policy,
  violations: readonly Violation[],
  served: readonly EgressIp[],
): Verdict {
  const own = violations.filter(({ code }) => OWN_CODES.has(code));
  if (own.length > 0) return { kind: 'invalid', message: sentences(own) };
  const contested = violations.filter(({ code }) => CLUSTER_CODES.has(code));
  if (contested.length === 0) return { kind: 'accepted', policy, contested: [] };
  const isServed = ({ range }: PoolEntry): boolean =>
    served.some(({ address }) => rangeContains(range, address));
  const paths = new Set(contested.map(({ path }) => path));
  const pools = policy.pools.filter((entry) => isServed(entry) || !paths.has(entry.path));
  if (served.length === 0 || pools.length === 0) return { kind: 'invalid', message: sentences(contested) };
  return {
    kind: 'accepted',
    policy: pools.length === policy.pools.length ? policy : { ...policy, pools },
    contested: contested.map(sentence),
  };
}

/** Policy uid → the EgressIPs that name it, and by which it is programmed. */
function servedBy(view: ControllerView): ReadonlyMap<string, readonly EgressIp[]> {
  const served = new Map<string, EgressIp[]>();
  for (const egressIp of namings(view))
    for (const { uid } of egressIp.policies) {
      const list = served.get(uid);
      if (list === undefined) served.set(uid, [egressIp]);
      else list.push(egressIp);
    }
  return served;
}

function sentences(violations: readonly Violation[]): string {
  return violations.map(sentence).join('; ');
}

function sentence({ path, message }: Violation): string {
  return `${path}: ${message}`;
}
