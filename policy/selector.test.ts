import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LabelRequirement } from './model.ts';
import { isLabelKey, isLabelValue, matchesSelector } from './selector.ts';

describe('label syntax', () => {
  test.each([
    ['app', true],
    ['a', true],
    ['App_v1.2-x', true],
    ['example.com/app', true],
    ['a'.repeat(63), true],
    [`${'a'.repeat(63)}.example/${'b'.repeat(63)}`, true],
    ['a'.repeat(64), false],
    ['', false],
    ['-app', false],
    ['app-', false],
    ['my app', false],
    ['/app', false],
    ['example.com/', false],
    ['Example.com/app', false],
    ['a/b/c', false],
    [`${'a.'.repeat(127)}a/app`, false],
    ['app\n', false],
  ])('%j as a key: %s', (key, expected) => {
    expect(isLabelKey(key)).toBe(expected);
  });

  test.each([
    ['', true],
    ['v1.2_x-y', true],
    ['a'.repeat(63), true],
    ['a'.repeat(64), false],
    ['-', false],
    ['a b', false],
    ['a/b', false],
  ])('%j as a value: %s', (value, expected) => {
    expect(isLabelValue(value)).toBe(expected);
  });
});

describe('matching', () => {
  const requirements: readonly LabelRequirement[] = (['In', 'NotIn', 'Exists', 'DoesNotExist'] as const).map(
    (operator) => ({ key: 'app', operator, values: ['a', 'b'] }),
  );
  test.each([
    { name: 'a listed value', labels: { app: 'a' }, expected: ['In', 'Exists'] },
    { name: 'another value', labels: { app: 'c' }, expected: ['NotIn', 'Exists'] },
    { name: 'the empty value', labels: { app: '' }, expected: ['NotIn', 'Exists'] },
    { name: 'no such key', labels: { tier: 'a' }, expected: ['NotIn', 'DoesNotExist'] },
  ])('$name is matched by $expected', ({ labels, expected }) => {
    const matching = requirements.filter((it) => matchesSelector({ requirements: [it] }, labels));
    expect(matching.map(({ operator }) => operator)).toEqual(expected);
  });

  test('a key that every object inherits is no label', () => {
    const requirement = { key: 'constructor', operator: 'Exists', values: [] } as const;
    expect(matchesSelector({ requirements: [requirement] }, {})).toBe(false);
  });

  test('requirements are ANDed, so none match everything and a further one never matches more', () => {
    const label = fc.constantFrom('a', 'b', 'c');
    const drawn = fc.record({
      key: label,
      operator: fc.constantFrom('In' as const, 'NotIn' as const, 'Exists' as const, 'DoesNotExist' as const),
      values: fc.array(label, { minLength: 1, maxLength: 2 }),
    });
    fc.assert(
      fc.property(fc.array(drawn, { maxLength: 4 }), fc.dictionary(label, label), (list, labels) => {
        const each = list.map((it) => matchesSelector({ requirements: [it] }, labels));
        expect(matchesSelector({ requirements: list }, labels)).toBe(!each.includes(false));
      }),
    );
  });
});
