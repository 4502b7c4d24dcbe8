/** What every rule is given, and how rules say what they found. */

import type { FactIndex } from '../index/factIndex.ts';
import type { GatewayChoice } from '../index/nodeIndex.ts';
import type { AddressRange, Policy, PoolEntry, Violation, ViolationCode } from '../model.ts';
import { POLICY_ADDRESSES_DEFAULT } from '../parsePolicy.ts';

/**
 * Why the policy is judged. `create` and `update`: somebody asks to write it. `stored`: it is there already, and is
 * judged again. `before` is the stored one of an update; undefined where nobody could ever serve it.
 */
export type Occasion =
  | { readonly kind: 'create' }
  | { readonly kind: 'update'; readonly before: Policy | undefined }
  | { readonly kind: 'stored' };

export interface RuleSettings {
  /** Addresses over all entries of one policy. */
  readonly poolAddressesMax: number;
  /** Ports that a node starts with on an egress IP. */
  readonly initialPorts: number;
}

export const DEFAULT_RULE_SETTINGS: RuleSettings = {
  poolAddressesMax: POLICY_ADDRESSES_DEFAULT,
  initialPorts: 512,
};

export interface RuleContext {
  readonly index: FactIndex;
  readonly settings: RuleSettings;
  readonly occasion: Occasion;
  /** The gateways that the policy may use. */
  readonly gateways: GatewayChoice;
}

/** Is asked only where what it needs is known (rules.ts). */
export type Rule = (policy: Policy, context: RuleContext) => readonly Violation[];

/** A sentence names this many other parties; the rest are counted. */
export const NAMED_MAX = 8;
/** Beyond this many nobody counts: a person needs to know that it is very many. */
export const COUNTED_MAX = 100;

export function deny(code: ViolationCode, { path }: { readonly path: string }, message: string): Violation {
  return { code, verdict: 'deny', path, message };
}

export function warn(code: ViolationCode, { path }: { readonly path: string }, message: string): Violation {
  return { code, verdict: 'warn', path, message };
}

/** `a, b and 3 more`: at most `NAMED_MAX` names, and how many are left out of `count`. */
export function nameSome(names: readonly string[], count = names.length): string {
  return joinSome(names, count, ', ');
}

/** The same for names that have commas in them: `a, the b, and c, the d, and 3 more`. */
export function describeSome(names: readonly string[], count = names.length): string {
  return joinSome(names, count, ', and ');
}

function joinSome(names: readonly string[], count: number, separator: string): string {
  const shown = names.slice(0, NAMED_MAX);
  const rest = count - shown.length;
  if (rest <= 0) return shown.join(separator);
  const more = count >= COUNTED_MAX ? `more than ${COUNTED_MAX - NAMED_MAX}` : rest;
  return `${shown.join(separator)} and ${more} more`;
}

/** Up to `COUNTED_MAX` of what a walk finds and `name` has a name for; each name once, in order of their addresses. */
export function collectNames<T>(
  walk: (range: AddressRange, visit: (item: T) => boolean) => void,
  range: AddressRange,
  name: (item: T) => string | undefined,
): { readonly names: readonly string[]; readonly count: number } {
  const names = new Set<string>();
  walk(range, (item) => {
    const text = name(item);
    if (text !== undefined) names.add(text);
    return names.size < COUNTED_MAX;
  });
  return { names: [...names].reverse(), count: names.size };
}

/** A policy under review is the stored one with the same kind and name: the uid of a create is not known yet. */
export function isSamePolicy({ ref: a }: Policy, { ref: b }: Policy): boolean {
  return a.kind === b.kind && a.name === b.name;
}

export function describePolicy({ ref }: Policy): string {
  return `${ref.kind} ${ref.name}`;
}

export function poolRule(check: (entry: PoolEntry, context: RuleContext) => readonly Violation[]): Rule {
  return (policy, context) => policy.pools.flatMap((entry) => check(entry, context));
}
