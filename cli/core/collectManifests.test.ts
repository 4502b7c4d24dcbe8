import { expect, test } from 'vitest';
import { collectManifests } from './collectManifests.ts';
import { readDocuments } from './sourceDocument.ts';

function collect(text: string) {
  const read = readDocuments(text);
  if (read.kind === 'refused') throw new Error(JSON.stringify(read.error));
  return collectManifests([{ name: 'f.yaml', documents: read.value }]);
}

const policy = (kind: string, apiVersion: string, name = 'p') =>
  `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: ${name}}\n`;
const indented = (text: string): string => text.trimEnd().replaceAll('\n', '\n  ');

test('policies of both kinds are found among others, which are counted', () => {
  const text = [
    policy('EgressPolicy', 'sallyport.dev/v1alpha1', 'a'),
    policy('ConfigMap', 'v1'),
    policy('CiliumEgressGatewayPolicy', 'cilium.io/v1alpha1', 'b'),
    'just text\n',
  ].join('---\n');
  const { manifests, documents, ignored } = collect(text);
  expect(manifests.map(({ judgedAs, name, document }) => [judgedAs, name, document])).toEqual([
    ['EgressPolicy', 'a', 1],
    ['CiliumEgressGatewayPolicy', 'b', 3],
  ]);
  expect({ documents, ignored }).toEqual({ documents: 4, ignored: 2 });
});

test.each([
  {
    name: "a version of Cilium's that nobody here knows",
    kind: 'CiliumEgressGatewayPolicy',
    apiVersion: 'cilium.io/v3',
  },
  { name: "another project's kind of that name", kind: 'EgressPolicy', apiVersion: 'policy.example.org/v1' },
  { name: 'a kind without a version', kind: 'EgressPolicy', apiVersion: '""' },
])('$name is ignored', ({ kind, apiVersion }) => {
  expect(collect(policy(kind, apiVersion))).toMatchObject({ manifests: [], ignored: 1 });
});

test("Cilium's own version of the kind is judged as what it is", () => {
  const { manifests } = collect(policy('CiliumEgressGatewayPolicy', 'cilium.io/v2'));
  expect(manifests).toMatchObject([{ judgedAs: 'CiliumEgressGatewayPolicy.v2', problems: [] }]);
});

test.each([
  { kind: 'EgressPolicy', apiVersion: 'cilium.io/v1alpha1', right: 'sallyport.dev/v1alpha1' },
  { kind: 'EgressPolicy', apiVersion: 'sallyport.dev/v1', right: 'sallyport.dev/v1alpha1' },
  { kind: 'CiliumEgressGatewayPolicy', apiVersion: 'sallyport.dev/v1alpha1', right: 'cilium.io/v1alpha1' },
])('$kind of $apiVersion is refused, and the right version told', ({ kind, apiVersion, right }) => {
  const [manifest] = collect(policy(kind, apiVersion)).manifests;
  expect(manifest?.problems).toEqual([
    {
      code: 'schema',
      verdict: 'deny',
      path: 'apiVersion',
      message: `${kind} is not served as ${apiVersion}; write ${right}`,
    },
  ]);
});

test.each([
  {
    name: 'a List',
    head: 'apiVersion: v1\nkind: List',
    item: policy('EgressPolicy', 'sallyport.dev/v1alpha1'),
  },
  {
    name: 'a typed List',
    head: 'apiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicyList',
    item: 'metadata:\n  name: p\n',
  },
])('$name is looked into, and its items know their lines', ({ head, item }) => {
  const { manifests } = collect(`${head}\nitems:\n- ${indented(item)}\n- ${indented(item)}\n`);
  expect(manifests.map(({ name }) => name)).toEqual(['p', 'p']);
  const [first, second] = manifests.map((manifest) => manifest.locate('metadata.name').line);
  expect(second).toBe((first ?? 0) + item.trimEnd().split('\n').length);
});

test('a policy without a name is refused, one whose name is to be generated is not', () => {
  const kind = 'apiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicy\n';
  const { manifests } = collect(
    `${kind}---\n${kind}metadata: {generateName: g-}\n---\n${kind}metadata: {generateName: g-}\n`,
  );
  expect(manifests.map(({ problems }) => problems.map(({ path }) => path))).toEqual([
    ['metadata.name'],
    [],
    [],
  ]);
  expect(new Set(manifests.map(({ name }) => name)).size).toBe(3);
});
