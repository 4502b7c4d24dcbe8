import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { readDocuments, type SourceDocument } from './sourceDocument.ts';

function only(text: string): SourceDocument {
  const read = readDocuments(text);
  const [document, other] = read.kind === 'ok' ? read.value : [];
  if (document === undefined || other !== undefined) throw new Error(JSON.stringify(read));
  return document;
}

const TEXT = `# a comment
metadata:
  name: p
spec:
  selectors:
  - matchLabels: {app.kubernetes.io/name: web, app: "x"}
  - matchLabels: &labels
      tier: front
  - matchLabels: *labels
  egressGateway:
    ippools: [ {cidr: 203.0.113.10/32},
               {cidr: 203.0.113.11/32} ]
`;

test.each([
  { path: 'metadata.name', line: 3, column: 3 },
  { path: 'spec', line: 4, column: 1 },
  { path: 'spec.selectors[0].matchLabels.app.kubernetes.io/name', line: 6, column: 19 },
  { path: 'spec.selectors[0].matchLabels.app', line: 6, column: 48 },
  { path: 'spec.selectors[1]', line: 7, column: 5 },
  { path: 'spec.selectors[2].matchLabels.tier', line: 8, column: 7 },
  { path: 'spec.egressGateway.ippools[1].cidr', line: 12, column: 17 },
])('$path is found', ({ path, line, column }) => {
  expect(only(TEXT).locate(path)).toEqual({ line, column });
});

test.each([
  { name: 'a field that is missing', path: 'spec.egressGateway.strategy', line: 10, column: 3 },
  { name: 'an entry beyond the list', path: 'spec.selectors[7].matchLabels', line: 5, column: 3 },
  { name: 'a path into a scalar', path: 'metadata.name.first', line: 3, column: 3 },
  { name: 'the whole object', path: '', line: 2, column: 1 },
  { name: 'a path that fits nothing', path: 'status', line: 2, column: 1 },
])('$name is where the innermost part that exists is', ({ path, line, column }) => {
  expect(only(TEXT).locate(path)).toEqual({ line, column });
});

/** The dumb way: each value is a text that occurs once, so its line is the one that contains it. */
test('in whatever nesting, and as YAML as well as JSON, a field is found where its value stands', () => {
  const keys = fc.constantFrom('a', 'b', 'a.b', 'c/d', 'long-key');
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ maxDepth: 4 }, tie('leaf'), tie('map'), tie('list')),
    leaf: fc.constant('leaf'),
    map: fc.dictionary(keys, tie('tree'), { minKeys: 1, maxKeys: 3 }),
    list: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }),
  }));
  fc.assert(
    fc.property(tree, fc.boolean(), (shape, asJson) => {
      const paths: string[] = [];
      const marked = mark({ root: shape }, '', paths);
      const text = asJson ? JSON.stringify(marked, undefined, 2) : stringify(marked);
      const lines = text.split('\n');
      const document = only(text);
      for (const [index, path] of paths.entries()) {
        const expected = 1 + lines.findIndex((line) => new RegExp(`value-${index}-`).test(line));
        if (isClear(paths, path)) expect([path, document.locate(path).line]).toEqual([path, expected]);
      }
    }),
  );
});

/** `a.b` may mean the key `a.b` or `b` in `a`; then either answer is right, and neither is asked for here. */
function isClear(paths: readonly string[], path: string): boolean {
  return !/(?:^|\.)a\.b/.test(path) && paths.filter((it) => it === path).length === 1;
}

function mark(value: unknown, path: string, paths: string[]): unknown {
  if (value === 'leaf') return `value-${paths.push(path) - 1}-`;
  if (Array.isArray(value)) return value.map((item, index) => mark(item, `${path}[${index}]`, paths));
  const fields = Object.entries(value as Readonly<Record<string, unknown>>);
  return Object.fromEntries(
    fields.map(([key, item]) => [key, mark(item, path === '' ? key : `${path}.${key}`, paths)]),
  );
}

describe('values are those that kubectl would send', () => {
  test.each([
    { name: 'yes is a boolean', text: 'a: yes', value: { a: true } },
    { name: 'a quoted yes is text', text: 'a: "yes"', value: { a: 'yes' } },
    { name: 'a time is text', text: 'a: 2026-01-02T03:04:05Z', value: { a: '2026-01-02T03:04:05Z' } },
    { name: 'a sexagesimal number is text', text: 'a: 1:30', value: { a: '1:30' } },
    { name: 'an address is text', text: 'a: 203.0.113.10', value: { a: '203.0.113.10' } },
    {
      name: 'merge keys are followed',
      text: 'first: &x {a: 1}\nsecond: {<<: *x, b: 2}',
      value: { first: { a: 1 }, second: { a: 1, b: 2 } },
    },
  ])('$name', ({ text, value }) => {
    expect(only(text).value).toEqual(value);
  });
});

test('empty documents are left out, and the others keep their numbers', () => {
  const read = readDocuments('---\n# nothing\n---\na: 1\n---\n---\nb: 2\n');
  expect(read.kind === 'ok' && read.value.map(({ number, value }) => [number, value])).toEqual([
    [2, { a: 1 }],
    [4, { b: 2 }],
  ]);
  expect(readDocuments('')).toEqual({ kind: 'ok', value: [] });
});

test.each([
  { name: 'a template', text: 'a: 1\nb: {{ .Values.b }}\n', line: 2 },
  { name: 'a key twice', text: 'a: 1\na: 2\n', line: 2 },
  { name: 'an alias without its anchor', text: 'x: 1\na: *nobody\n', line: 2 },
  { name: 'a bracket that is never closed', text: 'a: [1, 2\n', line: 2 },
  {
    name: 'aliases that grow without measure',
    text: `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(12)}]\nc: [${'*b,'.repeat(12)}]\n`,
    line: 1,
  },
])('$name is refused, with the line', ({ text, line }) => {
  const read = readDocuments(text);
  expect(read.kind === 'refused' && read.error[0]?.place.line).toBe(line);
});

test('no text makes it throw', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...'a:-[]{}&*#\n "|>') }),
      (text) => void readDocuments(text),
    ),
  );
});
