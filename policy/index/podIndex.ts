/**
 * Running pods, by what selectors ask for. Pods of one namespace with the same labels are one group: a workload of a
 * thousand pods is matched once, and its labels are kept once. Follows pods as they come and go.
 */
import type { PodFacts } from '../facts.ts';
import type { LabelSelector, WorkloadSelector } from '../model.ts';
import { type Labels, matchesSelector } from '../selector.ts';
import type { NodeIndex } from './nodeIndex.ts';

export interface PodGroup {
  readonly namespace: string;
  readonly labels: Labels;
  /** Node → how many of its pods are in the group. */
  readonly nodes: ReadonlyMap<string, number>;
}

interface Group extends PodGroup {
  readonly key: string;
  readonly nodes: Map<string, number>;
}

/** Counts down the comparisons that one review may make for a warning; what is beyond is not looked at. */
export interface Budget {
  left: number;
}

export class PodIndex {
  readonly #nodes: NodeIndex;
  readonly #groups = new Map<string, Group>();
  /** `key=value` → groups with that label. */
  readonly #byLabel = new Map<string, Group[]>();
  readonly #namespaces = new Map<string, Labels>();

  constructor(nodes: NodeIndex) {
    this.#nodes = nodes;
  }

  setNamespace(name: string, labels: Labels | undefined): void {
    if (labels === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, labels);
  }

  namespaceLabels(name: string): Labels {
    return this.#namespaces.get(name) ?? {};
  }

  get groupCount(): number {
    return this.#groups.size;
  }

  /** The labels that the group keeps: whoever holds on to a pod holds on to these. */
  add({ namespace, labels, node }: PodFacts): Labels {
    const key = groupKey(namespace, labels);
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { key, namespace, labels, nodes: new Map() };
      this.#groups.set(key, group);
      for (const label of labelTexts(labels)) {
        const groups = this.#byLabel.get(label);
        if (groups === undefined) this.#byLabel.set(label, [group]);
        else groups.push(group);
      }
    }
    group.nodes.set(node, (group.nodes.get(node) ?? 0) + 1);
    return group.labels;
  }

  remove({ namespace, labels, node }: PodFacts): void {
    const group = this.#groups.get(groupKey(namespace, labels));
    const count = group?.nodes.get(node);
    if (group === undefined || count === undefined) return;
    if (count > 1) group.nodes.set(node, count - 1);
    else group.nodes.delete(node);
    if (group.nodes.size > 0) return;
    this.#groups.delete(group.key);
    for (const label of labelTexts(labels)) {
      const rest = this.#byLabel.get(label)?.filter((it) => it !== group) ?? [];
      if (rest.length === 0) this.#byLabel.delete(label);
      else this.#byLabel.set(label, rest);
    }
  }

  /** Groups with a pod that one of the selectors selects, each once. A visitor that returns false ends the walk. */
  visitSelected(
    selectors: readonly WorkloadSelector[],
    budget: Budget,
    visit: (group: PodGroup) => boolean,
  ): void {
    const seen = new Set<Group>();
    for (const selector of selectors)
      for (const group of this.#candidates(selector.pods)) {
        if (seen.has(group)) continue;
        budget.left -= 1;
        if (budget.left < 0) return;
        if (!this.selects(selector, group)) continue;
        seen.add(group);
        if (!visit(group)) return;
      }
  }

  /** Whether the selector selects some pod of the group. */
  selects(selector: WorkloadSelector, group: PodGroup): boolean {
    return this.matchesGroup(selector, group) && this.nodesOf(selector, group).next().done !== true;
  }

  /** Nodes with a pod of a group that the selector is about. */
  *nodesOf({ nodes }: WorkloadSelector, group: PodGroup): Generator<string> {
    for (const name of group.nodes.keys())
      if (nodes === undefined || matchesSelector(nodes, this.#nodes.nodes.get(name)?.labels ?? {}))
        yield name;
  }

  matchesGroup({ pods, namespaces }: WorkloadSelector, { namespace, labels }: PodGroup): boolean {
    return (
      matchesSelector(pods, labels) &&
      (namespaces === undefined || matchesSelector(namespaces, this.namespaceLabels(namespace)))
    );
  }

  /** A superset of the groups that a selector matches: by its rarest label, else all. */
  #candidates({ requirements }: LabelSelector): Iterable<Group> {
    let best: readonly Group[] | undefined;
    for (const { key, operator, values } of requirements) {
      if (operator !== 'In') continue;
      const found = values.flatMap((value) => this.#byLabel.get(labelText(key, value)) ?? []);
      if (best === undefined || found.length < best.length) best = found;
    }
    return best ?? this.#groups.values();
  }
}

export function labelText(key: string, value: string): string {
  return `${key}=${value}`;
}

export function labelTexts(labels: Labels): readonly string[] {
  return Object.entries(labels).map(([key, value]) => labelText(key, value));
}

function groupKey(namespace: string, labels: Labels): string {
  return `${namespace}/${labelTexts(labels).toSorted().join()}`;
}
