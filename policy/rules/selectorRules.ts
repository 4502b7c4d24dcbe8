/**
 * Rules on which pods are meant. Precedence between policies that select one pod is by longest destination prefix, then
 * older, then uid: two that have the same prefix are told apart only by their age, which is seldom meant.
 */
import { formatCidr } from '../cidr.ts';
import type { FactIndex } from '../index/factIndex.ts';
import type { Budget, PodGroup } from '../index/podIndex.ts';
import type { Cidr, Policy, Violation } from '../model.ts';
import { selectsAllPods } from '../selectorKey.ts';
import { Prefixes } from './prefixes.ts';
import { deny, describePolicy, isSamePolicy, NAMED_MAX, type Rule, warn } from './ruleContext.ts';

/** Comparisons for one review: about a millisecond. What is beyond is not looked at, since it would only be a warning. */
const COMPARISONS_MAX = 4000;

const selectorAt = (index: number) => ({ path: `spec.selectors[${index}]` });
const DESTINATIONS = { path: 'spec.destinationCIDRs' };

export const checkSelectorEmpty: Rule = ({ selectors }) =>
  selectors.flatMap((selector, at) =>
    selectsAllPods(selector)
      ? [
          warn(
            'selector-empty',
            selectorAt(at),
            'it selects every pod of the cluster; add labels if that is not meant',
          ),
        ]
      : [],
  );

export const checkAmbiguous: Rule = (policy, { index }) => {
  const prefixes = new Prefixes(policy.destinations);
  const same = [...index.policies.withSelectorsOf(policy)].filter((it) => !isSamePolicy(it, policy));
  const denials = same.flatMap((other) => sameSelectors(other, prefixes)).slice(0, NAMED_MAX);
  if (!index.knows('pods', 'namespaces', 'nodes')) return denials;
  return [...denials, ...samePods(policy, { index, prefixes, told: new Set(same) })];
};

function sameSelectors(other: Policy, prefixes: Prefixes): readonly Violation[] {
  const shared = prefixes.firstIn(other.destinations);
  if (shared === undefined) return [];
  const message = `${formatCidr(shared)} is a destination of ${describePolicy(other)} too, which has the same selectors, so one of both has no effect on it; use other selectors or another prefix`;
  return [deny('policy-ambiguous', DESTINATIONS, message)];
}

interface Search {
  readonly index: FactIndex;
  readonly prefixes: Prefixes;
  /** Policies about which everything was said, or is known to be nothing. */
  readonly told: Set<Policy>;
}

function samePods(policy: Policy, search: Search): readonly Violation[] {
  const { index } = search;
  const budget: Budget = { left: COMPARISONS_MAX };
  const found: Violation[] = [];
  index.pods.visitSelected(policy.selectors, budget, (group) => {
    for (const other of index.policies.mightSelect(
      group.labels,
      index.pods.namespaceLabels(group.namespace),
    )) {
      budget.left -= 1;
      if (budget.left < 0) return false;
      if (search.told.has(other) || isSamePolicy(other, policy)) continue;
      if (found.length >= NAMED_MAX) return false;
      const shared = search.prefixes.firstIn(other.destinations);
      if (shared === undefined) search.told.add(other);
      else if (shareNode(policy, other, { group, index, budget })) {
        search.told.add(other);
        found.push(ambiguousPods(group, other, shared));
      }
    }
    return true;
  });
  return found;
}

function ambiguousPods({ namespace }: PodGroup, other: Policy, shared: Cidr): Violation {
  const message = `pods in ${namespace} have ${formatCidr(shared)} from ${describePolicy(other)} too; the older wins`;
  return warn('policy-ambiguous', DESTINATIONS, message);
}

/** Whether a pod of the group is selected by both: pods of a group differ in their nodes only. */
function shareNode(
  a: Policy,
  b: Policy,
  {
    group,
    index: { pods },
    budget,
  }: { readonly group: PodGroup; readonly index: FactIndex; readonly budget: Budget },
): boolean {
  budget.left -= group.nodes.size;
  const nodesOf = ({ selectors }: Policy): Set<string> =>
    new Set(
      selectors
        .filter((selector) => pods.matchesGroup(selector, group))
        .flatMap((selector) => [...pods.nodesOf(selector, group)]),
    );
  const theirs = nodesOf(b);
  return [...nodesOf(a)].some((node) => theirs.has(node));
}
