import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applyPatch } from '../test/lab/applyPatch.ts';
import { diffJson, jsonPointer } from './jsonPatch.ts';

const json = fc.jsonValue({ maxDepth: 4 });
const fields = fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('a/b', 'a~b', '~1', '/', '', '0')), json);

test.each([
  { keys: [], pointer: '' },
  { keys: ['spec', '0', 'cidr'], pointer: '/spec/0/cidr' },
  { keys: ['a/b', 'c~d', '~1', ''], pointer: '/a~1b/c~0d/~01/' },
])('$keys is written $pointer', ({ keys, pointer }) => {
  expect(jsonPointer(keys)).toBe(pointer);
});

test('what is absent is added with all that is in it, at the highest place that lacks it', () => {
  expect(diffJson({}, { 'a/b': { c: [1] } })).toEqual([{ op: 'add', path: '/a~1b', value: { c: [1] } }]);
});

test('a change deep within is one operation, and equal values are none', () => {
  const before = { list: [{ x: 1, y: 2 }], same: { z: [] } };
  expect(diffJson(before, { ...before, list: [{ x: 1, y: 3 }], same: { z: [] } })).toEqual([
    { op: 'replace', path: '/list/0/y', value: 3 },
  ]);
});

/** What a patch cannot say here: that something goes. */
function merged(before: unknown, after: unknown): unknown {
  if (Array.isArray(before) || Array.isArray(after)) {
    const both = Array.isArray(before) && Array.isArray(after) && before.length === after.length;
    return both ? before.map((item, at) => merged(item, after[at])) : after;
  }
  if (typeof before !== 'object' || before === null || typeof after !== 'object' || after === null)
    return after;
  const result = Object.fromEntries(Object.entries(before));
  for (const [key, value] of Object.entries(after))
    Object.defineProperty(result, key, {
      value: Object.hasOwn(before, key) ? merged((before as Record<string, unknown>)[key], value) : value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  return result;
}

test('applied to the first value, the patch gives the second, and whatever the first has beside it', () => {
  fc.assert(
    fc.property(fields, fields, (before, after) => {
      const result = applyPatch(before, diffJson(before, after));
      expect(JSON.stringify(result)).toBe(JSON.stringify(merged(before, after)));
    }),
  );
});

test('between a value and a copy of it there is no difference', () => {
  fc.assert(
    fc.property(json, (value) => {
      expect(diffJson(value, structuredClone(value))).toEqual([]);
    }),
  );
});
