/**
 * The layout of the packet mark. Flags stand in bits 20–23 and an index in the low 14 bits, so that none of it is read
 * as kube-proxy's 0x4000 and 0x8000 or as Calico's and flannel's bits 16–19 and 24–31. A packet carries it within one
 * node only: the tunnel's egress hook clears it.
 */

/** Route into the tunnel (`ip rule … lookup TUNNEL_TABLE`). */
export const ROUTE_FLAG = 0x0010_0000;
/** Deliver to this node itself: ping to an address that it answers for. */
export const LOCAL_FLAG = 0x0020_0000;
/** The index is an egress IP's: the connection is translated to it. */
export const EGRESS_FLAG = 0x0040_0000;
/** The index is a node's: a packet on its way back to the node that holds the port block. */
export const RETURN_FLAG = 0x0080_0000;
/**
 * Of a connection, not of a packet: it was translated to an egress IP. The kernel remembers so as long as it can translate, also
 * when nobody knows of the address any more. One bit that nobody is known to use there: not AWS' 0x80, Istio's and Cilium's low
 * twelve, nor Calico's and Tailscale's from 16 on.
 */
export const TRANSLATED_FLAG = 0x1000;
/**
 * Which uplink a packet leaves by, in place among the node's uplinks; 0 is the first, whatever its index says. RETURN_FLAG without
 * ROUTE_FLAG has no other meaning, and routing asks for these before it asks for LOCAL_FLAG.
 */
export const UPLINK_FLAGS = [0, RETURN_FLAG, RETURN_FLAG | LOCAL_FLAG] as const;
export const UPLINK_MASK = RETURN_FLAG | ROUTE_FLAG | LOCAL_FLAG;
/** Indices are 1..this; 0x4000 is kube-proxy's. */
export const INDEX_MAX = 0x3fff;
/** This node's own index, on every node. */
export const SELF_INDEX = 1;

/** The meaning of the indices on one node. */
export interface Indices {
  /** By egress IP as text. */
  readonly egress: ReadonlyMap<string, number>;
  /** By node name. */
  readonly nodes: ReadonlyMap<string, number>;
}

export function egressMark(index: number): number {
  return EGRESS_FLAG | checked(index);
}

/** @param uplink place among the node's uplinks */
export function leavingBy(mark: number, uplink: number): number {
  return mark | (UPLINK_FLAGS[uplink] ?? 0);
}

export function returnMark(index: number): number {
  return RETURN_FLAG | ROUTE_FLAG | checked(index);
}

export function indexOf(mark: number): number {
  return mark & INDEX_MAX;
}

function checked(index: number): number {
  if (!Number.isInteger(index) || index < 1 || index > INDEX_MAX) throw new RangeError(`mark index ${index}`);
  return index;
}

/**
 * Gives every key an index, keeping those it has: packets on their way carry indices, so they must not change meaning
 * without need. Keys beyond the space get none.
 */
export function allocateIndices(
  previous: ReadonlyMap<string, number>,
  keys: readonly string[],
  first: number,
): ReadonlyMap<string, number> {
  const wanted = new Set(keys);
  const kept = [...previous].filter(
    ([key, index]) => wanted.has(key) && index >= first && index <= INDEX_MAX,
  );
  const result = new Map(kept);
  const taken = new Set(result.values());
  let next = first;
  for (const key of wanted) {
    if (result.has(key)) continue;
    while (taken.has(next)) next += 1;
    if (next > INDEX_MAX) break;
    taken.add(next);
    result.set(key, next);
  }
  return result;
}
