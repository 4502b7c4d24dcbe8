import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEPTH_MAX, findUid, nestsTooDeep, UID_LENGTH_MAX } from './scanReview.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const nested = (levels: number): string => `${'[{"a":'.repeat(levels / 2)}1${'}]'.repeat(levels / 2)}`;

/** The dumb twin: recursion over what the parser made of the text. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

test('a text at the limit is not too deep, one level more is', () => {
  expect(nestsTooDeep(bytes(nested(DEPTH_MAX)))).toBe(false);
  expect(nestsTooDeep(bytes(`[${nested(DEPTH_MAX)}]`))).toBe(true);
  expect(nestsTooDeep(bytes('['.repeat(8_000_000)))).toBe(true);
});

test.each([
  { name: 'brackets within a text', text: JSON.stringify('[{'.repeat(100)) },
  { name: 'brackets after a quote within a text', text: JSON.stringify(`"${'['.repeat(100)}\\`) },
  { name: 'lists side by side', text: `[${'[],'.repeat(1000)}[]]` },
  { name: 'a text that breaks off', text: `"${'['.repeat(100)}` },
])('$name nest nothing', ({ text }) => {
  expect(nestsTooDeep(bytes(text))).toBe(false);
});

test('for any JSON it says what counting on the parsed value says', () => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof({ maxDepth: 8 }, fc.string(), fc.array(tie('any')), fc.dictionary(fc.string(), tie('any'))),
  })).any;
  fc.assert(
    fc.property(value, fc.integer({ min: DEPTH_MAX - 8, max: DEPTH_MAX }), (inner, around) => {
      const text = '['.repeat(around) + JSON.stringify(inner) + ']'.repeat(around);
      expect(nestsTooDeep(bytes(text))).toBe(around + depthOf(inner) > DEPTH_MAX);
    }),
  );
});

test.each([
  { name: 'a review', text: '{"kind":"K","request":{"uid":"u-1","x":{}}}', uid: 'u-1' },
  {
    name: 'a uid after other fields',
    text: '{"request" : {"a":{"uid":"no"}, "b":["uid","no"] , "uid" : "u-1"}}',
    uid: 'u-1',
  },
  { name: 'a text that breaks off later', text: '{"request":{"uid":"u-1","object":{"a', uid: 'u-1' },
  { name: 'a uid that breaks off', text: '{"request":{"uid":"u-1', uid: undefined },
  { name: 'a uid elsewhere', text: '{"uid":"no","other":{"uid":"no"},"x":[{"uid":"no"}]}', uid: undefined },
  { name: 'a value that reads uid', text: '{"request":{"name":"uid","other":"no"}}', uid: undefined },
  { name: 'a key in quotes', text: '{"request":{"a\\"uid":"no"}}', uid: undefined },
  { name: 'no text', text: '{"request":{"uid":7}}', uid: undefined },
  { name: 'an empty uid', text: '{"request":{"uid":""}}', uid: undefined },
  { name: 'a uid with a line break', text: '{"request":{"uid":"a\\nb"}}', uid: undefined },
  { name: 'a long uid', text: `{"request":{"uid":"${'u'.repeat(UID_LENGTH_MAX + 1)}"}}`, uid: undefined },
])('the uid of $name is $uid', ({ text, uid }) => {
  expect(findUid(bytes(text))).toBe(uid);
});

test('whatever stands around it, the uid of a review is found', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), fc.uuid(), (before, within, uid) => {
      const text = JSON.stringify({ x: before, request: { y: within, uid } });
      expect(findUid(bytes(text))).toBe(uid);
    }),
  );
});
