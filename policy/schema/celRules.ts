/**
 * The rules that one policy can be held to without any other object, in CEL: what the API server itself refuses, with
 * the webhook down.
 *
 * Relies on Kubernetes ≥ 1.31 for `isCIDR`, `cidr`, `isIP` and `ip`. Every rule lets pass what another one refuses, so
 * that a fault is told once, and none refuses what the parser takes: the corpus in test/contract holds them to that.
 * The API server bounds what a rule may cost by the limits of the lists around it, or refuses the CRD.
 */

import { POLICY_ADDRESSES_MAX } from '../parsePolicy.ts';
import { LABEL_KEY } from '../selector.ts';
import { SPECIAL_USE_BLOCKS } from '../specialUse.ts';
import {
  ALL_BOUNDS,
  HOST_BITS_MAX,
  hostBits,
  isAddress,
  isPrefix,
  notAfter,
  numbersOf,
  within,
} from './celAddresses.ts';
import type { ValidationRule } from './jsonSchema.ts';

/** ::/96 but for :: and ::1: the deprecated form of an IPv4 address. Mapped ones are no prefix to `isCIDR` at all. */
const EMBEDDED = "matches('^::[0-9a-f]+:[0-9a-f]+(/|$)')";

export const PREFIX_RULES: readonly ValidationRule[] = [
  {
    rule: 'isCIDR(self)',
    message:
      'is no prefix; write an address in plain form, a slash and a length, such as 203.0.113.10/32, 203.0.113.0/24 or 2001:db8::/64',
  },
  {
    rule: '!isCIDR(self) || string(cidr(self)) == self',
    message: 'is not canonical; write IPv6 in lower case, as short as it gets, such as 2001:db8::/64',
  },
  {
    rule: '!isCIDR(self) || cidr(self).masked() == cidr(self)',
    message:
      'has host bits; write the first address of the network, such as 203.0.113.0/24, or the length /32 (IPv6: /128) for the one address',
  },
  {
    rule: `!isCIDR(self) || !self.${EMBEDDED}`,
    message: 'embeds an IPv4 address; write the IPv4 address itself, such as 203.0.113.10/32',
  },
];

const RANGE = 'has(self.from) && has(self.to)';
const ends = `${RANGE} && ${isAddress('self.from')} && ${isAddress('self.to')}`;
const special = `[${SPECIAL_USE_BLOCKS.map((block) => `'${block}'`).join(', ')}]`;

export const POOL_ENTRY_RULES: readonly ValidationRule[] = [
  {
    rule: 'has(self.cidr) != (has(self.from) || has(self.to))',
    message: 'must have either cidr, or from and to',
  },
  {
    rule: '!(has(self.from) || has(self.to)) || has(self.from) == has(self.to)',
    message: 'is half a range; write both from and to',
  },
  {
    rule: `!(${RANGE}) || (${['self.from', 'self.to'].map((it) => `${isAddress(it)} && !${it}.${EMBEDDED}`).join(' && ')})`,
    message: 'from and to must be canonical addresses, such as 203.0.113.10 or 2001:db8::10',
  },
  {
    rule: `!(${ends}) || ip(self.from).family() == ip(self.to).family()`,
    message: 'from and to are of different families; use one range for each',
  },
  {
    rule: `!(${ends} && ip(self.from).family() == ip(self.to).family()) || ${within('f', numbersOf('self.from'), within('t', numbersOf('self.to'), notAfter('f', 't')))}`,
    message: 'from comes after to; exchange them',
  },
  {
    rule: `!has(self.cidr) || !isCIDR(self.cidr) || ${special}.all(b, !cidr(b).containsCIDR(self.cidr) && !cidr(self.cidr).containsCIDR(b))`,
    message: `touches addresses for special use (${SPECIAL_USE_BLOCKS.join(' ')}); use addresses that the outside can answer to`,
  },
  {
    rule: `!(${ends}) || ${special}.all(b, !cidr(b).containsIP(self.from) && !cidr(b).containsIP(self.to))`,
    message: `touches addresses for special use (${SPECIAL_USE_BLOCKS.join(' ')}); use addresses that the outside can answer to`,
  },
];

const span = '(b[0][0] == b[1][0] && b[0][1] == b[1][1] ? b[1][2] - b[0][2] + 1 : 0)';
const wide = `self.filter(e, has(e.cidr) && ${isPrefix('e.cidr')} && ${hostBits('e.cidr')} > ${HOST_BITS_MAX})`;

export const POOL_LIST_RULES: readonly ValidationRule[] = [
  {
    rule: within(
      'all',
      ALL_BOUNDS,
      `all.all(a, all.exists_one(b, ${notAfter('a[0]', 'b[1]')} && ${notAfter('b[0]', 'a[1]')}))`,
    ),
    message: 'two entries overlap; list each address once',
  },
  {
    // A range of IPv6 over a border of 2³² addresses is left to the parser: CEL's integers end there.
    rule: `${wide}.size() == 0 && ${ALL_BOUNDS}.map(b, ${span}).sum() <= ${POLICY_ADDRESSES_MAX}`,
    message: `hold more than ${POLICY_ADDRESSES_MAX} addresses, which is the most that one policy may ever have; use longer prefixes`,
  },
];

const anyRequirement =
  '(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)';
const LONG_FORM = 'has(self.podSelector) || has(self.namespaceSelector) || has(self.nodeSelector)';

export const LABEL_SELECTOR_RULES: readonly ValidationRule[] = [
  {
    rule: `(!has(self.matchLabels) && !has(self.matchExpressions)) || ${anyRequirement}`,
    message: 'has no requirement; add one, or write {} if everything is meant',
  },
];

/** For entries of `selectors`, which may be a label selector or three of them. */
export const WORKLOAD_SELECTOR_RULES: readonly ValidationRule[] = [
  {
    rule: `!(${LONG_FORM}) || !(has(self.matchLabels) || has(self.matchExpressions))`,
    message: 'has both forms; put matchLabels and matchExpressions into podSelector',
  },
];

export const MATCH_LABELS_RULES: readonly ValidationRule[] = [
  {
    rule: `self.all(k, k.matches('${LABEL_KEY}'))`,
    message:
      "has a key that is no label key; write [prefix/]name, the name of at most 63 letters, digits, '-', '_' or '.'",
  },
];

export const REQUIREMENT_RULES: readonly ValidationRule[] = [
  {
    rule: "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
    message: 'operators In and NotIn need at least one value',
  },
  {
    rule: "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0",
    message: 'operators Exists and DoesNotExist take no values; remove them',
  },
];

const poolOf = (colon: string): string =>
  `self.egressGateway.ippools.exists(p, (has(p.cidr) && ${colon}p.cidr.contains(':')) || (has(p.from) && ${colon}p.from.contains(':')))`;
const destinationOf = (colon: string): string =>
  `self.destinationCIDRs.exists(d, isCIDR(d) && ${colon}d.contains(':'))`;

export const SPEC_RULES: readonly ValidationRule[] = (
  [
    ['IPv4', '!'],
    ['IPv6', ''],
  ] as const
).map(([family, colon]) => ({
  rule: `!${destinationOf(colon)} || ${poolOf(colon)}`,
  message: `a destination of ${family} needs a pool of ${family}, and ippools has none; add one, or leave the destination out`,
}));

export const RETURN_AFTER_RULES: readonly ValidationRule[] = [
  { rule: "duration(self) <= duration('168h')", message: 'is over a week; write at most 168h' },
];
