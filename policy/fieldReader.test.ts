import { expect, test } from 'vitest';
import { PROBLEMS_MAX } from './fieldReader.ts';
import { nearestName } from './nearestName.ts';
import { parsePolicy } from './parsePolicy.ts';

function policyWith(extra: object) {
  return {
    spec: { selectors: [{}], destinationCIDRs: ['0.0.0.0/0'], egressGateway: { ippools: [], ...extra } },
  };
}
const unknown = (count: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`field-${at}`, at]));

test('of a flood of faults the first thousand are listed, and that there are more', () => {
  const read = parsePolicy(policyWith(unknown(100_000)), 'EgressPolicy');
  if (read.kind === 'ok') throw new Error('accepted');
  expect(read.error).toHaveLength(PROBLEMS_MAX + 1);
  expect(read.error.at(-1)).toMatchObject({ code: 'limits', verdict: 'deny' });
});

test('a thousand faults are all listed', () => {
  // One more is the empty list of pools.
  const read = parsePolicy(policyWith(unknown(PROBLEMS_MAX - 1)), 'EgressPolicy');
  if (read.kind === 'ok') throw new Error('accepted');
  expect(read.error).toHaveLength(PROBLEMS_MAX);
  expect(new Set(read.error.map(({ path }) => path)).size).toBe(PROBLEMS_MAX);
});

test.each([
  { field: 'ipPools', near: 'ippools' },
  { field: 'ippool', near: 'ippools' },
  { field: 'ippoolsabc', near: 'ippools' },
  { field: 'destinations', near: undefined },
  { field: `ippools${'x'.repeat(3_000_000)}`, near: undefined },
])('$field is taken for $near', ({ field, near }) => {
  expect(nearestName(field, ['ippools', 'strategy'])).toBe(near);
});
