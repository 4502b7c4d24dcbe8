import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeFacts, PodFacts } from '../facts.ts';
import type { LabelRequirement, LabelSelector, Policy, WorkloadSelector } from '../model.ts';
import { matchesSelector } from '../selector.ts';
import { NodeIndex } from './nodeIndex.ts';
import { PodIndex } from './podIndex.ts';
import { PolicyIndex } from './policyIndex.ts';

const NODES = ['n1', 'n2'];
const nodeLabels: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  n1: { a: '1' },
  n2: { a: '2' },
};
const namespaceLabels: Readonly<Record<string, Readonly<Record<string, string>>>> = { x: { a: '1' }, y: {} };

const labels = fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), fc.constantFrom('1', '2', ''), {
  maxKeys: 2,
});
const pod = fc.record({
  namespace: fc.constantFrom('x', 'y', 'unknown'),
  labels,
  node: fc.constantFrom(...NODES),
});
const requirement: fc.Arbitrary<LabelRequirement> = fc.record({
  key: fc.constantFrom('a', 'b'),
  operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
  values: fc.array(fc.constantFrom('1', '2', ''), { minLength: 1, maxLength: 2 }),
});
const selector: fc.Arbitrary<LabelSelector> = fc.record({
  requirements: fc.array(requirement, { maxLength: 2 }),
});
const workload: fc.Arbitrary<WorkloadSelector> = fc.record(
  { pods: selector, namespaces: selector, nodes: selector },
  { requiredKeys: ['pods'] },
);

function createNodes(): NodeIndex {
  const nodes = new NodeIndex();
  for (const name of NODES)
    nodes.setNode(name, { name, labels: nodeLabels[name] ?? {}, addresses: [] } as unknown as NodeFacts);
  return nodes;
}

function createIndex(pods: readonly PodFacts[]): PodIndex {
  const index = new PodIndex(createNodes());
  for (const [name, it] of Object.entries(namespaceLabels)) index.setNamespace(name, it);
  for (const it of pods) index.add(it);
  return index;
}

/** The dumb twin: each pod by itself. */
function selects({ pods, namespaces, nodes }: WorkloadSelector, it: PodFacts): boolean {
  return (
    matchesSelector(pods, it.labels) &&
    (namespaces === undefined || matchesSelector(namespaces, namespaceLabels[it.namespace] ?? {})) &&
    (nodes === undefined || matchesSelector(nodes, nodeLabels[it.node] ?? {}))
  );
}

const textOf = (namespace: string, it: object): string =>
  `${namespace} ${JSON.stringify(Object.entries(it).toSorted())}`;

test('the groups that selectors find are those of the pods that each selector selects by itself', () => {
  fc.assert(
    fc.property(
      fc.array(pod, { maxLength: 12 }),
      fc.array(fc.nat(), { maxLength: 6 }),
      fc.array(workload, { minLength: 1, maxLength: 3 }),
      (pods, leaving, selectors) => {
        const index = createIndex(pods);
        const left = [...pods];
        for (const at of leaving) {
          const [gone] = left.splice(at % Math.max(1, left.length), 1);
          if (gone !== undefined) index.remove({ ...gone, labels: { ...gone.labels } });
        }
        const found: string[] = [];
        index.visitSelected(selectors, { left: 1000 }, (group) => {
          return found.push(textOf(group.namespace, group.labels)) > 0;
        });
        const expected = left
          .filter((it) => selectors.some((one) => selects(one, it)))
          .map((it) => textOf(it.namespace, it.labels));
        expect(found.toSorted()).toEqual([...new Set(expected)].toSorted());
        expect(index.groupCount).toBe(new Set(left.map((it) => textOf(it.namespace, it.labels))).size);
      },
    ),
  );
});

test('no policy that selects a pod is missed by its labels and its namespace', () => {
  fc.assert(
    fc.property(
      pod,
      fc.array(fc.array(workload, { minLength: 1, maxLength: 2 }), { maxLength: 6 }),
      (it, drawn) => {
        const policies = drawn.map(
          (selectors, at) => ({ selectors, pools: [], ref: { uid: `${at}` } }) as unknown as Policy,
        );
        const index = new PolicyIndex();
        for (const policy of policies) index.add(policy);
        const might = new Set(index.mightSelect(it.labels, namespaceLabels[it.namespace] ?? {}));
        for (const policy of policies)
          if (policy.selectors.some((one) => selects(one, it))) expect(might.has(policy)).toBe(true);
        for (const policy of policies) index.remove(policy);
        expect([...index.mightSelect(it.labels, namespaceLabels[it.namespace] ?? {})]).toEqual([]);
      },
    ),
  );
});

test('a search ends where its budget does', () => {
  const pods = Array.from({ length: 50 }, (_, at) => ({
    namespace: 'x',
    labels: { a: `${at}` },
    node: 'n1',
  }));
  const index = createIndex(pods);
  let visited = 0;
  const everything = [{ pods: { requirements: [] } }];
  index.visitSelected(everything, { left: 7 }, () => {
    visited += 1;
    return true;
  });
  expect(visited).toBe(7);
});
