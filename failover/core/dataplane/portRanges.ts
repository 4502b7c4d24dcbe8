/**
 * Who holds which ports of an egress IP, in granules of 64: packets are looked up by address and port without its low 6
 * bits. A range of granules is what the kernel is told and read by, its granules are what packets meet.
 */
import type { PortRange } from '../dataPlane.ts';

const GRANULE_PORTS = 64;
/** Takes a port to the first of its granule, in rules. */
export const GRANULE_MASK = '0xffc0';
const GRANULES = 65_536 / GRANULE_PORTS;

export interface HeldRange extends PortRange {
  /** The index of the node that holds it: marks.ts. */
  readonly holder: number;
}

/**
 * Disjoint, sorted and made of whole granules; neighbours that one node holds are one. Where blocks overlap the last counts.
 * @param nodes index by name; who has none holds nothing that anything could be sent to
 */
export function heldRanges(
  blocks: readonly (PortRange & { readonly node: string })[],
  nodes: ReadonlyMap<string, number>,
): readonly HeldRange[] {
  const holders = new Uint16Array(GRANULES); // 0: nobody.
  for (const { node, first, last } of blocks)
    holders.fill(
      nodes.get(node) ?? 0,
      Math.floor(first / GRANULE_PORTS),
      Math.floor(last / GRANULE_PORTS) + 1,
    );
  const ranges: HeldRange[] = [];
  let start = 0;
  for (let at = 1; at <= GRANULES; at += 1) {
    const holder = holders[start] ?? 0;
    if (at < GRANULES && holders[at] === holder) continue;
    if (holder > 0) ranges.push({ holder, first: start * GRANULE_PORTS, last: at * GRANULE_PORTS - 1 });
    start = at;
  }
  return ranges;
}

/** The first port of each granule in the range. */
export function granulesOf({ first, last }: PortRange): readonly number[] {
  return Array.from({ length: (last + 1 - first) / GRANULE_PORTS }, (_, at) => first + at * GRANULE_PORTS);
}
