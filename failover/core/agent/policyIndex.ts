/**
 * The policies that could select a pod, by one label that each of their selectors asks for: a pod is held against some, not
 * against all that there are. Where a selector asks for no label that is present, every pod is held against it.
 */
import type { LabelSelector, Policy, WorkloadSelector } from '../../../policy/model.ts';
import type { Labels } from '../../../policy/selector.ts';

const EVERY_POD = '';
type Scope = 'pod' | 'namespace';

export class PolicyIndex {
  /** Label as text → uids. */
  readonly #uids = new Map<string, Set<string>>();
  readonly #labels = new Map<string, readonly string[]>();

  /** Undefined: there is none of that uid any more. */
  set(uid: string, policy: Policy | undefined): void {
    for (const label of this.#labels.get(uid) ?? []) {
      const uids = this.#uids.get(label);
      uids?.delete(uid);
      if (uids?.size === 0) this.#uids.delete(label);
    }
    this.#labels.delete(uid);
    if (policy === undefined) return;
    const labels = policy.selectors.flatMap(labelsOf);
    this.#labels.set(uid, labels);
    for (const label of labels) {
      const uids = this.#uids.get(label);
      if (uids === undefined) this.#uids.set(label, new Set([uid]));
      else uids.add(uid);
    }
  }

  /** A superset of the policies that select such a pod, sorted. */
  candidates(pod: Labels, namespace: Labels): readonly string[] {
    const found = new Set(this.#uids.get(EVERY_POD));
    for (const label of [...textsOf('pod', pod), ...textsOf('namespace', namespace)])
      for (const uid of this.#uids.get(label) ?? []) found.add(uid);
    return [...found].toSorted();
  }
}

/** One of them is on every pod that the selector selects. */
function labelsOf({ pods, namespaces }: WorkloadSelector): readonly string[] {
  return (
    labelsIn('pod', pods) ??
    (namespaces === undefined ? undefined : labelsIn('namespace', namespaces)) ?? [EVERY_POD]
  );
}

/** Of the requirement with the fewest values. */
function labelsIn(scope: Scope, { requirements }: LabelSelector): readonly string[] | undefined {
  let best: readonly string[] | undefined;
  for (const { key, operator, values } of requirements) {
    if (operator !== 'In' && operator !== 'Exists') continue;
    const labels =
      operator === 'In' ? values.map((value) => `${scope} ${key}=${value}`) : [`${scope} ${key}`];
    const better = best === undefined || labels.length < best.length;
    // That a key is there says less than that it has one of some values.
    if (better && (operator === 'In' || best === undefined)) best = labels;
  }
  return best;
}

function textsOf(scope: Scope, labels: Labels): readonly string[] {
  return Object.entries(labels).flatMap(([key, value]) => [`${scope} ${key}`, `${scope} ${key}=${value}`]);
}
