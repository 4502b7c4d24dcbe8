/** What a review may claim, and how much of what it says comes back. */
import { expect, test } from 'vitest';
import { createReview, UNREACHED_FACTS } from '../../test/lab/testWebhook.ts';
import { decideAdmission, LINE_LENGTH_MAX, parseReview, VIOLATIONS_SHOWN_MAX } from './review.ts';
import { createSnapshot } from './snapshot.ts';

function withObject(change: object) {
  const review = createReview('u');
  return { ...review, request: { ...review.request, object: { ...review.request.object, ...change } } };
}
const snapshot = createSnapshot(UNREACHED_FACTS);

test.each([
  { name: 'another version than the request', change: { apiVersion: 'sallyport.dev/v2' } },
  { name: 'another group', change: { apiVersion: 'cilium.io/v1alpha1' } },
  { name: 'another kind', change: { kind: 'ConfigMap' } },
  { name: 'a version that is no text', change: { apiVersion: { toString: 7 } } },
  { name: 'a version that is nothing', change: { apiVersion: null } },
])('an object that says it is of $name does not get past the rules by that', ({ change }) => {
  expect(parseReview(withObject(change))).toEqual({
    kind: 'refused',
    error: 'request.object is not of request.kind',
  });
});

test('an object that says nothing of its kind is judged as what the request says', () => {
  const parsed = parseReview(withObject({ apiVersion: undefined, kind: undefined }));
  if (parsed.kind === 'refused') throw new Error(parsed.error);
  expect(decideAdmission(parsed.value, snapshot).allowed).toBe(false);
});

test('what the user wrote comes back cut where it is long, and never in half a character', () => {
  const fields = Object.fromEntries(
    Array.from({ length: 200 }, (_, at) => [`${'x'.repeat(at)}${'😀'.repeat(100_000)}`, 1]),
  );
  const parsed = parseReview(withObject({ spec: fields }));
  if (parsed.kind === 'refused') throw new Error(parsed.error);
  const { message, allowed } = decideAdmission(parsed.value, snapshot);
  expect(allowed).toBe(false);
  expect(message.length).toBeLessThan((VIOLATIONS_SHOWN_MAX + 1) * (LINE_LENGTH_MAX + 40));
  expect(message.isWellFormed()).toBe(true);
  expect(message).toMatch(/and \d+ more$/);
});
