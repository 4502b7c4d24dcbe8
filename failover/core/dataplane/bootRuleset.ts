/**
 * What a node holds after a boot, before its agent knows anything: new connections of its own pod networks to wherever a policy with
 * `failureMode: Closed` ruled when the node was seen last. A table of its own, as text that plain nft loads without an agent; it
 * goes when the first plan is in the kernel, which says the same and more (renderUnknown.ts).
 */
import { formatRange } from '../../../policy/cidr.ts';
import type { Family } from '../../../policy/model.ts';
import type { NodeDataPlane } from '../dataPlane.ts';
import { mergedRanges } from './addressRanges.ts';
import { BOTH_FAMILIES } from './familyWords.ts';

export const BOOT_TABLE = 'inet sallyport_boot';
/** Named first so that the deletion succeeds where it is not there. */
export const LIFT_COMMANDS = `table ${BOOT_TABLE}\ndelete table ${BOOT_TABLE}\n`;

/** Empty: nothing is to be held. */
export function renderBootRuleset(plan: Pick<NodeDataPlane, 'direct' | 'unknownPods'>): string {
  const rules = BOTH_FAMILIES.flatMap(({ ip, family }) => rulesOf(plan, ip, family));
  if (rules.length === 0) return '';
  return `${LIFT_COMMANDS}table ${BOOT_TABLE} {
  chain hold { type filter hook prerouting priority mangle;
    ct status confirmed return
    fib daddr type != unicast return
${rules.map((rule) => `    ${rule}\n`).join('')}  }
}
`;
}

function rulesOf(
  { direct, unknownPods }: Pick<NodeDataPlane, 'direct' | 'unknownPods'>,
  ip: string,
  family: Family,
): readonly string[] {
  const own = [...mergedRanges(unknownPods?.networks ?? [], family).keys()];
  const closed = (unknownPods?.closed ?? []).filter((it) => it.family === family).map(formatRange);
  const untouched = [...mergedRanges(direct, family).keys()];
  if (own.length === 0 || closed.length === 0) return [];
  const set = (ranges: readonly string[]): string => `{ ${ranges.join(', ')} }`;
  const other = untouched.length === 0 ? '' : `${ip} daddr != ${set(untouched)} `;
  return [`${ip} saddr ${set(own)} ${other}${ip} daddr ${set(closed)} counter drop`];
}
