/** One text for all selectors that say the same thing: order and repetition mean nothing in them. */
import type { LabelSelector, WorkloadSelector } from './model.ts';

export function selectorKey({ requirements }: LabelSelector): string {
  const texts = requirements.map(({ key, operator, values }) =>
    JSON.stringify([key, operator, ...new Set(values.toSorted())]),
  );
  return [...new Set(texts)].toSorted().join();
}

/** Of a whole list of selectors, which are ORed. */
export function workloadKey(selectors: readonly WorkloadSelector[]): string {
  const texts = selectors.map(({ pods, namespaces, nodes }) =>
    JSON.stringify([pods, namespaces, nodes].map((part) => (part === undefined ? '' : selectorKey(part)))),
  );
  return [...new Set(texts)].toSorted().join();
}

/** Whether every pod in the cluster is meant. */
export function selectsAllPods({ pods, namespaces, nodes }: WorkloadSelector): boolean {
  return [pods, namespaces, nodes].every((part) => part === undefined || part.requirements.length === 0);
}
