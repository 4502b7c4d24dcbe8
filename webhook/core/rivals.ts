/**
 * Whom a denial rests on. The webhook knows other policies from an index that follows the API server by a moment: a policy
 * that was deleted or changed in that moment would refuse another one wrongly. So whoever is about to deny looks at these
 * once more, and judges again by what was seen.
 */
import type { FactIndex } from '../../policy/index/factIndex.ts';
import type { Policy, PolicyRef } from '../../policy/model.ts';
import { entriesConflict } from '../../policy/precedence.ts';

/** A denial that rests on more policies than these is not looked into: they do not all go away in one moment. */
export const RIVALS_MAX = 8;

/** What was found of each policy that could be looked at; `gone` is nobody's rival any more. */
export type Sightings = ReadonlyMap<PolicyRef, Policy | 'gone'>;

/**
 * Stored policies that want addresses of this one or have its selectors, each once; none where there are more than can be
 * looked at.
 */
export function rivalsOf(policy: Policy, { policies }: FactIndex): readonly Policy[] {
  const owners = policy.pools.flatMap((entry) =>
    policies.pools
      .overlapping(entry.range)
      .filter(({ entry: theirs }) => entriesConflict(entry, theirs))
      .map(({ owner }) => owner),
  );
  const all = new Set([...owners, ...policies.withSelectorsOf(policy)]);
  const rivals = [...all].filter((other) => !isSame(other, policy));
  return rivals.length > RIVALS_MAX ? [] : rivals;
}

/**
 * What `decide` says while the index knows of `rivals` what was seen. The index is as it was when this returns, so `decide`
 * must not wait for anything. Undefined where nothing was seen that the index did not know.
 */
export function decideBySight<T>(
  index: FactIndex,
  { rivals, sightings }: { readonly rivals: readonly Policy[]; readonly sightings: Sightings },
  decide: () => T,
): T | undefined {
  // Since the look the index may have heard the same by itself.
  const stale = rivals.filter((rival) => differs(rival, sightings.get(rival.ref)) && isKnown(index, rival));
  if (stale.length === 0) return undefined;
  const exchanges = stale.map((before) => {
    const seen = sightings.get(before.ref);
    return { before, after: seen === 'gone' ? undefined : seen };
  });
  for (const { before, after } of exchanges) index.replace('policies', before, after);
  try {
    return decide();
  } finally {
    for (const { before, after } of exchanges) index.replace('policies', after, before);
  }
}

function differs(known: Policy, seen: Policy | 'gone' | undefined): boolean {
  if (seen === undefined) return false;
  return seen === 'gone' || seen.ref.uid !== known.ref.uid || seen.generation !== known.generation;
}

function isKnown({ policies }: FactIndex, policy: Policy): boolean {
  const [entry] = policy.pools;
  return entry !== undefined && policies.pools.overlapping(entry.range).some(({ owner }) => owner === policy);
}

function isSame(a: Policy, b: Policy): boolean {
  return a.ref.kind === b.ref.kind && a.ref.name === b.ref.name;
}
