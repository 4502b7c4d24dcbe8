/**
 * Stored policies by what reviews ask for: overlapping pools, the same selectors, and who might select a pod. Follows
 * policies as they come and go.
 */
import { type ConflictIndex, createConflictIndex } from '../conflictIndex.ts';
import type { Policy, WorkloadSelector } from '../model.ts';
import type { Labels } from '../selector.ts';
import { workloadKey } from '../selectorKey.ts';
import { labelText, labelTexts } from './podIndex.ts';

/** Where a selector that asks for no label value is looked for. */
const ANYWHERE = '';

export class PolicyIndex {
  readonly #pools = createConflictIndex([]);
  readonly #bySelectors = new Map<string, Set<Policy>>();
  /** A label that each of its pods must have → policies; `ANYWHERE`: those that ask for none. */
  readonly #byAnchor = new Map<string, Set<Policy>>();

  get pools(): ConflictIndex {
    return this.#pools;
  }

  add(policy: Policy): void {
    this.#pools.add(policy);
    insert(this.#bySelectors, workloadKey(policy.selectors), policy);
    for (const anchor of anchorsOf(policy)) insert(this.#byAnchor, anchor, policy);
  }

  remove(policy: Policy): void {
    this.#pools.remove(policy);
    withdraw(this.#bySelectors, workloadKey(policy.selectors), policy);
    for (const anchor of anchorsOf(policy)) withdraw(this.#byAnchor, anchor, policy);
  }

  withSelectorsOf({ selectors }: Policy): Iterable<Policy> {
    return this.#bySelectors.get(workloadKey(selectors)) ?? [];
  }

  /** A superset of the policies that select a pod with these labels; some may come twice. */
  *mightSelect(pod: Labels, namespace: Labels): Generator<Policy> {
    for (const label of labelTexts(pod)) yield* this.#byAnchor.get(podAnchor(label)) ?? [];
    for (const label of labelTexts(namespace)) yield* this.#byAnchor.get(namespaceAnchor(label)) ?? [];
    yield* this.#byAnchor.get(ANYWHERE) ?? [];
  }
}

/** Labels of which a pod, or its namespace, must have one to be selected by the policy. */
function anchorsOf({ selectors }: Policy): ReadonlySet<string> {
  return new Set(selectors.flatMap(anchorsOfSelector));
}

function anchorsOfSelector({ pods, namespaces }: WorkloadSelector): readonly string[] {
  const ofPod = pods.requirements.find(({ operator }) => operator === 'In');
  if (ofPod !== undefined) return ofPod.values.map((value) => podAnchor(labelText(ofPod.key, value)));
  const ofNamespace = namespaces?.requirements.find(({ operator }) => operator === 'In');
  if (ofNamespace === undefined) return [ANYWHERE];
  return ofNamespace.values.map((value) => namespaceAnchor(labelText(ofNamespace.key, value)));
}

function podAnchor(label: string): string {
  return `pod ${label}`;
}

function namespaceAnchor(label: string): string {
  return `namespace ${label}`;
}

function insert(sets: Map<string, Set<Policy>>, key: string, policy: Policy): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([policy]));
  else set.add(policy);
}

function withdraw(sets: Map<string, Set<Policy>>, key: string, policy: Policy): void {
  const set = sets.get(key);
  set?.delete(policy);
  if (set?.size === 0) sets.delete(key);
}
