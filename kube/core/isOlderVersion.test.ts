import { expect, test } from 'vitest';
import { isOlderVersion } from './isOlderVersion.ts';

test.each([
  { name: 'a smaller number', candidate: '99', known: '100', older: true },
  { name: 'one of the same length', candidate: '101', known: '102', older: true },
  { name: 'the same', candidate: '102', known: '102', older: false },
  { name: 'a larger one', candidate: '1000', known: '999', older: false },
  { name: 'what is beyond doubles', candidate: '9007199254740992', known: '9007199254740993', older: true },
  { name: 'what is no number', candidate: 'x', known: '5', older: false },
  { name: 'a number beside what is none', candidate: '5', known: '', older: false },
])('$name', ({ candidate, known, older }) => {
  expect(isOlderVersion(candidate, known)).toBe(older);
});
