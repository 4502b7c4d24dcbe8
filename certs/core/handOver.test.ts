import { expect, test } from 'vitest';
import { decideHandOver, type HandOverFacts } from './handOver.ts';

const SERVED = { same: false, valid: true, trusted: true };
const base: HandOverFacts = {
  ...{ served: SERVED, trust: 'known', trustedSinceMs: 0, nowMs: 10, propagationMs: 10 },
};
const { served: _served, ...first } = base;
const { trustedSinceMs: _since, ...distrusted } = base;

test.each<{ readonly name: string; readonly facts: HandOverFacts; readonly decided: string }>([
  { name: 'the first leaf', facts: first, decided: 'serve' },
  { name: 'the first leaf, trusted by nobody', facts: { ...first, trust: 'unknown' }, decided: 'serve' },
  { name: 'the same leaf', facts: { ...base, served: { ...SERVED, same: true } }, decided: 'keep' },
  { name: 'a leaf trusted for long enough', facts: base, decided: 'serve' },
  { name: 'a leaf trusted for too short a time', facts: { ...base, nowMs: 9 }, decided: 'wait' },
  { name: 'a leaf that one API server may distrust', facts: distrusted, decided: 'wait' },
  { name: 'a leaf while nothing can be read', facts: { ...distrusted, trust: 'unknown' }, decided: 'wait' },
  { name: 'a leaf for which nobody is configured', facts: { ...distrusted, trust: 'any' }, decided: 'serve' },
  {
    name: 'a leaf in place of one that has expired',
    facts: { ...distrusted, served: { ...SERVED, valid: false } },
    decided: 'serve',
  },
  {
    name: 'a leaf in place of one that nobody trusts',
    facts: { ...distrusted, served: { ...SERVED, trusted: false } },
    decided: 'serve',
  },
])('$name: $decided', ({ facts, decided }) => {
  expect(decideHandOver(facts)).toBe(decided);
});
