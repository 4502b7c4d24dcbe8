/** Rules on pools by themselves and against other policies' pools. */
import { rangeSize, rangesOverlap } from '../cidr.ts';
import type { OwnedEntry } from '../conflictIndex.ts';
import type { Policy, PoolEntry, Violation } from '../model.ts';
import { entriesConflict } from '../precedence.ts';
import { findSpecialUse } from '../specialUse.ts';
import {
  collectNames,
  deny,
  describePolicy,
  isSamePolicy,
  nameSome,
  poolRule,
  type Rule,
  type RuleContext,
} from './ruleContext.ts';

export const checkSpecialUse: Rule = poolRule((entry) => {
  const special = findSpecialUse(entry.range);
  if (special === undefined) return [];
  const { text, meaning } = special;
  const how = rangesOverlapWholly(entry, special.range) ? 'lies in' : 'reaches into';
  return [
    deny(
      'special-use',
      entry,
      `${entry.text} ${how} ${text}, ${meaning}; use addresses that the outside can answer to`,
    ),
  ];
});

function rangesOverlapWholly({ range }: PoolEntry, block: PoolEntry['range']): boolean {
  return block.first <= range.first && range.last <= block.last;
}

export const checkSelfOverlap: Rule = ({ pools }) =>
  pools.flatMap((entry, position) => {
    const others = pools.slice(0, position).filter(({ range }) => rangesOverlap(range, entry.range));
    if (others.length === 0) return [];
    const named = nameSome(others.map(({ text, path }) => `${text} at ${path}`));
    return [
      deny(
        'pool-overlap-self',
        entry,
        `${entry.text} overlaps ${named} of the same policy; list each address once`,
      ),
    ];
  });

export const checkOverlap: Rule = (policy, { index }) =>
  policy.pools.flatMap((entry) => overlapsOf(entry, policy, index));

function overlapsOf(
  entry: PoolEntry,
  policy: Policy,
  { policies }: RuleContext['index'],
): readonly Violation[] {
  const { names, count } = collectNames<OwnedEntry>(
    policies.pools.visitOverlapping,
    entry.range,
    ({ owner, entry: theirs }) =>
      isSamePolicy(owner, policy) || !entriesConflict(entry, theirs)
        ? undefined
        : `${theirs.text} of ${describePolicy(owner)}`,
  );
  if (count === 0) return [];
  return [
    deny(
      'pool-overlap',
      entry,
      `${entry.text} overlaps ${nameSome(names, count)}; use other addresses, or list the same entry in both with shared: true`,
    ),
  ];
}

export const checkTooLarge: Rule = ({ pools }, { settings: { poolAddressesMax } }) => {
  const total = pools.reduce((sum, { range }) => sum + rangeSize(range), 0n);
  if (total <= BigInt(poolAddressesMax)) return [];
  return [
    deny(
      'pool-too-large',
      { path: 'spec.egressGateway.ippools' },
      `ippools holds ${total} addresses; at most ${poolAddressesMax} are served by one policy, so use longer prefixes or several policies`,
    ),
  ];
};
